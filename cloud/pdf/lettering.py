"""Names and dates as text of embedded fonts, as large as their box allows, in up to three lines."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from PIL import ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from cloud.papers.fonts import Fonts

_LATIN = "Vera.ttf"
_SLANTED = "VeraIt.ttf"  # both are found by ReportLab in its own folder
_MOST_LINES = 3
_WORTH = 1.2  # how much larger the letters must become for another line
_GAP = 0.25  # between lines, in parts of the size
_PAD = 0.06  # of the lower side of the box, on each side
_EXACT = 40  # longer texts are only parted where words end
_EM = 1000  # what glyphs are measured in
_fonts_lock = threading.Lock()
"""ReportLab keeps fonts for the whole process, and takes their files apart with one cursor."""


class LetteringError(ValueError):
    """A character that no font can show."""


@dataclass(frozen=True, slots=True)
class _Letters:
    """Characters of one font file."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Lettering:
    """A text, and which font file shows each part of it. ``breaks``: after what a line may end."""

    parts: tuple[_Letters, ...]
    ink: tuple[float, float, float]
    breaks: str

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Glyph:
    """A character in parts of the size of letters: its advance, and how far its ink reaches."""

    font: TTFont
    character: str
    advance: float
    left: float
    right: float
    rise: float
    fall: float


@dataclass(frozen=True, slots=True)
class _Line:
    glyphs: tuple[_Glyph, ...]

    @property
    def before(self) -> float:
        """How far ink reaches to the left of where the line begins: slanted letters lean out."""
        return max(0.0, -self.glyphs[0].left)

    @property
    def width(self) -> float:
        """Of all ink."""
        *most, last = self.glyphs
        return self.before + sum(one.advance for one in most) + max(last.advance, last.right)


def lettering(text: str, fonts: Fonts, *, ink: tuple[float, float, float], name: bool) -> Lettering:
    """``text`` with the fonts of papers; names of Latin letters alone are slanted.

    Raises:
        LetteringError
    """
    latin = _SLANTED if name and all(map(fonts.has_latin, text)) else _LATIN
    parts: list[_Letters] = []
    for character in text:
        file = _file_of(character, fonts, latin)
        if parts and parts[-1].file == file:
            parts[-1] = _Letters(file, parts[-1].text + character)
        else:
            parts.append(_Letters(file, character))
    return Lettering(tuple(parts), ink, " ·-" if name else " ")


def draw_text(shape: Lettering, width: float, height: float) -> bytes:
    """A PDF of one page of that size, in points."""
    pad = _PAD * min(width, height)
    with _fonts_lock:
        glyphs = [glyph for part in shape.parts for glyph in _glyphs(part)]
        lines, size = _fitted(glyphs, shape.breaks, width - 2 * pad, height - 2 * pad)
        output = io.BytesIO()
        canvas = Canvas(output, pagesize=(width, height), pageCompression=1, invariant=1)
        rise, fall = _reach(glyphs)
        step = size * (rise + fall + _GAP)
        first = height / 2 + step * (len(lines) - 1) / 2 - size * (rise - fall) / 2
        for number, line in enumerate(lines):
            left = (width - size * line.width) / 2 + size * line.before
            _write(canvas, line, (left, first - number * step), size=size, ink=shape.ink)
        canvas.showPage()
        canvas.save()
    return output.getvalue()


def _file_of(character: str, fonts: Fonts, latin: str) -> str:
    if fonts.has_latin(character):
        return latin
    # A font that readers of PDF bring themselves is no file, and would not look the same everywhere.
    file = getattr(getattr(pdfmetrics.getFont(fonts.chinese), "face", None), "filename", None)
    if not isinstance(file, str | bytes) or not fonts.has_chinese(character):
        raise LetteringError("a character cannot be shown by the fonts that are installed")
    return file.decode() if isinstance(file, bytes) else file


def _font(file: str) -> TTFont:
    """Fonts of marks' own, so that nobody else's drawing moves their cursor."""
    name = f"VerifieldMark{hashlib.sha256(file.encode()).hexdigest()[:8]}"
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, file))
    return pdfmetrics.getFont(name)


def _glyphs(part: _Letters) -> Iterator[_Glyph]:
    font = _font(part.file)
    measured = ImageFont.truetype(font.face.filename, _EM)
    for character in part.text:
        left, top, right, bottom = measured.getbbox(character, anchor="ls")
        advance = float(font.stringWidth(character, _EM))
        yield _Glyph(
            font,
            character,
            advance / _EM,
            left / _EM,
            right / _EM,
            max(0.0, -top / _EM),
            max(0.0, bottom / _EM),
        )


def _reach(glyphs: Sequence[_Glyph]) -> tuple[float, float]:
    """How far the ink reaches above and below a line, in parts of the size."""
    return max(0.3, *(one.rise for one in glyphs)), max(0.0, *(one.fall for one in glyphs))


def _fitted(glyphs: Sequence[_Glyph], breaks: str, width: float, height: float) -> tuple[list[_Line], float]:
    """Lines and the size of letters: the fewest lines unless more make it much better to read."""
    rise, fall = _reach(glyphs)
    best: tuple[list[_Line], float] = [], 0.0
    for count in range(1, _MOST_LINES + 1):
        tall = height / (count * (rise + fall) + (count - 1) * _GAP)
        for ends in _partings(glyphs, breaks, count):
            bounds = zip((0, *ends), (*ends, len(glyphs)), strict=True)
            lines = [_line(glyphs[start:end]) for start, end in bounds]
            size = min(tall, width / max(line.width for line in lines))
            if size > best[1] * (_WORTH if len(best[0]) < count else 1.0):
                best = lines, size
    return best


def _partings(glyphs: Sequence[_Glyph], breaks: str, count: int) -> Iterator[tuple[int, ...]]:
    """Where a text may be parted into so many lines: after some characters, else between any two."""
    text = [glyph.character for glyph in glyphs]
    ends = [index + 1 for index, one in enumerate(text[:-1]) if one in breaks]
    if not ends and len(text) <= _EXACT and not any(map(str.isascii, text)):
        ends = list(range(2, len(text) - 1))
    return combinations(ends, count - 1)


def _line(glyphs: Sequence[_Glyph]) -> _Line:
    """Without the space that it ends with."""
    return _Line(tuple(glyphs[:-1] if glyphs[-1].character == " " else glyphs))


def _write(
    canvas: Canvas,
    line: _Line,
    at: tuple[float, float],
    *,
    size: float,
    ink: tuple[float, float, float],
) -> None:
    """One text object, so that readers of its text find no gaps in it."""
    text = canvas.beginText(*at)
    text.setFillColorRGB(*ink)
    for font, glyphs in groupby(line.glyphs, key=lambda glyph: glyph.font.fontName):
        text.setFont(font, size)
        text.textOut("".join(glyph.character for glyph in glyphs))
    canvas.drawText(text)
