"""Where the face of the first picture lies in each later one, more surely than five points tell.

A detector sees its points anew in each picture, some hundredths of the distance of the eyes off. What is then
measured beside hair or a shadow changes with every slip, by more than a screen's light changes it. The
pattern of the face does not slip: it is brought onto that of the first picture by the affine map that makes
both agree best (enhanced correlation coefficient, Evangelidis and Psarakis 2008). Both are normalised in each
place, so that light changes nothing, and mouth and chin, which move meanwhile, are left out.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.aligned import upright
from edge.model import Face, Image

SIDE = 64  # of the upright face, in pixels
EYES_PX = 22.0  # between its eyes
EYES_AT = (32.0, 27.0)  # their middle
FACE, FACE_BELOW = (1.05, 1.18), 0.14
"""Half axes of the ellipse that is compared, and its centre below the eyes, in eye distances."""

JAW, JAW_BELOW = (0.6, 0.6), 1.1
"""The same of what is left out of it."""

STEPS, CLOSE_ENOUGH = 20, 1e-3
MOST_SLIP = 0.15  # eye distances; what lies farther from the detector's points is another pattern

_Matrix = npt.NDArray[np.float64]


class Registration:
    """Holds the first picture's pattern, and finds it in others."""

    def __init__(self, image: Image, face: Face) -> None:
        """``image``: uint8 [height, width, 3] BGR."""
        matrix = upright(face, EYES_PX, EYES_AT)
        self._pattern = _normalised(_warped(image, matrix))
        self._points = _apply(matrix, face.points.astype(np.float64))
        self._mask = np.zeros((SIDE, SIDE), np.uint8)
        for (across, down), below, taken in ((FACE, FACE_BELOW, 255), (JAW, JAW_BELOW, 0)):
            centre = (round(EYES_AT[0]), round(EYES_AT[1] + below * EYES_PX))
            axes = (round(across * EYES_PX), round(down * EYES_PX))
            cv2.ellipse(self._mask, centre, axes, 0, 0, 360, taken, -1)

    def place(self, image: Image, face: Face) -> Face:
        """``face`` of another picture with its points where the first picture's are found again.

        As it is where they are not found.
        """
        matrix = upright(face, EYES_PX, EYES_AT)
        start = np.eye(2, 3, dtype=np.float32)
        until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, CLOSE_ENOUGH)
        view = _normalised(_warped(image, matrix))
        try:
            _, found = cv2.findTransformECC(
                self._pattern, view, start, cv2.MOTION_AFFINE, until, self._mask, 1
            )
        except cv2.error:  # nothing in common, as in the dark
            return face
        there = _apply(np.asarray(found, np.float64), self._points)
        points = _apply(np.asarray(cv2.invertAffineTransform(matrix), np.float64), there)
        slip = np.hypot(*(points - face.points)[:3].T)  # lips move by themselves
        if not np.isfinite(points).all() or slip.max() > MOST_SLIP * face.inter_eye:
            return face
        return dataclasses.replace(face, points=points.astype(np.float32))


def _warped(image: Image, matrix: _Matrix) -> Image:
    warped = cv2.warpAffine(
        image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _normalised(grey: Image) -> npt.NDArray[np.float32]:
    """Less the mean about each place, over the mean deviation there; a little smoothed."""
    light = grey.astype(np.float32)
    detail = light - cv2.GaussianBlur(light, (0, 0), 4)
    spread = cv2.GaussianBlur(np.abs(detail), (0, 0), 6) + 2.0
    return np.asarray(cv2.GaussianBlur(detail / spread, (0, 0), 1), dtype=np.float32)


def _apply(matrix: _Matrix, points: _Matrix) -> _Matrix:
    """``points``: [n, 2]."""
    moved: _Matrix = points @ matrix[:, :2].T + matrix[:, 2]
    return moved
