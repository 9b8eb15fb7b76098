"""Whether something was written: pure rules over strokes and the picture of them."""

from __future__ import annotations

import math
from hashlib import sha256
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from cloud.errors import Reason, ServiceError
from cloud.papers.pictures import PictureError, PictureTooLargeError, on_white, open_picture
from verifield.v1 import coop_service_pb2 as pb

MAX_POINTS = 20_000
"""Of one signature: three minutes at the fastest pads' hundred points a second."""

MIN_POINTS = 8
"""The shortest signatures, a stroke of a tenth of a second, have more."""

MIN_LENGTH = 0.25
"""Of the ink, as a share of the pad's diagonal."""

MIN_SPREAD = 0.05
"""Of the box around the ink: its longer side, as a share of the pad's shorter one."""

MAX_PIXELS = 2_000_000
MIN_SIDE = 32

DARK = 160
"""Grey level (0 to 255, on white) below which a pixel is ink."""

MIN_INK = 0.0005
MAX_INK = 0.5
"""Share of the picture: less is blank, more is no signature."""

MIN_COVERED = 0.6
"""Share of the strokes' way that must be ink in the picture: it has to be the picture of these strokes."""

MIN_EXPLAINED = 0.7
"""Share of the picture's ink that must lie beside the strokes: nothing else is written on the pad."""

MAX_STRETCHED = 1.25
"""By how much the picture's proportions may differ from the pad's."""

_GRID = (128, 64)
_BESIDE = 9  # cells: half of them on each side of the way, where a thick pen still writes


def check_strokes(strokes: pb.SignatureStrokes) -> None:
    """Raise ServiceError (SIGNATURE_EMPTY, SIGNATURE_INVALID) where nobody has written anything."""
    count = sum(len(stroke.points) for stroke in strokes.strokes)
    if not count:
        raise _empty("NONE")
    if count > MAX_POINTS:
        raise _invalid("POINTS")
    points = [point for stroke in strokes.strokes for point in stroke.points]
    if any(point.x > strokes.width or point.y > strokes.height for point in points):
        raise _invalid("OUTSIDE")
    times = [point.time_ms for point in points]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise _invalid("TIME")
    length = sum(
        math.dist((a.x, a.y), (b.x, b.y)) for stroke in strokes.strokes for a, b in pairwise(stroke.points)
    )
    wide = max(point.x for point in points) - min(point.x for point in points)
    high = max(point.y for point in points) - min(point.y for point in points)
    if count < MIN_POINTS:
        raise _empty("POINTS")
    if length < MIN_LENGTH * math.hypot(strokes.width, strokes.height):
        raise _empty("LENGTH")
    if max(wide, high) < MIN_SPREAD * min(strokes.width, strokes.height):
        raise _empty("SPREAD")


def check_image(image: bytes, strokes: pb.SignatureStrokes) -> None:
    """Raise ServiceError where the picture is none, blank, or not that of the strokes."""
    ink = _ink_of(image)
    share = ink.histogram()[255] / (ink.width * ink.height)
    if share < MIN_INK:
        raise _empty("BLANK")
    if share > MAX_INK:
        raise _invalid("INK")
    stretched = ink.width * strokes.height / (ink.height * strokes.width)
    if not 1 / MAX_STRETCHED <= stretched <= MAX_STRETCHED:
        raise _invalid("PROPORTIONS")
    # The picture may be of any size: both are compared on one grid, with a cell to spare on each side.
    written = ink.resize(_GRID, Image.Resampling.BOX)
    seen = written.point(lambda level: 255 if level > 0 else 0).filter(ImageFilter.MaxFilter(5))
    drawn = _draw(strokes)
    way = drawn.histogram()[255]
    if ImageChops.multiply(drawn, seen).histogram()[255] < MIN_COVERED * way:
        raise _invalid("OTHER_PICTURE")
    explained = ImageChops.multiply(written, drawn.filter(ImageFilter.MaxFilter(_BESIDE)))
    if _amount(explained) < MIN_EXPLAINED * _amount(written):
        raise _invalid("OTHER_INK")


def strokes_sha256(strokes: pb.SignatureStrokes) -> bytes:
    """Digest of the strokes in their one serialised form."""
    return sha256(strokes.SerializeToString(deterministic=True)).digest()


def _ink_of(image: bytes) -> Image.Image:
    """White where there is ink, black elsewhere."""
    try:
        layer = open_picture(image, formats=("PNG",), most_pixels=MAX_PIXELS, least_side=MIN_SIDE)
    except PictureTooLargeError as error:
        raise _invalid("SIZE") from error
    except PictureError as error:
        raise _invalid("PNG") from error
    return on_white(layer).convert("L").point(lambda level: 255 if level < DARK else 0)


def _amount(ink: Image.Image) -> float:
    return ImageStat.Stat(ink).sum[0]


def _draw(strokes: pb.SignatureStrokes) -> Image.Image:
    picture = Image.new("L", _GRID, 0)
    pen = ImageDraw.Draw(picture)
    across, down = (_GRID[0] - 1) / strokes.width, (_GRID[1] - 1) / strokes.height
    for stroke in strokes.strokes:
        way = [(point.x * across, point.y * down) for point in stroke.points]
        if len(way) == 1:
            pen.point(way, fill=255)
        elif way:
            pen.line(way, fill=255)
    return picture


def _empty(rule: str) -> ServiceError:
    return ServiceError(Reason.SIGNATURE_EMPTY, "There is no signature.", {"rule": rule})


def _invalid(rule: str) -> ServiceError:
    return ServiceError(Reason.SIGNATURE_INVALID, "The signature cannot be used.", {"rule": rule})
