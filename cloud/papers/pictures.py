"""Pictures from outside: opened with one limit, told by its header before anything is unpacked."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from verifield.jpeg import is_laborious_jpeg


class PictureError(ValueError):
    """Not one of the formats, or broken."""


class PictureTooLargeError(PictureError):
    """It has more pixels than allowed, or a side that is too short to show anything."""


def open_picture(
    content: bytes, *, formats: Sequence[str], most_pixels: int, least_side: int = 1
) -> Image.Image:
    """The picture in RGBA.

    Raises:
        PictureError: it is none that can be read.
    """
    if is_laborious_jpeg(content):
        raise PictureError("a picture takes too long to decode")
    try:
        with Image.open(io.BytesIO(content), formats=tuple(formats)) as picture:
            fits = math.prod(picture.size) <= most_pixels and min(picture.size) >= least_side
            layer = picture.convert("RGBA") if fits else None
    except MemoryError:
        raise
    except Exception as error:  # Pillow fails in many ways, IndexError among them: all mean the same here
        raise PictureError("a picture cannot be read") from error
    if layer is None:
        raise PictureTooLargeError("a picture has too many pixels, or too few")
    return layer


def on_white(layer: Image.Image) -> Image.Image:
    """RGB, on white where the picture lets something through."""
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
