"""Draws seals for those who have no picture of theirs: the name along the edge, a star, a line below it.

Everything is drawn larger than it is kept, and made smaller with a filter: edges are smooth. Characters stand
upright on an ellipse, at equal distances along it, which matters where it is not a circle; many characters
become narrower before they become smaller, as on engraved seals.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import reportlab
from PIL import Image, ImageChops, ImageDraw, ImageFont

from cloud.errors import Reason, ServiceError
from cloud.papers.fonts import DEBIAN_FONT, FontError, Fonts
from verifield.v1 import seal_service_pb2 as pb

LATIN_FONT = Path(reportlab.__file__).parent / "fonts" / "VeraBd.ttf"
"""It comes with ReportLab (Bitstream Vera); the letters of papers have the same ones, and not bold."""

PX_PER_MM = 24
"""As it is kept: 600 dots per inch."""

_LARGER = 3
_UNIT = PX_PER_MM * _LARGER  # pixels in a millimetre while it is drawn

MAX_NAME_CHARS = 60
MIN_GLYPH_MM = 1.3
"""Narrower characters cannot be read on paper."""

MAX_SQUEEZE = 0.5
"""Characters are never narrower than by this factor."""

_GLYPH_PX = 256
_STEPS = 2048

INKS = {
    pb.SEAL_COLOUR_RED: (206, 24, 32),
    pb.SEAL_COLOUR_BLUE: (26, 62, 158),
    pb.SEAL_COLOUR_BLACK: (24, 24, 26),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """In millimetres. ``name_mm``: the height of the name's characters; ``turn``: how far down it reaches,
    in degrees from the top, to either side, and how far where a line stands below."""

    width: float
    height: float
    edge: float
    inner_edge: float
    name_mm: float
    gap: float
    turn: tuple[float, float]
    star: float
    star_y: float
    bottom_mm: float
    bottom_y: float
    bottom_width: float

    @property
    def inset(self) -> float:
        """From the outside to where the edges end."""
        return 0.3 + self.edge + (0.5 + self.inner_edge if self.inner_edge else 0)


LAYOUTS = {
    pb.SEAL_SHAPE_ROUND: Layout(42, 42, 1.2, 0, 6.0, 1.0, (132, 116), 7.0, -0.6, 3.9, 10.6, 19.5),
    pb.SEAL_SHAPE_OVAL: Layout(45, 30, 1.1, 0.3, 4.4, 1.2, (120, 112), 0, 0, 3.9, 1.6, 24.5),
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A PNG picture, and its size on paper in tenths of a millimetre."""

    png: bytes
    width_dmm: int
    height_dmm: int


class Pen:
    """Draws with one font."""

    def __init__(self, fonts: Fonts, file: Path) -> None:
        self._fonts = fonts
        self._file = file

    @classmethod
    def open(cls, file: Path | None) -> Pen:
        """``file``: a TrueType font with Chinese characters; None: the one of Debian.

        Raises:
            ServiceError: SEAL_TEXT: there is none.
        """
        try:
            return cls(Fonts.open(file or DEBIAN_FONT), file or DEBIAN_FONT)
        except FontError as error:
            raise ServiceError(
                Reason.SEAL_TEXT, "The service has no font to draw seals with.", {"why": "FONT"}
            ) from error

    def draw(self, name: str, drawing: pb.SealDrawing) -> Drawn:
        """Draw the seal of an organisation.

        Raises:
            ServiceError: SEAL_TEXT: a text is too long for this shape, or a character is not in the font.
        """
        layout = LAYOUTS[drawing.shape]
        for text in (name, drawing.bottom_text):
            self._check(text)
        plate = Image.new("L", (round(layout.width * _UNIT), round(layout.height * _UNIT)), 0)
        canvas = _Canvas(plate, self._glyph)
        canvas.edges(layout)
        canvas.along(layout, name, turn=layout.turn[bool(drawing.bottom_text)])
        if layout.star:
            canvas.star(layout)
        if drawing.bottom_text:
            canvas.line(layout, drawing.bottom_text)
        if drawing.code:
            canvas.below(layout, drawing.code)
        return _keep(canvas.plate, layout, INKS[drawing.colour])

    def _glyph(self, char: str) -> Image.Image:
        latin = char == " " or self._fonts.has_latin(char)
        return _glyph(str(LATIN_FONT if latin else self._file), char, wide=not latin)

    def _check(self, text: str) -> None:
        if len(text) > MAX_NAME_CHARS or not all(
            char == " " or self._fonts.has_latin(char) or self._fonts.has_chinese(char) for char in text
        ):
            raise _unfit("CHARACTERS")


