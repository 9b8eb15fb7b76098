"""Portraits from packages, faces made of numbers, and where further pictures lie."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import skimage
from PIL import Image as PilImage

from edge.capture.pictures import read_picture
from edge.model import Face, Image

SCREEN_POINTS = ((40.0, 50.0), (60.0, 50.0), (50.0, 60.0), (42.0, 70.0), (58.0, 70.0))
"""A frontal face with 20 pixels between the eyes, its nose at (50, 60)."""

PORTRAITS = ("astronaut", "grace_hopper")


def portrait_path(name: str) -> Path:
    """File of a public-domain portrait that a package ships."""
    return {
        "astronaut": Path(skimage.__file__).parent / "data" / "astronaut.png",
        "grace_hopper": Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    }[name]


def portrait(name: str) -> Image:
    return read_picture(portrait_path(name))


def face(
    *, scale: float = 1.0, at: tuple[float, float] = (0.0, 0.0), nose_shift: float = 0.0, score: float = 0.95
) -> Face:
    """A frontal face; ``nose_shift``: in pixels of the unscaled face, to the right."""
    points = np.array(SCREEN_POINTS, dtype=np.float32)
    points[2, 0] += nose_shift
    points = points * scale + np.array(at, dtype=np.float32)
    x, y = 30 * scale + at[0], 35 * scale + at[1]
    return Face(box=(x, y, 40 * scale, 45 * scale), points=points, score=score)


def turned(original: Face, degrees: float) -> Face:
    """The same face rolled about its nose; positive: the right end of the eye line goes down."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = original.points[2]
    points = ((original.points - centre) @ matrix + centre).astype(np.float32)
    return Face(original.box, points, original.score)


def as_chip_photo(image: Image, found: Face, *, encoding: str = "WEBP") -> Image:
    """Cut ``image`` as a card's portrait is cut, reduce it to 102x126 and squeeze it into 1024 bytes."""
    scale = 102 * 0.27 / found.inter_eye
    left, top = found.points[:2].mean(axis=0) * scale - np.array([51.0, 0.45 * 126])
    matrix = np.array([[scale, 0, -left], [0, scale, -top]])
    soft = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 0.5 else image
    small = cv2.warpAffine(soft, matrix, (102, 126), borderMode=cv2.BORDER_REPLICATE)
    return squeezed(np.asarray(small, dtype=np.uint8), encoding=encoding)


def squeezed(image: Image, *, encoding: str) -> Image:
    """What is left of a picture in at most 1024 bytes."""
    source = PilImage.fromarray(image[:, :, ::-1])
    for quality in range(60, -1, -4):
        buffer = io.BytesIO()
        source.save(buffer, encoding, quality=quality)
        if len(buffer.getvalue()) <= 1024:
            decoded = PilImage.open(buffer).convert("RGB")
            return np.ascontiguousarray(np.asarray(decoded)[:, :, ::-1])
    raise AssertionError("the picture does not fit into 1024 bytes")


def shared_folder(name: str) -> Path:
    """A folder of the development data; skips the test where it is absent."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("VERIFIELD_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"the development data {name} is not here (VERIFIELD_DATA names its folder)")
    return folder


def shared_pictures(folder: str) -> Iterator[Path]:
    """Pictures below a folder of the development data, by name."""
    wanted = {".jpg", ".png", ".pgm", ".bmp"}
    return (path for path in sorted(shared_folder(folder).rglob("*")) if path.suffix.lower() in wanted)
