"""Made faces for the passive cues: textures with known properties, no picture of anybody."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from edge.model import Face, Image

HEIGHT, WIDTH = 360, 480


@functools.cache
def _texture(seed: int, height: int, width: int, grain: float) -> Image:
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0, np.float32)
    for size, strength in ((grain, 9.0), (3 * grain, 16.0), (9 * grain, 24.0)):
        drawn = rng.standard_normal((height, width, 3), dtype=np.float32)
        noise = cv2.GaussianBlur(drawn, (0, 0), size)
        picture += strength * noise / noise.std()
    return np.clip(picture, 0, 255).astype(np.uint8)


def texture(seed: int, *, height: int = HEIGHT, width: int = WIDTH, grain: float = 2.0) -> Image:
    """Smooth coloured blotches of several sizes: power that falls with frequency, corners everywhere."""
    return _texture(seed, height, width, grain).copy()


def face_at(x: float = 240.0, y: float = 180.0, inter_eye: float = 44.0) -> Face:
    """An upright face whose eyes are ``inter_eye`` apart and whose nose is at (x, y)."""
    unit = inter_eye / 44.0
    points = np.array([[-22, -24], [22, -24], [0, 0], [-17, 24], [17, 24]], np.float32) * unit + (x, y)
    return Face((x - 50 * unit, y - 65 * unit, 100 * unit, 130 * unit), points.astype(np.float32), 0.95)


def noisy(picture: Image, seed: int, sigma: float = 2.0) -> Image:
    """The same with a sensor's noise."""
    noise = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture + sigma * noise, 0, 255).astype(np.uint8)


def moved(picture: Image, right: float, down: float, *, turn_deg: float = 0.0, tilt: float = 0.0) -> Image:
    """As a flat picture looks that is shifted, turned and tilted: a homography about the middle."""
    height, width = picture.shape[:2]
    turn = np.deg2rad(turn_deg)
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    plane = np.array(
        [[np.cos(turn), -np.sin(turn), right], [np.sin(turn), np.cos(turn), down], [tilt, tilt / 2, 1]]
    )
    matrix = np.linalg.inv(centre) @ plane @ centre
    warped = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.uint8)


def blinked(picture: Image, face: Face) -> Image:
    """The same with lids and lips changed: patches of skin over both eyes and the mouth."""
    shut = picture.copy()
    mouth = face.points[3:].mean(axis=0)
    for x, y in (*face.points[:2], mouth):
        cv2.ellipse(shut, (round(float(x)), round(float(y))), (15, 9), 0, 0, 360, (120, 140, 170), -1)
    return np.asarray(cv2.GaussianBlur(shut, (0, 0), 0.8), np.uint8)


@dataclass(frozen=True, slots=True)
class FixedExpert:
    """A frame expert that always says the same; ``share`` None: it fails each time."""

    share: float | None
    name: str = "texture"
    model_sha256: str = "ab" * 32

    def live(self, image: Image, face: Face) -> float:
        if self.share is None:
            raise ValueError("no usable answer")
        return self.share
