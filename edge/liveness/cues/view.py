"""One face of one frame, cut out once for all cues."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.geometry import similarity
from edge.model import Face, Image

SIDE = 112  # of the aligned face
# Where eyes, nose tip and mouth corners come to lie: 44 pixels between the eyes, about what a webcam gives.
LAYOUT = np.array([[34.0, 40.0], [78.0, 40.0], [56.0, 64.0], [39.0, 88.0], [73.0, 88.0]])
MIN_INTER_EYE = 12.0  # pixels; under that nothing about a face can be told
MIN_PICTURE = 32  # pixels
SKIN_SIDE = 160  # pixels: what repeats on paper or screen repeats often enough in these
SCENE_SIDE = 240  # of the whole picture: enough for edges and corners, small enough for a millisecond

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceView:
    """``aligned``: uint8 [SIDE, SIDE], grey, the face at one size and upright (LAYOUT).

    ``skin``: uint8 [h, w, 3], BGR, the middle of the face as the camera gave it, SKIN_SIDE at most.
    ``scene``: uint8 [h, w], grey, the whole picture, its longer side brought down to SCENE_SIDE;
    ``scene_box``: the face's box in it (x, y, width, height), ``scene_eyes``: the distance of its eyes.
    ``at``: seconds.
    """

    aligned: Image
    skin: Image
    scene: Image
    scene_box: Box
    scene_eyes: float
    at: float


def usable(image: Image, face: Face) -> bool:
    """Whether picture and face have a form that cues can be computed from."""
    return bool(
        image.ndim == 3
        and image.shape[2] == 3
        and image.dtype == np.uint8
        and min(image.shape[:2]) >= MIN_PICTURE
        and all(map(math.isfinite, face.box))
        and face.points.shape == (5, 2)
        and np.isfinite(face.points).all()
        and face.inter_eye >= MIN_INTER_EYE
        and _inside(image, face)
    )


def look(image: Image, face: Face, at: float) -> FaceView:
    """Cut out a face for which ``usable`` holds."""
    scale = min(1.0, SCENE_SIDE / max(image.shape[:2]))
    scene = _grey(image if scale == 1.0 else _shrunk(image, scale))
    x, y, w, h = face.box
    box = (x * scale, y * scale, w * scale, h * scale)
    return FaceView(_aligned(image, face), _skin(image, face), scene, box, face.inter_eye * scale, at)


def _inside(image: Image, face: Face) -> bool:
    """Whether the middle of the face lies in the picture, and the box is no larger than twice the picture."""
    x, y, w, h = face.box
    height, width = image.shape[:2]
    middle = 0 <= x + w / 2 < width and 0 <= y + h / 2 < height
    return bool(middle and 8 <= w <= 2 * width and 8 <= h <= 2 * height)


def _skin(image: Image, face: Face) -> Image:
    x, y, w, h = face.box
    across, down = min(w, float(SKIN_SIDE)) / 2, min(h, float(SKIN_SIDE)) / 2
    top, bottom = max(0, int(y + h / 2 - down)), int(y + h / 2 + down)
    left, right = max(0, int(x + w / 2 - across)), int(x + w / 2 + across)
    return image[top:bottom, left:right]


def _aligned(image: Image, face: Face) -> Image:
    part, left, top = _surroundings(image, face)
    points, grey = face.points.astype(np.float64) - (left, top), _grey(part)
    matrix = similarity(points, LAYOUT)
    shrink = math.hypot(matrix[0, 0], matrix[1, 0])
    if shrink < 0.7:  # a large face is averaged down first, or noise and moire would be sampled
        grey = _shrunk(grey, shrink)
        matrix = similarity((points + 0.5) * shrink - 0.5, LAYOUT)
    warped = cv2.warpAffine(
        grey, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)


def _surroundings(image: Image, face: Face) -> tuple[Image, int, int]:
    """The part of the picture that the aligned face is cut from, and its first column and row."""
    x, y = face.points.astype(np.float64).mean(axis=0)
    reach = 2.5 * face.inter_eye
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    part = image[top : max(top, int(y + reach)), left : max(left, int(x + reach))]
    return (part, left, top) if min(part.shape[:2]) >= 8 else (image, 0, 0)


def _grey(picture: npt.NDArray[np.uint8]) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _shrunk(picture: Image, scale: float) -> Image:
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
