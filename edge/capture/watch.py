"""Whether a camera's frames still show what is before it. Pure: it knows frames and their times, no devices.

    frame                                     what becomes of it
    new, with something to see                FRESH: it may be judged
    bit for bit the one before, or older      WITHHELD: it says nothing about now
    black                                     WITHHELD
    nothing but repeats for NOTICE_S          FROZEN
    nothing but black for NOTICE_S            BLACK

A sensor has noise: two pictures of the same thing are never bit for bit the same.
"""

from __future__ import annotations

from enum import Enum, auto

import numpy as np

from edge.model import Frame, Image

NOTICE_S = 0.6
"""Camera time. Shorter than the gap that a challenge forgives, so that it is paused before it fails."""

DARK = 24
"""Grey levels up to which a pixel is black: a covered sensor's noise at high gain."""

LIT_SHARE = 0.005
"""Of the pixels that must be lighter: a lit window at the edge is a picture, some hot pixels are none."""

_STEP = 8  # every eighth pixel each way decides on black
_STRIPES = 61  # every so manieth row is compared first: pictures differ in one of them, or nearly everywhere


class Look(Enum):
    FRESH = auto()
    WITHHELD = auto()
    FROZEN = auto()
    BLACK = auto()


class FrameWatch:
    """Fed with every frame of one camera, also across its being opened again."""

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._same_since: float | None = None
        self._black_since: float | None = None

    def judge(self, frame: Frame) -> Look:
        """Say what the next frame is worth."""
        last = self._last
        if last is not None and frame.captured_at < last.captured_at:
            return Look.WITHHELD
        self._last = frame
        if is_black(frame.pixels):
            self._same_since = None
            since = self._black_since = _first(self._black_since, frame)
            return Look.BLACK if frame.captured_at - since >= NOTICE_S else Look.WITHHELD
        self._black_since = None
        if last is not None and same_picture(last.pixels, frame.pixels):
            since = self._same_since = _first(self._same_since, last)
            return Look.FROZEN if frame.captured_at - since >= NOTICE_S else Look.WITHHELD
        self._same_since = None
        return Look.FRESH


def is_black(pixels: Image) -> bool:
    """Whether a picture (uint8 [height, width, 3]) shows nothing but a dark sensor."""
    some = pixels[::_STEP, ::_STEP]
    return int(np.count_nonzero(some > DARK)) < LIT_SHARE * some.size


def same_picture(one: Image, other: Image) -> bool:
    """Whether two pictures are bit for bit the same."""
    if one.shape != other.shape or not np.array_equal(one[::_STRIPES], other[::_STRIPES]):
        return False
    return np.array_equal(one, other)


def _first(since: float | None, frame: Frame) -> float:
    return frame.captured_at if since is None else since