def _keep(plate: Image.Image, layout: Layout, ink: tuple[int, int, int]) -> Drawn:
    size = (round(layout.width * PX_PER_MM), round(layout.height * PX_PER_MM))
    alpha = plate.resize(size, Image.Resampling.LANCZOS)
    picture = Image.new("RGBA", size, (*ink, 0))
    picture.putalpha(alpha)
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return Drawn(content.getvalue(), round(layout.width * 10), round(layout.height * 10))


class _Canvas:
    """White on black; the middle is the origin, millimetres, y downwards."""

    def __init__(self, plate: Image.Image, glyph: Callable[[str], Image.Image]) -> None:
        self.plate = plate
        self._glyph = glyph
        self._pen = ImageDraw.Draw(plate)
        self._middle = (plate.width / 2, plate.height / 2)

    def edges(self, layout: Layout) -> None:
        self._ellipse(layout.width / 2 - 0.3, layout.height / 2 - 0.3, layout.edge)
        if layout.inner_edge:
            inset = layout.inset - layout.inner_edge
            self._ellipse(layout.width / 2 - inset, layout.height / 2 - inset, layout.inner_edge)

    def star(self, layout: Layout) -> None:
        """Of five points, the uppermost upright."""
        inner = layout.star * math.sin(math.radians(18)) / math.sin(math.radians(54))
        points = []
        for corner in range(10):
            radius, angle = (layout.star, inner)[corner % 2], math.radians(36 * corner)
            points.append(self._at(radius * math.sin(angle), layout.star_y - radius * math.cos(angle)))
        self._pen.polygon(points, fill=255)

    def along(self, layout: Layout, name: str, *, turn: float) -> None:
        """The name above, from the left to the right, its characters' heads outwards."""
        glyphs = [self._glyph(char) for char in name]
        chinese = sum(map(_is_wide, name)) * 2 >= len(name)
        height = layout.name_mm
        while True:  # narrower first, and then smaller
            middle = layout.inset + layout.gap + height / 2
            path = _Path(layout.width / 2 - middle, layout.height / 2 - middle, turn)
            widths = [_natural(glyph, height) for glyph in glyphs]
            space = height * (0.42 if chinese else 0.10)
            narrow = min(1.0, path.length / (sum(widths) + space * (len(widths) - 1)))
            if narrow >= MAX_SQUEEZE:
                break
            height *= 0.96
        if height * narrow < MIN_GLYPH_MM:
            raise _unfit("LENGTH")
        widths = [width * narrow for width in widths]
        self._put(path, glyphs, widths, space=space * narrow, height=height, inwards=False)

    def below(self, layout: Layout, code: str) -> None:
        """A number along the lower edge, its characters' heads inwards."""
        height = layout.name_mm * 0.30
        middle = layout.inset + 0.75 + height / 2
        path = _Path(layout.width / 2 - middle, layout.height / 2 - middle, 45, below=True)
        glyphs = [self._glyph(char) for char in code]
        widths = [_natural(glyph, height) for glyph in glyphs]
        space = height * 0.45
        total = sum(widths) + space * (len(widths) - 1)
        narrow = min(1.0, path.length / total)
        widths = [width * narrow for width in widths]
        self._put(path, glyphs, widths, space=space * narrow, height=height, inwards=True)

    def line(self, layout: Layout, text: str) -> None:
        """A straight line of text, in the middle of its place."""
        glyphs = [self._glyph(char) for char in text]
        height = layout.bottom_mm
        widths = [_natural(glyph, height) for glyph in glyphs]
        space = height * 0.14
        total = sum(widths) + space * (len(widths) - 1)
        narrow = min(1.0, layout.bottom_width / total)
        if narrow < 0.45:
            height *= narrow / 0.45
        if min(widths, default=1) * narrow < MIN_GLYPH_MM * 0.5:
            raise _unfit("LENGTH")
        x = -total * narrow / 2
        for glyph, width in zip(glyphs, widths, strict=True):
            self._stamp(glyph, (x + width * narrow / 2, layout.bottom_y), (width * narrow, height), 0.0)
            x += (width + space) * narrow

    def _put(
        self,
        path: _Path,
        glyphs: Sequence[Image.Image],
        widths: Sequence[float],
        *,
        space: float,
        height: float,
        inwards: bool,
    ) -> None:
        total = sum(widths) + space * (len(widths) - 1)
        at = (path.length - total) / 2
        for glyph, width in zip(glyphs, widths, strict=True):
            x, y, angle = path.at(at + width / 2)
            self._stamp(glyph, (x, y), (width, height), angle + 180 if inwards else angle)
            at += width + space

    def _stamp(
        self, glyph: Image.Image, middle: tuple[float, float], size: tuple[float, float], degrees: float
    ) -> None:
        """A character, its middle there, turned clockwise."""
        wanted = (max(1, round(size[0] * _UNIT)), max(1, round(size[1] * _UNIT)))
        turned = glyph.resize(wanted, Image.Resampling.LANCZOS).rotate(
            -degrees, resample=Image.Resampling.BICUBIC, expand=True
        )
        x, y = self._at(*middle)
        corner = (round(x - turned.width / 2), round(y - turned.height / 2))
        box = (*corner, corner[0] + turned.width, corner[1] + turned.height)
        self.plate.paste(ImageChops.lighter(self.plate.crop(box), turned), corner)

    def _ellipse(self, a: float, b: float, edge: float) -> None:
        box = (*self._at(-a, -b), *self._at(a, b))
        self._pen.ellipse(box, outline=255, width=round(edge * _UNIT))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._middle[0] + x * _UNIT, self._middle[1] + y * _UNIT


