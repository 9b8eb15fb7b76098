"""Do these frames come from the camera's sensor, or were they fed in behind it?

A sensor's noise is new in every frame, and frames reach a host when the bus and the scheduler let them. A
file, a virtual camera and a stream that was made have neither: times on a grid or in a cycle, a background
without noise, or the same noise again (Lukas, Fridrich and Goljan 2006 on noise as the mark of a sensor; Wang
and Farid 2007 on noise that comes twice). What is seen here accuses nobody of being a picture: it takes the
camera's word away, so that its assurance is SIMULATED at most.

No guard against somebody who knows of it: noise and jitter can be made up. Nor do irregular times accuse: a
busy device has them as well.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Face, Image

TIMES_REPEAT = "INJECTION_FRAME_TIMES"
NOISE_REPEATS = "INJECTION_NOISE_REPEATS"
NO_NOISE = "INJECTION_NO_NOISE"

MIN_INTERVALS = 24
MAX_INTERVALS = 256
GRID_S = 2e-6  # a host's clock stamps frames to the microsecond, and never lands on a grid for a second
MAX_CYCLE = 12  # intervals that come again and again in the same order

PATCH_PX = 32
PATCHES = 4
DARKEST, BRIGHTEST = 30, 225  # mean grey levels of a patch in which noise can show
LOOK_EVERY_S = 0.1  # often enough for two dozen looks in three seconds
MIN_LOOKS = 12
REMEMBERED = 60  # looks
SAME_NOISE = 0.8  # correlation; of a sensor's noise 0 within 0.2, on the 1,000 pixels of a patch
MIN_AGAIN = 3  # looks that were seen before: one may be a slip of the driver
LEAST_NOISE = 0.1  # grey levels


class FrameTimes:
    """Fed with the time of each frame."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._intervals: deque[float] = deque(maxlen=MAX_INTERVALS)

    def observe(self, at: float) -> None:
        """Take the next frame's time, monotonic seconds."""
        if self._last is not None and math.isfinite(at) and at > self._last:
            self._intervals.append(at - self._last)
        self._last = at

    def sign(self) -> str:
        """The code of what is wrong, empty where nothing is."""
        intervals = list(self._intervals)
        if len(intervals) < MIN_INTERVALS:
            return ""
        for cycle in range(1, MAX_CYCLE + 1):
            shifts = [
                abs(late - early) for early, late in zip(intervals[:-cycle], intervals[cycle:], strict=True)
            ]
            if statistics.fmean(shifts) < GRID_S:
                return TIMES_REPEAT
        return ""


class SensorNoise:
    """Fed with frames; looks at smooth patches of the background, where nothing but noise should change."""

    def __init__(self) -> None:
        self._spots: list[tuple[int, int]] = []
        self._shape: tuple[int, ...] = ()
        self._looks: deque[Image] = deque(maxlen=REMEMBERED)
        self._last_at = -math.inf

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        """Take the next frame, uint8 [height, width, 3] BGR, and the face in it."""
        if at - self._last_at < LOOK_EVERY_S:
            return
        if image.shape != self._shape:
            self._looks.clear()
            self._spots = []
            if face is not None:
                self._shape, self._spots = image.shape, _smooth_spots(image, face)
        if self._spots:
            self._last_at = at
            self._looks.append(np.concatenate([_green(image, spot) for spot in self._spots]))

    def sign(self) -> str:
        """The code of what is wrong, empty where nothing is."""
        if len(self._looks) < MIN_LOOKS:
            return ""
        noise = _noise(np.array(self._looks, np.float32))
        level = float(noise.std())
        if level < LEAST_NOISE:
            return NO_NOISE
        patches = np.split(noise, len(self._spots), axis=1)  # somebody who walks by is in one or two of them
        alike = np.min([_alike(patch) for patch in patches], axis=0)
        again = np.triu(alike, k=1) > SAME_NOISE
        return NOISE_REPEATS if int(again.any(axis=0).sum()) >= MIN_AGAIN else ""


def _noise(looks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What changes in patches from look to look beside light and exposure: [looks, rows, columns].

    Fine structure alone, less its mean over time, less what a change of gain makes of that mean.
    """
    fine = np.array([look - cv2.blur(look, (5, 5)) for look in looks])
    scene = fine.mean(axis=0)
    left = fine - scene
    power = float((scene**2).sum())
    if power > 0:
        left -= ((left * scene).sum(axis=(1, 2)) / power)[:, None, None] * scene
    return np.asarray(left, np.float32)


def _alike(noise: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Correlation of each look with each other, 0 where one has no noise: [looks, looks]."""
    flat = noise.reshape(len(noise), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.where(size > 0, flat / np.maximum(size, 1e-12), 0.0)
    product: npt.NDArray[np.float64] = flat @ flat.T
    return product


def _smooth_spots(image: Image, face: Face) -> list[tuple[int, int]]:
    """The patches with the least structure beside the person, none of them black or clipped."""
    x, y, width, height = face.box
    spots = []
    for top in range(0, image.shape[0] - PATCH_PX, PATCH_PX):
        for left in range(0, image.shape[1] - PATCH_PX, PATCH_PX):
            beside = left + PATCH_PX < x - 0.6 * width or left > x + 1.6 * width
            if not (beside and top < y + 1.1 * height):
                continue
            patch = _green(image, (top, left))
            if DARKEST < patch.mean() < BRIGHTEST:
                spots.append((float(patch.std()), (top, left)))
    return [spot for _, spot in sorted(spots)[:PATCHES]]


def _green(image: Image, spot: tuple[int, int]) -> Image:
    """Half of a sensor's pixels are green: of the three channels it is the least made up."""
    top, left = spot
    return image[top : top + PATCH_PX, left : left + PATCH_PX, 1]


class InjectionWatch:
    """All signs together."""

    def __init__(self) -> None:
        self._times = FrameTimes()
        self._noise = SensorNoise()

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        """Take the next frame, uint8 [height, width, 3] BGR, and the face in it."""
        self._times.observe(at)
        self._noise.observe(image, face, at)

    def signs(self) -> tuple[str, ...]:
        """Stable codes of what no sensor does."""
        return tuple(sign for sign in (self._times.sign(), self._noise.sign()) if sign)
