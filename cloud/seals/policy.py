"""What a picture of a seal has to be like, and a reason of its own for each thing that it is not.

1  it is a PNG picture, of one frame             SEAL_IMAGE_FORMAT
2  its file is not too large                     SEAL_IMAGE_BYTES
3  it has pixels enough, also for its paper size SEAL_IMAGE_TOO_SMALL
4  and not too many                              SEAL_IMAGE_TOO_LARGE
5  its background is transparent, neither white nor a veil
                                                 SEAL_IMAGE_OPAQUE
6  it shows a seal: some ink, not a plane of it  SEAL_IMAGE_INK
7  its ink has one of the colours of seals       SEAL_IMAGE_COLOUR
8  its size on paper is one, and in proportion   SEAL_SIZE
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageChops

from cloud.errors import Reason, ServiceError
from verifield.v1 import seal_service_pb2 as pb

_MAGIC = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MOVING = b"acTL"
_warnings = threading.Lock()  # what is ignored is ignored by the whole process, and must be put back

LOOKED_AT_PX = 512
"""Shares are those of a smaller picture: exact enough, and quick for the largest."""

_SEEN_FROM = 32  # of 255; what is fainter is not seen on paper
_INK_FROM = 96
_WHITE_FROM = 225

Colour: TypeAlias = "pb.SealColour.ValueType"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits; shares per mille, sizes on paper in tenths of a millimetre."""

    version: int = 1
    max_bytes: int = 1024 * 1024
    min_side_px: int = 200
    max_side_px: int = 3000
    min_px_per_mm: float = 5.9  # 150 dots per inch
    min_transparent_per_mille: int = 250
    max_white_per_mille: int = 20
    max_faint_per_mille: int = 150
    min_ink_per_mille: int = 30
    max_ink_per_mille: int = 650
    min_colour_per_mille: int = 850
    min_side_dmm: int = 100
    max_side_dmm: int = 600
    max_stretch_per_mille: int = 40
    colours: Sequence[Colour] = (pb.SEAL_COLOUR_RED, pb.SEAL_COLOUR_BLUE, pb.SEAL_COLOUR_BLACK)


POLICY = Policy()
"""What counts now. Versions of seals keep the number of the one that they met."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A picture that may become a seal."""

    width_px: int
    height_px: int
    colour: Colour


def check_beginning(content: bytes) -> None:
    """Check the first bytes, before the others are waited for.

    Raises:
        ServiceError: SEAL_IMAGE_FORMAT.
    """
    if not content.startswith(_MAGIC):
        raise _not_png()


def check_bytes(size: int, policy: Policy = POLICY) -> None:
    """Check the size of the file.

    Raises:
        ServiceError: SEAL_IMAGE_BYTES.
    """
    if size > policy.max_bytes:
        raise _refused(
            Reason.SEAL_IMAGE_BYTES, "The file of the picture is too large.", limit=policy.max_bytes
        )


def bare_picture(content: bytes) -> bytes:
    """A PNG picture without anything but its pixels: no words, times, profiles, nothing behind its end.

    What is kept is what was looked at, and whoever reads it learns nothing of who made it.

    Raises:
        ServiceError: SEAL_IMAGE_FORMAT.
    """
    check_beginning(content)
    kept, at, kind = [_MAGIC], len(_MAGIC), b""
    while kind != b"IEND":
        kind, end = content[at + 4 : at + 8], at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content) or kind == _MOVING:
            raise _not_png()
        if kind in _PIXELS:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def check_image(content: bytes, *, width_dmm: int, height_dmm: int, policy: Policy = POLICY) -> Checked:
    """Check a picture for a seal of a size on paper.

    Raises:
        ServiceError: the reason of the first rule that it does not meet.
    """
    check_beginning(content)  # rule 1
    check_bytes(len(content), policy)  # rule 2
    picture = _open(content, policy)  # rules 1, 3 and 4
    width, height = picture.size
    colour = _check_ink(picture, policy)  # rules 5 to 7
    check_size(width_dmm, height_dmm, policy)  # rule 8
    if (
        abs(width * height_dmm - height * width_dmm) * 1000
        > policy.max_stretch_per_mille * height * width_dmm
    ):
        raise _refused(Reason.SEAL_SIZE, "The size on paper has other proportions than the picture.")
    if width < policy.min_px_per_mm * width_dmm / 10:  # rule 3
        raise _too_small(round(policy.min_px_per_mm * width_dmm / 10))
    return Checked(width, height, colour)


