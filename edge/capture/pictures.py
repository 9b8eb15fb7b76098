"""Pictures from files and streams: decoded only after their header was judged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps

from edge.errors import InputError
from edge.model import Image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "JPEG2000")
MAX_BYTES = 32 * 1024 * 1024  # a 40-megapixel JPEG of a good camera has 20 MB
MAX_PIXELS = 40_000_000  # 120 MB decoded; more would hurt a small appliance
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".jp2"})


def read_picture(path: Path) -> Image:
    """Read a picture file as uint8 [height, width, 3], BGR, upright as its EXIF orientation says.

    Raises:
        InputError: NOT_A_PICTURE or PICTURE_TOO_LARGE.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            "NOT_A_PICTURE",
            f"The picture {path.name} cannot be read ({error.strerror or type(error).__name__}).",
            hint="Check the path and the permission to read it.",
        ) from error
    return decode_picture(data, name=path.name)


def decode_picture(data: bytes, *, name: str) -> Image:
    """Decode as ``read_picture`` does; ``name`` is for the message.

    Raises:
        InputError: NOT_A_PICTURE or PICTURE_TOO_LARGE.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"more than {MAX_BYTES} bytes")
    with _faults_of_pillow(name):
        picture = PilImage.open(io.BytesIO(data), formats=FORMATS)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name, f"{picture.width}x{picture.height} pixels")
        with _faults_of_pillow(name):
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8)[:, :, ::-1])


@contextmanager
def _faults_of_pillow(name: str) -> Iterator[None]:
    try:
        yield
    except (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning, MemoryError) as error:
        raise _too_large(name, "more than can be decoded") from error
    # Hostile bytes make its parsers fail in any way: RuntimeError of AVIF, struct.error, TypeError and
    # AttributeError of EXIF. Only calls of Pillow stand in here, so no fault of ours is hidden.
    except Exception as error:
        raise InputError(
            "NOT_A_PICTURE",
            f"{name} is not a picture that can be read.",
            hint=f"Use one of {', '.join(FORMATS)}.",
        ) from error


def _too_large(name: str, detail: str) -> InputError:
    return InputError(
        "PICTURE_TOO_LARGE",
        f"The picture {name} is too large ({detail}).",
        hint=f"Use one of at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_BYTES // 2**20} MiB.",
    )
