"""Brings a face to the pose that the embedding network was trained on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.geometry import similarity
from edge.model import Face, Image

SIDE = 112
# Bilinear sampling skips pixels beyond this reduction, so that sensor noise reaches the template: a larger
# picture is averaged down first (with noise of 12 grey levels the cosine to itself rises from 0.95 to 0.99).
MAX_REDUCTION = 2.0


def reference_points() -> npt.NDArray[np.float64]:
    """Where SFace wants eyes, nose tip and mouth corners: [5, 2], pixels of the 112x112 picture."""
    return np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )


def align(image: Image, face: Face) -> Image:
    """Cut ``face`` out of ``image`` (uint8 [height, width, 3]) as uint8 [112, 112, 3], same channel order.

    Raises:
        ValueError: all five points are one.
    """
    points = face.points.astype(np.float64)
    matrix = similarity(points, reference_points())
    reduction = 1.0 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
    if reduction > MAX_REDUCTION:
        image, points = _reduced(image, points, reduction)
        matrix = similarity(points, reference_points())
    warped = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)


def _reduced(
    image: Image, points: npt.NDArray[np.float64], reduction: float
) -> tuple[Image, npt.NDArray[np.float64]]:
    height, width = image.shape[:2]
    size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    factors = np.array([size[0] / width, size[1] / height])
    return small, (points + 0.5) * factors - 0.5  # pixel centres, not corners