def check_size(width_dmm: int, height_dmm: int, policy: Policy = POLICY) -> None:
    """Check the size on paper.

    Raises:
        ServiceError: SEAL_SIZE.
    """
    if not all(policy.min_side_dmm <= side <= policy.max_side_dmm for side in (width_dmm, height_dmm)):
        raise _refused(
            Reason.SEAL_SIZE,
            "This is no size of a seal on paper.",
            min=policy.min_side_dmm,
            max=policy.max_side_dmm,
        )


def _open(content: bytes, policy: Policy) -> Image.Image:
    try:
        with _warnings, warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                if getattr(picture, "n_frames", 1) != 1:
                    raise _not_png()
                if min(picture.size) < policy.min_side_px:
                    raise _too_small(policy.min_side_px)
                if max(picture.size) > policy.max_side_px:
                    raise _refused(
                        Reason.SEAL_IMAGE_TOO_LARGE,
                        "The picture has too many pixels.",
                        limit=policy.max_side_px,
                    )
                return picture.convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _refused(
            Reason.SEAL_IMAGE_TOO_LARGE, "The picture has too many pixels.", limit=policy.max_side_px
        ) from error
    except (OSError, ValueError, SyntaxError, TypeError, Warning) as error:
        raise _not_png() from error


def _check_ink(picture: Image.Image, policy: Policy) -> Colour:
    corners = [picture.getpixel((x, y)) for x in (0, picture.width - 1) for y in (0, picture.height - 1)]
    small = picture.copy()
    small.thumbnail((LOOKED_AT_PX, LOOKED_AT_PX), Image.Resampling.NEAREST)
    alpha = small.getchannel("A")
    clear = alpha.point(lambda value: 255 if value < _SEEN_FROM else 0)
    ink = alpha.point(lambda value: 255 if value >= _INK_FROM else 0)
    red, green, blue, _ = small.split()
    seen = alpha.point(lambda value: 255 if value >= _SEEN_FROM else 0)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    white = ImageChops.multiply(least.point(lambda value: 255 if value >= _WHITE_FROM else 0), ink)
    if (
        any(isinstance(corner, tuple) and corner[3] >= _SEEN_FROM for corner in corners)
        or _share(clear) < policy.min_transparent_per_mille
        or _share(white) > policy.max_white_per_mille
        or _share(seen) - _share(ink) > policy.max_faint_per_mille
    ):
        raise _refused(Reason.SEAL_IMAGE_OPAQUE, "The background of the picture is not transparent.")
    if not policy.min_ink_per_mille <= _share(ink) <= policy.max_ink_per_mille:
        raise _refused(Reason.SEAL_IMAGE_INK, "The picture shows no seal, or more than a seal.")
    return _colour(small, ink, policy)


def _colour(picture: Image.Image, ink: Image.Image, policy: Policy) -> Colour:
    """The colour of nearly all ink."""
    hue, saturation, value = picture.convert("RGB").convert("HSV").split()
    vivid = ImageChops.multiply(
        saturation.point(lambda found: 255 if found >= 90 else 0),
        value.point(lambda found: 255 if found >= 80 else 0),
    )
    masks = {  # hues are of 256
        pb.SEAL_COLOUR_RED: ImageChops.multiply(
            vivid, hue.point(lambda found: 255 if found <= 17 or found >= 239 else 0)
        ),
        pb.SEAL_COLOUR_BLUE: ImageChops.multiply(
            vivid, hue.point(lambda found: 255 if 138 <= found <= 186 else 0)
        ),
        pb.SEAL_COLOUR_BLACK: value.point(lambda found: 255 if found < 90 else 0),
    }
    whole = _share(ink)
    for colour in policy.colours:
        if _share(ImageChops.multiply(masks[colour], ink)) * 1000 >= policy.min_colour_per_mille * whole:
            return colour
    raise _refused(Reason.SEAL_IMAGE_COLOUR, "The ink has none of the colours of seals, or several.")


def _share(mask: Image.Image) -> float:
    """Of the pixels that are 255, per mille."""
    return mask.histogram()[255] * 1000 / (mask.width * mask.height)


def _not_png() -> ServiceError:
    return _refused(Reason.SEAL_IMAGE_FORMAT, "The picture is no PNG picture.")


def _too_small(limit: int) -> ServiceError:
    return _refused(Reason.SEAL_IMAGE_TOO_SMALL, "The picture has too few pixels.", limit=limit)


def _refused(reason: Reason, message: str, **facts: int) -> ServiceError:
    return ServiceError(reason, message, {name: str(value) for name, value in facts.items()})
