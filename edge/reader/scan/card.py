"""A card in a picture: where its edges are, and the card seen from straight above. Pure image work.

ISO/IEC 7810 gives ID-1 cards 85.60 by 53.98 mm, and passports' data pages (ID-3) 125 by 88 mm.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Image

Quad = npt.NDArray[np.float32]
"""[4, 2]: corners from top left, clockwise as seen."""

ID1_SIZE = (1012, 638)
"""Width and height in pixels: 300 to the inch."""

_ID1_RATIO = 85.60 / 53.98
_ID3_RATIO = 125.0 / 88.0
_RATIO_TOLERANCE = 0.16  # a card that is held askew looks shorter
_WORK_SIDE = 800  # edges are sought in a picture of this size: fine ones are noise
_LEAST_AREA = 0.12  # of the picture: a smaller card has letters too small to read
_MOST_AREA = 0.98
_CANNY = ((20, 60), (50, 150), (100, 220))
_SEAM = 11  # pixels of the working picture
_LEAST_CONTRAST = 12.0  # grey levels of 255; the sensor's own noise averages out to far less
_REFINE = 8  # pixels to each side of a corner
_STRAIGHT = 0.02  # of the outline's length: how far a side may bend


def find_card(image: Image, *, ratios: tuple[float, ...] = (_ID1_RATIO, _ID3_RATIO)) -> Quad | None:
    """Return the corners of the largest card in ``image`` (uint8 [height, width, 3] BGR), or None."""
    scale = _WORK_SIDE / max(image.shape[:2])
    if round(scale * min(image.shape[:2])) == 0:  # nothing is left of so narrow a picture
        return None
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    area = small.shape[0] * small.shape[1]
    best: tuple[float, Quad] | None = None
    for outline in _outlines(small):
        quad = _to_quad(outline)
        if quad is None or not _fits(quad, ratios):
            continue
        covered = float(cv2.contourArea(quad)) / area
        larger = best is None or covered > best[0]
        if _LEAST_AREA <= covered <= _MOST_AREA and larger and _stands_out(small, quad):
            best = covered, quad
    return None if best is None else _refined(image, np.asarray(best[1] / scale, np.float32))


def rectify(image: Image, quad: Quad, *, size: tuple[int, int] = ID1_SIZE) -> Image:
    """Return what lies within ``quad`` as uint8 [height, width, 3], width and height from ``size``."""
    width, height = size
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, target)
    return np.asarray(cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def turn_over(image: Image) -> Image:
    """The same, upside down."""
    return np.ascontiguousarray(image[::-1, ::-1])


def _outlines(small: Image) -> Iterator[npt.NDArray[np.int32]]:
    """Outlines of what could be a card: by edges at several strengths, and by brightness."""
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    kernel = np.ones((5, 5), np.uint8)
    masks = [cv2.morphologyEx(cv2.Canny(grey, *limits), cv2.MORPH_CLOSE, kernel) for limits in _CANNY]
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    masks += [bright, cv2.bitwise_not(bright)]
    for mask in masks:
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        yield from (np.asarray(outline, np.int32) for outline in found)


def _stands_out(small: Image, quad: Quad) -> bool:
    """Whether there is something else than the card around it: a seam inside and outside of its edges."""
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(quad).astype(np.int32), 255)
    kernel = np.ones((_SEAM, _SEAM), np.uint8)
    within = cv2.subtract(inside, cv2.erode(inside, kernel))
    around = cv2.subtract(cv2.dilate(inside, kernel), inside)
    if not within.any() or not around.any():
        return False
    difference = np.subtract(cv2.mean(grey, within)[0], cv2.mean(grey, around)[0])
    return bool(abs(difference) >= _LEAST_CONTRAST)


def _refined(image: Image, quad: Quad) -> Quad:
    """The corners to a fraction of a pixel of the whole picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.05)
    corners = cv2.cornerSubPix(grey, quad.reshape(4, 1, 2).copy(), (_REFINE, _REFINE), (-1, -1), stop)
    return np.asarray(corners, np.float32).reshape(4, 2)


def _to_quad(outline: npt.NDArray[np.int32]) -> Quad | None:
    """The four corners of an outline whose convex hull is a quadrangle."""
    hull = cv2.convexHull(outline)
    length = float(cv2.arcLength(hull, True))
    for bend in (_STRAIGHT, 2 * _STRAIGHT):
        corners = cv2.approxPolyDP(hull, bend * length, True)
        if len(corners) == 4:
            return _ordered(corners.reshape(4, 2).astype(np.float32))
    return None


def _ordered(corners: Quad) -> Quad:
    """Clockwise as seen, with a long side on top, and of the two such sides the upper one."""
    centre = corners.mean(axis=0)
    around = np.arctan2(corners[:, 1] - centre[1], corners[:, 0] - centre[0])
    clockwise = corners[np.argsort(around)]
    sides = np.linalg.norm(np.roll(clockwise, -1, axis=0) - clockwise, axis=1)
    first_long = 0 if sides[0] + sides[2] >= sides[1] + sides[3] else 1
    starts = (first_long, first_long + 2)
    top = min(starts, key=lambda i: clockwise[i % 4][1] + clockwise[(i + 1) % 4][1])
    return np.asarray(np.roll(clockwise, -top, axis=0), np.float32)


def _fits(quad: Quad, ratios: tuple[float, ...]) -> bool:
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    across, down = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    if down <= 0 or not cv2.isContourConvex(quad.astype(np.int32)):
        return False
    return any(abs(across / down / ratio - 1) <= _RATIO_TOLERANCE for ratio in ratios)
