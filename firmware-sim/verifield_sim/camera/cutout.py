"""Cut head and shoulders out of a portrait."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_WORK_BOX_PX = 60  # the face box's width while searching: enough for an outline, and quick
_ROUNDS = 4


def cut_out(portrait: Image, box: Box) -> Image:
    """As :func:`_cut_out`; the newest few are remembered, for many scenes show one portrait."""
    return _remembered(portrait.tobytes(), portrait.shape, box).copy()


@lru_cache(maxsize=4)
def _remembered(data: bytes, shape: tuple[int, ...], box: Box) -> Image:
    return _cut_out(np.frombuffer(data, np.uint8).reshape(shape), box)


def _cut_out(portrait: Image, box: Box) -> Image:
    """Return uint8 [height, width] cover 0..255 of the person in ``portrait`` (BGR), soft at the edge.

    GrabCut (Rother et al. 2004), told by the face ``box`` where head and chest must be and where they
    cannot be.
    """
    scale = _WORK_BOX_PX / box[2]
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = _prior(small.shape[:2], (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale))
    cv2.setRNGSeed(1)
    colours = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, (0, 0, 0, 0), *colours, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    smooth = cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    person = _biggest_part(smooth.astype(np.uint8))
    person = _flipped(_biggest_part(_flipped(person)))  # holes belong to the person
    _round_off(person, until_row=round((box[1] + 0.3 * box[3]) * scale))
    blurred = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.2)
    # Slightly inside the outline, so that no rim of the old background comes along.
    soft = np.clip((blurred - 0.45) / 0.5, 0.0, 1.0)
    full = cv2.resize(soft, (portrait.shape[1], portrait.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(full, 0.0, 1.0) * 255, dtype=np.uint8)


def _prior(shape: tuple[int, int], box: tuple[float, float, float, float]) -> npt.NDArray[np.uint8]:
    """Head as an ellipse, chest as a trapezium: sure inside, likely around, impossible beyond."""
    x, y, w, h = box
    cx = x + w / 2
    mask = np.full(shape, cv2.GC_BGD, np.uint8)

    def ellipse(centre_y: float, rx: float, ry: float, value: int) -> None:
        centre = (round(cx), round(y + centre_y * h))
        cv2.ellipse(mask, centre, (round(rx * w), round(ry * h)), 0, 0, 360, value, -1)

    def chest(top: float, half_top: float, bottom: float, half_bottom: float, value: int) -> None:
        corners = [(-half_top, top), (half_top, top), (half_bottom, bottom), (-half_bottom, bottom)]
        below = [(half_bottom, 9.0), (-half_bottom, 9.0)]
        points = [(cx + px * w, y + py * h) for px, py in corners[:3] + below + corners[3:]]
        cv2.fillPoly(mask, [np.array(points, np.int32)], value)

    ellipse(0.30, 0.75, 1.05, cv2.GC_PR_BGD)
    chest(1.05, 0.5, 1.6, 2.1, cv2.GC_PR_BGD)
    ellipse(0.42, 0.68, 0.95, cv2.GC_PR_FGD)
    chest(1.1, 0.45, 2.0, 1.3, cv2.GC_PR_FGD)
    ellipse(0.50, 0.46, 0.62, cv2.GC_FGD)
    chest(1.0, 0.25, 2.2, 0.8, cv2.GC_FGD)
    return mask


def _round_off(person: npt.NDArray[np.uint8], until_row: int) -> None:
    """Make the part above the eyes convex in place: hats and hair have no bites."""
    points = cv2.findNonZero(person[:until_row])
    if points is not None:
        cv2.fillConvexPoly(person, cv2.convexHull(points), 1)


def _biggest_part(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.uint8)


def _flipped(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(1 - mask, dtype=np.uint8)