class _Path:
    """A part of an ellipse, around its top, or around its lowest point, measured along its length."""

    def __init__(self, a: float, b: float, turn: float, *, below: bool = False) -> None:
        self._a, self._b = a, b
        first, last = (180 + turn, 180 - turn) if below else (-turn, turn)
        self._angles = [math.radians(first + (last - first) * step / _STEPS) for step in range(_STEPS + 1)]
        self._lengths = [0.0]
        points = [(a * math.sin(angle), -b * math.cos(angle)) for angle in self._angles]
        for one, other in pairwise(points):
            self._lengths.append(self._lengths[-1] + math.dist(one, other))

    @property
    def length(self) -> float:
        return self._lengths[-1]

    def at(self, length: float) -> tuple[float, float, float]:
        """The point there, and by how many degrees its outward direction is turned from upright."""
        found = min(_STEPS, max(0, _first_beyond(self._lengths, length)))
        angle = self._angles[found]
        x, y = self._a * math.sin(angle), -self._b * math.cos(angle)
        outward = (math.sin(angle) / self._a, math.cos(angle) / self._b)
        return x, y, math.degrees(math.atan2(*outward))


def _first_beyond(lengths: Sequence[float], length: float) -> int:
    low, high = 0, len(lengths) - 1
    while low < high:
        middle = (low + high) // 2
        if lengths[middle] < length:
            low = middle + 1
        else:
            high = middle
    return low


@lru_cache(maxsize=512)
def _glyph(file: str, char: str, *, wide: bool) -> Image.Image:
    """A character, white on black: as wide as it is, and as high as all of its font. Nobody changes it."""
    font, stroke = _font(file), 3 if wide else 0
    box = font.getbbox("国" if wide else "Hg", stroke_width=stroke)
    own = box if wide else font.getbbox(char, stroke_width=stroke)
    width = font.getlength(char) if char == " " else own[2] - own[0]
    picture = Image.new("L", (max(1, round(width)), round(box[3] - box[1])), 0)
    origin = (-own[0], -box[1])
    ImageDraw.Draw(picture).text(origin, char, fill=255, font=font, stroke_width=stroke, stroke_fill=255)
    return picture


@lru_cache(maxsize=4)
def _font(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, _GLYPH_PX)


def _natural(glyph: Image.Image, height: float) -> float:
    """How wide a character is where it is so high."""
    return height * glyph.width / glyph.height


def _is_wide(char: str) -> bool:
    return ord(char) >= 0x2E80


def _unfit(why: str) -> ServiceError:
    return ServiceError(Reason.SEAL_TEXT, "The text cannot be drawn on a seal of this shape.", {"why": why})
