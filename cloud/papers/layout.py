"""From a paper to pages: lines are broken, and each thing gets its place. Draws nothing yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from cloud.papers.fonts import Fonts
from cloud.papers.paper import MAX_PAGES, MAX_PICTURE_PIXELS, Paper, PaperError, Picture, Row, Section
from cloud.papers.pictures import PictureError, on_white, open_picture

MM = 72 / 25.4
WIDTH, HEIGHT = 210 * MM, 297 * MM  # A4
MARGIN = 20 * MM
TOP, BOTTOM = HEIGHT - 28 * MM, 22 * MM
LABEL_WIDTH = 45 * MM
GAP = 3 * MM
BODY, HEADING, TITLE, SMALL = 10.0, 12.0, 17.0, 8.0  # sizes in points
LEADING = 1.45
MAX_PICTURE_HEIGHT = 110 * MM
_UNDER = 1.6 * MM  # between the letters of a row and the rule below
_POINTS_PER_PIXEL = 72 / 150  # a small picture is not blown up beyond 150 pixels an inch

_WORDS = re.compile(r"[A-Za-z0-9\u00c0-\u024f.,:;@_/+\-()'\"\[\]]+|\s|.", re.DOTALL)
"""What is not torn: words of Latin letters and numbers. Chinese breaks between any two characters."""

_NEVER_FIRST = frozenset("，。、；：？！）》」』】〉〕”’…·,.;:?!)]}%")
_NEVER_LAST = frozenset("（《「『【〈〔“‘([{")
_MOST_CARRIED = 3
"""Pieces that go to the next line with a sign that must not begin it; more are no sentence."""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; ``y`` is its base line."""

    x: float
    y: float
    text: str
    size: float
    grey: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin line across the page."""

    y: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture in RGB; ``y`` is its lower edge."""

    x: float
    y: float
    width: float
    height: float
    picture: Image.Image = field(repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """A thin line around a picture; ``y`` is its lower edge."""

    x: float
    y: float
    width: float
    height: float


Item = Text | Rule | Placed | Frame


def break_lines(text: str, fonts: Fonts, *, size: float, width: float) -> Iterator[str]:
    """The lines of ``text``, each no wider than ``width``; every line break begins a new one."""
    for paragraph in text.replace("\r\n", "\n").split("\n"):
        line: list[str] = []
        used = 0.0
        for piece in _fitting(paragraph.replace("\t", " "), fonts, size=size, width=width):
            wide = fonts.width(piece, size)
            if used + wide > width and line:
                line, carried = _parted(line, piece)
                yield "".join(line).rstrip()
                line, used = carried, sum(fonts.width(one, size) for one in carried)
                if piece.isspace() and not line:
                    continue
            line.append(piece)
            used += wide
        yield "".join(line).rstrip()


def _parted(line: list[str], following: str) -> tuple[list[str], list[str]]:
    """A full line, and what of it goes to the next one: signs stand where readers expect them."""
    for count in range(_MOST_CARRIED + 1):
        keep, carried = line[: len(line) - count], line[len(line) - count :]
        first = carried[0] if carried else following
        if keep and first not in _NEVER_FIRST and keep[-1] not in _NEVER_LAST:
            return keep, carried
    return line, []


def _fitting(text: str, fonts: Fonts, *, size: float, width: float) -> Iterator[str]:
    """Words; those that are wider than a line character by character."""
    for piece in _WORDS.findall(text):
        if len(piece) > 1 and fonts.width(piece, size) > width:
            yield from piece
        else:
            yield piece


class Layout:
    """Puts one thing below the other, and begins a new page where there is no room."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts
        self.pages: list[list[Item]] = []
        self._y = TOP
        self._new_page()

    def add(self, paper: Paper, words: tuple[Row, ...]) -> None:
        """All of a paper; ``words``: the rows under its title."""
        self._lines(paper.title, size=TITLE, centred=True)
        self._space(2 * MM)
        for row in words:
            self._row(row)
        for section in paper.sections:
            self._section(section)

    def _section(self, section: Section) -> None:
        if section.new_page:
            self._new_page()
        self._space(5 * MM)
        # A heading stays with what it is the heading of.
        self._need((HEADING + 3 * BODY) * LEADING)
        self._lines(section.heading, size=HEADING)
        self._space(1 * MM)
        self._rule()
        for row in section.rows:
            self._row(row)
        if section.text:
            self._text(section.text)
        for picture in section.pictures:
            self._picture(picture)

    def _row(self, row: Row) -> None:
        labels = list(break_lines(row.label, self._fonts, size=BODY, width=LABEL_WIDTH - GAP))
        values = list(break_lines(row.value, self._fonts, size=BODY, width=WIDTH - 2 * MARGIN - LABEL_WIDTH))
        for index in range(max(len(labels), len(values))):
            self._need(BODY * LEADING + _UNDER)
            self._y -= BODY * LEADING
            if index < len(labels):
                self._put(Text(MARGIN, self._y, labels[index], BODY, grey=0.35))
            if index < len(values):
                self._put(Text(MARGIN + LABEL_WIDTH, self._y, values[index], BODY))
        self._space(_UNDER)
        self._rule()

    def _text(self, text: str) -> None:
        """Running text; on one page where it fits on one."""
        self._space(2 * MM)
        height = (
            len(list(break_lines(text, self._fonts, size=BODY, width=WIDTH - 2 * MARGIN))) * BODY * LEADING
        )
        if height <= TOP - BOTTOM:
            self._need(height)
        self._lines(text, size=BODY)

    def _lines(self, text: str, *, size: float, centred: bool = False) -> None:
        for line in break_lines(text, self._fonts, size=size, width=WIDTH - 2 * MARGIN):
            self._need(size * LEADING)
            self._y -= size * LEADING
            spare = WIDTH - 2 * MARGIN - self._fonts.width(line, size)
            if line:
                self._put(Text(MARGIN + (spare / 2 if centred else 0), self._y, line, size))

    def _picture(self, picture: Picture) -> None:
        opened = _opened(picture.content)
        width = min(picture.width_mm * MM, WIDTH - 2 * MARGIN, opened.width * _POINTS_PER_PIXEL)
        height = width * opened.height / opened.width
        if height > MAX_PICTURE_HEIGHT:
            width, height = width * MAX_PICTURE_HEIGHT / height, MAX_PICTURE_HEIGHT
        self._need(BODY * LEADING + 2 * MM + height)
        self._lines(picture.label, size=BODY)
        self._space(2 * MM)
        self._y -= height
        self._put(Placed(MARGIN, self._y, width, height, opened))
        self._put(Frame(MARGIN, self._y, width, height))

    def _rule(self) -> None:
        self._put(Rule(self._y))

    def _space(self, height: float) -> None:
        self._y = max(BOTTOM, self._y - height)

    def _need(self, height: float) -> None:
        if self._y - height < BOTTOM:
            self._new_page()

    def _new_page(self) -> None:
        if len(self.pages) >= MAX_PAGES:
            raise PaperError("a paper has too many pages")
        self.pages.append([])
        self._y = TOP

    def _put(self, item: Item) -> None:
        self.pages[-1].append(item)


def _opened(content: bytes) -> Image.Image:
    """A PNG or JPEG as RGB, on white where it lets something through.

    Raises:
        PaperError: it is none, broken, or too large.
    """
    try:
        return on_white(open_picture(content, formats=("PNG", "JPEG"), most_pixels=MAX_PICTURE_PIXELS))
    except PictureError as error:
        raise PaperError(f"{error}") from error
