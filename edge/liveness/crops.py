"""The part of a picture that a texture network looks at: a face with its surroundings.

Where the geometry comes from: Minivision, Silent-Face-Anti-Spoofing (2020), ``CropImage``. What surrounds
a face tells much of what carries it: the bezel of a screen, the edge of a sheet, the hand that holds it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Face, Image

SIDE = 80
NEAR, FAR = 2.7, 4.0  # how much larger than the face's box a crop is
MIN_FACE = 16.0  # pixels; under that a crop of 80 pixels is made up, not seen


def crop_window(
    size: tuple[int, int], box: tuple[float, float, float, float], scale: float
) -> tuple[int, int, int, int]:
    """Grow ``box`` (x, y, width, height) about its centre; first column, first row, last column, last row.

    ``size``: height and width of the picture. The window is no larger than the picture, and moved into it
    where it stands out: nothing is ever padded.

    Raises:
        ValueError: the box is not finite, smaller than MIN_FACE, or its centre lies outside the picture.
    """
    height, width = size
    x, y, across, down = box
    if not all(map(math.isfinite, box)) or min(across, down) < MIN_FACE:
        raise ValueError("a face of at least 16 pixels is needed")
    middle_x, middle_y = x + across / 2, y + down / 2
    if not (0 <= middle_x < width and 0 <= middle_y < height):
        raise ValueError("the face lies outside the picture")
    grown = min((height - 1) / down, (width - 1) / across, scale)
    left = min(max(middle_x - across * grown / 2, 0.0), width - 1 - across * grown)
    top = min(max(middle_y - down * grown / 2, 0.0), height - 1 - down * grown)
    return int(left), int(top), int(left + across * grown), int(top + down * grown)


def crop(image: Image, face: Face, scale: float, side: int = SIDE) -> Image:
    """Cut the face with its surroundings, uint8 [side, side, 3], BGR.

    Raises:
        ValueError: not such a picture, or as ``crop_window``.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError("a picture is [height, width, 3], in bytes")
    left, top, right, bottom = crop_window((image.shape[0], image.shape[1]), face.box, scale)
    part = image[top : bottom + 1, left : right + 1]
    return np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def as_blob(picture: Image) -> npt.NDArray[np.float32]:
    """uint8 [side, side, 3] as float32 [1, 3, side, side], 0..255, channels in the same order."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
