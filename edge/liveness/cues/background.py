"""Does what surrounds the face move with it? A picture that is held up takes its own background along.

Principle: before a camera that stands, the room stays where it is while a head moves; a print or a screen in
somebody's hand moves as one piece, face, pictured room and border alike, also where a video plays on it
(Anjos and Marcel 2011: the motion of face and background together). Corners around the person are followed
from one frame to another; told is how many of them move, as one.

Says nothing about an instrument on a stand, and nothing where the camera itself is in a hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from edge.liveness.cues.tracks import Points, follow_corners
from edge.liveness.cues.view import Box, FaceView
from edge.model import Image

MAX_CORNERS = 60
MIN_TRACKS = 20  # over all pairs of frames
ROUND_TRIP_PX = 0.7
STILL_PX, STILL_EYES = 0.3, 0.015  # scene pixels, eye distances: less is the tracking's own unrest
AS_ONE = 0.35  # of the common motion: a corner that differs by less goes along with the others
TEXTURED = 14  # grey levels within five pixels
REACH = 2.5  # face widths to every side: what is further away may be behind an instrument


@dataclass(frozen=True, slots=True)
class Drift:
    """Of the corners around a person between two frames: how many were followed, how many moved as one."""

    followed: int
    moved: int


def drift(first: FaceView, second: FaceView) -> Drift | None:
    """Follow the surroundings from one frame to a later one; None where the picture's size changed."""
    if first.scene.shape != second.scene.shape:
        return None
    around = _around(first) & _textured(first.scene)
    start, end = follow_corners(
        first.scene, second.scene, around, most=MAX_CORNERS, apart=4, round_trip=ROUND_TRIP_PX
    )
    return Drift(len(start), _as_one(end - start, max(STILL_PX, STILL_EYES * first.scene_eyes)))


def stillness(drifts: Iterable[Drift]) -> float | None:
    """1 less the share of the followed corners that moved as one, over pairs of frames; None: too few."""
    followed = moved = 0
    for one in drifts:
        followed += one.followed
        moved += one.moved
    return 1.0 - moved / followed if followed >= MIN_TRACKS else None


def _as_one(motion: Points, still: float) -> int:
    lengths = np.hypot(*motion.T)
    going = motion[lengths > still]
    if len(going) == 0:
        return 0
    common = np.median(going, axis=0)
    tolerance = AS_ONE * float(np.hypot(*common)) + still / 2
    return int(np.count_nonzero(np.hypot(*(going - common).T) <= tolerance))


def _textured(scene: Image) -> Image:
    """Where there is more than the camera's noise on a bare wall."""
    plain = cv2.blur(scene, (3, 3))
    contrast = cv2.morphologyEx(plain, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    return np.asarray((contrast >= TEXTURED) * np.uint8(255), dtype=np.uint8)


def _around(view: FaceView) -> Image:
    """What surrounds the person: no hair, neck or shoulders."""
    x, y, w, h = view.scene_box
    around = np.zeros(view.scene.shape, np.uint8)
    _fill(around, (x + w / 2 - REACH * w, y - 0.8 * h, 2 * REACH * w, (2.4 + 0.8) * h), 255)
    _fill(around, (x - 0.25 * w, y - 0.35 * h, 1.5 * w, 1.5 * h), 0)
    _fill(around, (x - 0.9 * w, y + 1.0 * h, 2.8 * w, 10 * h), 0)
    return around


def _fill(mask: Image, box: Box, value: int) -> None:
    x, y, w, h = box
    top, left = max(0, round(y)), max(0, round(x))
    mask[top : max(top, round(y + h)), left : max(left, round(x + w))] = value
