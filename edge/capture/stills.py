"""Pictures that are kept beside a record, as files."""

from __future__ import annotations

import cv2

from edge.model import Image

JPEG_QUALITY = 90
"""A third of a megabyte for a full picture: what a reviewer sees is the face, not the artefacts."""


def encode_shot(pixels: Image) -> bytes:
    """Return a JPEG of a camera's picture (uint8 [height, width, 3], BGR)."""
    return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def encode_portrait(pixels: Image) -> bytes:
    """Return a PNG, without loss: a card's portrait is small and has been compressed before."""
    return _encode(".png", pixels, [])


def _encode(suffix: str, pixels: Image, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise AssertionError(f"OpenCV has no encoder for {suffix}")
    return data.tobytes()
