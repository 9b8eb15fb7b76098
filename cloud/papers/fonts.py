"""Fonts of papers: Latin letters from the font that comes with ReportLab, Chinese from one of the system's.

Both are put into the paper, so that it looks the same everywhere and for as long as it is kept. Where no
font file is configured, Chinese is printed with STSong-Light, which every reader of PDF brings itself.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from cloud.errors import SetupError

DEBIAN_FONT = Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf")
"""Of Debian's package fonts-droid-fallback (Apache-2.0)."""

_LATIN = "VerifieldLatin"
_LATIN_FILE = "Vera.ttf"  # found by ReportLab in its own folder
_CID = "STSong-Light"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode categories
_registering = threading.Lock()


class FontError(ValueError):
    """A font file that cannot be used."""


@dataclass(frozen=True, slots=True)
class Run:
    """Some characters of one font."""

    font: str
    text: str


@dataclass(frozen=True, slots=True)
class Fonts:
    """Which font a character is printed in."""

    chinese: str
    has_chinese: Callable[[str], bool]
    has_latin: Callable[[str], bool]

    @classmethod
    def open(cls, file: Path | None) -> Fonts:
        """``file``: a TrueType font with Chinese characters; None: the one that readers of PDF bring.

        Raises:
            FontError: the file cannot be read, or is no such font.
        """
        latin = _register(_LATIN, _LATIN_FILE)
        if file is None:
            with _registering:
                pdfmetrics.registerFont(UnicodeCIDFont(_CID))
            return cls(_CID, _in_gbk, _has(latin))
        try:
            name = f"Verifield{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
            font = _register(name, str(file))
        except (TTFError, OSError, ValueError) as error:
            raise FontError(f"the font {file} cannot be used ({type(error).__name__})") from error
        if ord("年") not in font.face.charToGlyph:
            raise FontError(f"the font {file} has no Chinese characters")
        return cls(name, _has(font), _has(latin))

    def runs(self, text: str) -> Iterator[Run]:
        """``text`` in pieces of one font each; what no font has is printed as its number, never left out."""
        shown = (piece for character in text for piece in self._shown(character))
        for font, pieces in groupby(shown, key=lambda one: one[0]):
            yield Run(font, "".join(character for _, character in pieces))

    def width(self, text: str, size: float) -> float:
        """How wide ``text`` is, in points."""
        return sum(_width(run.font, run.text, size) for run in self.runs(text))

    def _shown(self, character: str) -> list[tuple[str, str]]:
        if unicodedata.category(character) not in _UNSEEN:
            if self.has_latin(character):
                return [(_LATIN, character)]
            if self.has_chinese(character):
                return [(self.chinese, character)]
        return [(_LATIN, one) for one in f"[U+{ord(character):04X}]"]


def open_fonts(file: Path | None) -> Fonts | None:
    """The font of papers that is configured; None for those that are found.

    Raises:
        SetupError: PAPER_FONT.
    """
    if file is None:
        return None
    try:
        return Fonts.open(file)
    except FontError as error:
        raise SetupError(
            "PAPER_FONT",
            f"{str(error).capitalize()}.",
            hint="Give a TrueType file with Chinese characters with paper_font, or leave it out.",
        ) from error


def _register(name: str, file: str) -> TTFont:
    """One font object for each name: those that are registered again would be taken apart again."""
    with _registering:
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, file))
        return pdfmetrics.getFont(name)


def _has(font: TTFont) -> Callable[[str], bool]:
    known = font.face.charToGlyph
    return lambda character: ord(character) in known


def _in_gbk(character: str) -> bool:
    try:
        return len(character.encode("gbk")) == 2
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=65_536)
def _width_of_one(font: str, character: str) -> float:
    return float(pdfmetrics.stringWidth(character, font, 1000)) / 1000


def _width(font: str, text: str, size: float) -> float:
    return sum(_width_of_one(font, character) for character in text) * size
