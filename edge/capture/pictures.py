"""Pictures from files and streams: decoded only after their header was judged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from edge.errors import InputError
from edge.model import Image
from verifield.jpeg import is_laborious_jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "JPEG2000")
MAX_BYTES = 32 * 1024 * 1024  # a 40-megapixel JPEG of a good camera has 20 MB
MAX_PIXELS = 40_000_000  # 120 MB decoded; more would hurt a small appliance
_ORIENTATION = 0x0112  # of EXIF, of which nothing else is looked at: what cameras write there is often odd
_UPRIGHT = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_270,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_90,
}
_OPAQUE = 255
_PREVIEWS = "MPO"  # a camera's JPEG with smaller copies behind it
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".jp2"})


def read_picture(path: Path) -> Image:
    """Read a picture file as uint8 [height, width, 3], BGR, upright as its EXIF orientation says.

    Raises:
        InputError: NOT_A_PICTURE or PICTURE_TOO_LARGE.
    """
    if path.is_fifo():
        raise _unreadable(path, "it is a pipe, which may never end")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have, with a NUL in it
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(path, why or type(error).__name__) from error
    return decode_picture(data, name=path.name)


def decode_picture(data: bytes, *, name: str) -> Image:
    """Decode as ``read_picture`` does; ``name`` is for the message.

    Raises:
        InputError: NOT_A_PICTURE or PICTURE_TOO_LARGE.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"more than {MAX_BYTES} bytes")
    if is_laborious_jpeg(data):
        raise _laborious(name)
    with _faults_of_pillow(name):
        picture = PilImage.open(io.BytesIO(data), formats=FORMATS)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name, f"{picture.width}x{picture.height} pixels")
        with _faults_of_pillow(name):
            several = getattr(picture, "n_frames", 1) > 1 and picture.format != _PREVIEWS
        if several:
            raise _not_one(name, "holds several pictures, and nobody can say which one counts")
        with _faults_of_pillow(name):
            turn = _UPRIGHT.get(picture.getexif().get(_ORIENTATION, 1))
            whole = picture.convert("RGBA") if picture.has_transparency_data else _in_eight_bits(picture)
            seen_through = "A" in whole.getbands() and (np.asarray(whole.getchannel("A")) < _OPAQUE).any()
        if seen_through:
            raise _not_one(name, "is transparent in places, and what it shows depends on what lies behind it")
        with _faults_of_pillow(name):
            colours = whole.convert("RGB")
            pixels = np.asarray(colours if turn is None else colours.transpose(turn), dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _in_eight_bits(picture: PilImage.Image) -> PilImage.Image:
    """Pillow would cut grey values of 16 bits off at 255 instead of scaling them."""
    if not picture.mode.startswith("I"):
        return picture
    return PilImage.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


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


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        "NOT_A_PICTURE",
        f"The picture {path.name} cannot be read ({why}).",
        hint="Check the path and the permission to read it.",
    )


def _not_one(name: str, why: str) -> InputError:
    return InputError(
        "NOT_A_PICTURE",
        f"{name} {why}.",
        hint="Save it as one picture without transparency, say as JPEG.",
    )


def _laborious(name: str) -> InputError:
    return InputError(
        "NOT_A_PICTURE",
        f"{name} is stored in more scans or segments than a camera writes.",
        hint="Save it again, as a baseline JPEG or as PNG.",
    )


def _too_large(name: str, detail: str) -> InputError:
    return InputError(
        "PICTURE_TOO_LARGE",
        f"The picture {name} is too large ({detail}).",
        hint=f"Use one of at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_BYTES // 2**20} MiB.",
    )
