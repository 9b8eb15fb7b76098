"""Decoders of the 1024-byte photo field.

Real cards carry a closed format ("WLT") that only vendors' libraries can decode, so the decoder is a
port. Here are the one that decodes nothing, the one for readers that decode by themselves and give a
picture, and the one for the simulator's synthetic cards; ``edge.reader.vendor_photo`` has the vendors'.

    offset  size  content
    0       6     b"VFSIM" 01
    6       1     1 = WebP, 2 = AVIF
    7       2     length of the picture data, little-endian
    9       n     picture data, 102 x 126
    9+n     -     zeros
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image as PilImage

from edge.model import Image
from edge.reader.faults import fault
from verifield.jpeg import is_laborious_jpeg

PHOTO_BYTES = 1024
PHOTO_SIZE = (102, 126)  # width, height: the size of every chip photo seen in public

MAX_PICTURE_BYTES = 64 * 1024
"""A BMP of this size in colour has 38 KiB; what is longer is no photo of a chip."""

_MAGIC = b"VFSIM\x01"
_FORMATS = {1: "WEBP", 2: "AVIF"}
_DATA_AT = len(_MAGIC) + 3


class NoPhotoDecoder:
    """For readers without a decoder: the document has no photo, and the decision says so."""

    def decode(self, data: bytes) -> Image | None:
        check_photo_field(data)
        return None


class PictureDecoder:
    """For readers that put a whole picture there: JPEG, JPEG 2000, WebP, AVIF or BMP, by its first bytes."""

    def decode(self, data: bytes) -> Image | None:
        """Return uint8 [126, 102, 3] BGR, or None for another format.

        Raises:
            InputError: CARD_PHOTO_INVALID, it is a picture and damaged, or too large.
        """
        if not 0 < len(data) <= MAX_PICTURE_BYTES:
            raise fault("CARD_PHOTO_INVALID")
        format_name = picture_format(data)
        if format_name is None:
            return None
        photo = decode_picture(data, format_name)
        if photo is None:
            raise fault("CARD_PHOTO_INVALID")
        return photo


class SimulatorPhotoDecoder:
    """Decodes the simulator's photos; any other format is unknown to it."""

    def decode(self, data: bytes) -> Image | None:
        """Return uint8 [126, 102, 3] BGR, or None for another format, such as a real card's.

        Raises:
            InputError: CARD_PHOTO_INVALID, the field is damaged.
        """
        check_photo_field(data)
        if not data.startswith(_MAGIC):
            return None
        length = int.from_bytes(data[_DATA_AT - 2 : _DATA_AT], "little")
        format_name = _FORMATS.get(data[_DATA_AT - 3])
        if format_name is None or not 0 < length <= PHOTO_BYTES - _DATA_AT:
            raise fault("CARD_PHOTO_INVALID")
        photo = decode_picture(data[_DATA_AT : _DATA_AT + length], format_name)
        if photo is None:
            raise fault("CARD_PHOTO_INVALID")
        return photo


def picture_format(data: bytes) -> str | None:
    """Return the name of a picture's format by its first bytes, None for none of those known."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")):
        return "JPEG2000"
    if data.startswith(b"BM"):
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if data[4:12] == b"ftypavif" else None


def check_photo_field(data: bytes) -> None:
    """Check the length of the field.

    Raises:
        InputError: CARD_PHOTO_INVALID.
    """
    if len(data) != PHOTO_BYTES:
        raise fault("CARD_PHOTO_INVALID")


def decode_picture(data: bytes, format_name: str) -> Image | None:
    """Decode one still picture of exactly the right size; its header is judged before its pixels."""
    if is_laborious_jpeg(data):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PilImage.DecompressionBombWarning)
            with PilImage.open(io.BytesIO(data), formats=[format_name]) as picture:
                if picture.size != PHOTO_SIZE or getattr(picture, "n_frames", 1) != 1:
                    return None
                pixels = np.asarray(picture.convert("RGB"))
    # Whatever hostile bytes make the codec raise, the answer is one: this is no photo.
    except Exception:
        return None
    return np.ascontiguousarray(pixels[..., ::-1])
