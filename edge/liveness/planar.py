"""The passive cue over time: does the face move like a flat picture?

Two views of a plane differ by a homography, however it is moved, tilted or rotated (Hartley and
Zisserman, Multiple View Geometry, section 13.1). A head that turns does not obey one: the nose moves
against the cheeks. So points on the face are followed from a frontal frame through the turn, the best
homography is fitted robustly, and what it leaves over is put in relation to the tilt that the
homography itself shows. That quotient, in eye distances, measures how deep the face is: it hardly
depends on how far the person turned, and it is small for a sheet even where the sheet is bent a little.

Dozens of tracked points are used rather than the detector's five: five leave two equations to spare,
and the detector's own unrest (0.02 eye distances) is as large as the signal. Points around the face are
left out on purpose: behind a print's edge lies a room, whose parallax would make the print look deep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Face, Image

WORK_INTER_EYE_PX = 40.0  # enough for half a hundred corners, small enough for 4 ms a frame
MARGIN_BOXES = 1.0  # room for the turning face around its box; further out there is nothing to follow
MAX_POINTS = 120
CONFIDENCE = 0.95
"""That one draw of four points is good where 45 % of all are not: 31 draws. 55, for 0.995, take half as long
again; simulated prints then differ by 0.0015 at most, far below what tells them from heads."""

ROUND_TRIP_PX = 0.5  # a point that does not return to where it came from was lost (Kalal et al. 2010)
FACE_HALF_WIDTH, FACE_HALF_HEIGHT, FACE_BELOW_EYES = 0.9, 1.1, 0.45  # ellipse in eye distances, brow to chin

_Points = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PlanarReading:
    """How badly one frame fits a plane.

    ``residual``: median distance to the best homography, in eye distances. ``tilt_deg``: turn of a plane
    that the homography shows. ``points``: how many were still followed.
    """

    residual: float
    tilt_deg: float
    points: int

    @property
    def relief(self) -> float:
        """Depth of the face per turn, in eye distances."""
        return self.residual / math.sin(math.radians(self.tilt_deg)) if self.tilt_deg > 0 else 0.0


class PlanarTrack:
    """Points of one face, followed frame by frame from a frontal view."""

    def __init__(self, image: Image, face: Face) -> None:
        """Choose the points in a frontal ``image``, uint8 [height, width, 3] BGR."""
        self._scale = min(1.0, WORK_INTER_EYE_PX / face.inter_eye)
        self._window = _window(image, face)
        self._grey = self._prepare(image)
        inside, self._centre = _face_mask(self._grey, face, self._scale, self._window)
        self._inter_eye = face.inter_eye * self._scale
        found = cv2.goodFeaturesToTrack(self._grey, MAX_POINTS, 0.01, 3, mask=inside, blockSize=5)
        self._first: _Points = np.zeros((0, 2), np.float32) if found is None else _flat(found)
        self._now = self._first

    def advance(self, image: Image) -> PlanarReading | None:
        """Follow the points into ``image``; None where there are too few for a homography."""
        grey = self._prepare(image)
        if len(self._now):
            there, kept = _follow(self._grey, grey, self._now)
            back, kept_back = _follow(grey, self._grey, there)
            good = kept & kept_back & (np.hypot(*(back - self._now).T) < ROUND_TRIP_PX)
            self._first, self._now = self._first[good], there[good]
        self._grey = grey
        return self._measure()

    def _prepare(self, image: Image) -> Image:
        left, top, right, bottom = self._window
        grey = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
        if self._scale < 1.0:
            grey = cv2.resize(grey, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, dtype=np.uint8)

    def _measure(self) -> PlanarReading | None:
        if len(self._now) < 8:  # LMedS needs a majority of points besides the four that it draws
            return None
        plane, _ = cv2.findHomography(self._first, self._now, cv2.LMEDS, confidence=CONFIDENCE)
        if plane is None or not np.isfinite(plane).all():
            return None
        expected = cv2.perspectiveTransform(self._first[:, None], plane)[:, 0]
        residual = float(np.median(np.hypot(*(expected - self._now).T))) / self._inter_eye
        tilt = _tilt_deg(np.asarray(plane, dtype=np.float64), self._centre)
        return PlanarReading(residual, tilt, len(self._now))


def _tilt_deg(plane: npt.NDArray[np.float64], at: tuple[float, float]) -> float:
    """Turn of the plane from the unequal scale of the homography at one point: a tilt shortens one axis."""
    x, y = at
    w = plane[2, 0] * x + plane[2, 1] * y + plane[2, 2]
    mapped = (plane[:2] @ np.array([x, y, 1.0])) / w
    jacobian = (plane[:2, :2] - np.outer(mapped, plane[2, :2])) / w
    longer, shorter = np.linalg.svd(jacobian, compute_uv=False)
    if not longer > 0:
        return 0.0
    return math.degrees(math.acos(min(1.0, float(shorter / longer))))


def _follow(before: Image, after: Image, points: _Points) -> tuple[_Points, npt.NDArray[np.bool_]]:
    """Pyramidal Lucas-Kanade (Bouguet 2001)."""
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points[:, None],
        points[:, None].copy(),  # where to start looking
        winSize=(13, 13),
        maxLevel=3,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02),
    )
    return _flat(found), np.asarray(status.ravel() > 0)


def _window(image: Image, face: Face) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the picture that is looked at."""
    x, y, w, h = face.box
    height, width = image.shape[:2]
    return (
        max(0, int(x - MARGIN_BOXES * w)),
        max(0, int(y - MARGIN_BOXES * h)),
        min(width, int(x + (1 + MARGIN_BOXES) * w)),
        min(height, int(y + (1 + MARGIN_BOXES) * h)),
    )


def _face_mask(
    grey: Image, face: Face, scale: float, window: tuple[int, int, int, int]
) -> tuple[Image, tuple[float, float]]:
    """An upright-in-the-head ellipse from brow to chin, and its centre, in the pixels of ``grey``."""
    eyes = (face.points[:2].astype(np.float64) - np.array(window[:2])) * scale
    along = eyes[1] - eyes[0]
    down = np.array([-along[1], along[0]])
    centre = eyes.mean(axis=0) + FACE_BELOW_EYES * down
    size = float(np.hypot(*along))
    mask = np.zeros(grey.shape, np.uint8)
    axes = (round(FACE_HALF_WIDTH * size), round(FACE_HALF_HEIGHT * size))
    angle = math.degrees(math.atan2(along[1], along[0]))
    cv2.ellipse(mask, (round(centre[0]), round(centre[1])), axes, angle, 0, 360, 255, -1)
    return mask, (float(centre[0]), float(centre[1]))


def _flat(points: npt.NDArray[np.generic]) -> _Points:
    return np.asarray(points, dtype=np.float32).reshape(-1, 2)
