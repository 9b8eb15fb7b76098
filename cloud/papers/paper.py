"""What a printed paper says, as values; and how much one paper may hold.

paper = Paper(number="2026-000012", title="...", language="zh", made=now, sections=(
    Section("Customer", rows=(Row("Name", "..."),), pictures=(Picture("Signature", png),)),
))
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MAX_SECTIONS = 100
MAX_ROWS = 4_000
MAX_PICTURES = 16
MAX_LINE_CHARS = 200  # number, title, heading, label
MAX_VALUE_CHARS = 4_000
MAX_PAPER_CHARS = 600_000
MAX_PICTURE_BYTES = 4 * 1024 * 1024
MAX_PICTURE_PIXELS = 4_000_000
MAX_PAGES = 200
"""Of one paper: far more than any that is printed here, and little enough that none holds up the others."""

LANGUAGES = ("zh", "en", "es")


class PaperError(ValueError):
    """A paper that cannot be printed: it says too much, or a picture is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A label and what stands beside it."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Picture:
    """PNG or JPEG. ``width_mm``: at most so wide; less where it is small or the page is."""

    label: str
    content: bytes
    width_mm: float = 80.0


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, then the rows, then running text (a line break begins a paragraph), then pictures.

    ``new_page``: it begins a page.
    """

    heading: str
    rows: tuple[Row, ...] = ()
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    new_page: bool = False


@dataclass(frozen=True, slots=True)
class Paper:
    """``number``: stands on every page. ``made``: aware; stands on the paper and in its properties.

    ``language``: of what is printed around the sections: page numbers, the words for number and time.
    """

    number: str
    title: str
    language: str
    made: datetime
    sections: tuple[Section, ...]


def check_paper(paper: Paper) -> None:
    """Raise PaperError where a paper is beyond what can be printed; pictures are checked when opened."""
    if paper.language not in LANGUAGES:
        raise PaperError(f"papers are in {', '.join(LANGUAGES)}")
    if paper.made.tzinfo is None:
        raise PaperError("the time of a paper is aware")
    if not paper.number or not paper.title:
        raise PaperError("a paper has a number and a title")
    rows = [row for section in paper.sections for row in section.rows]
    pictures = [picture for section in paper.sections for picture in section.pictures]
    if len(paper.sections) > MAX_SECTIONS or len(rows) > MAX_ROWS or len(pictures) > MAX_PICTURES:
        raise PaperError("a paper has too many sections, rows or pictures")
    lines = [paper.number, paper.title, *(section.heading for section in paper.sections)]
    lines += [*(row.label for row in rows), *(picture.label for picture in pictures)]
    if max(map(len, lines)) > MAX_LINE_CHARS:
        raise PaperError("a heading or a label is too long")
    if any(len(row.value) > MAX_VALUE_CHARS for row in rows):
        raise PaperError("a value is too long")
    texts = [*lines, *(row.value for row in rows), *(section.text for section in paper.sections)]
    if sum(map(len, texts)) > MAX_PAPER_CHARS:
        raise PaperError("a paper has too much text")
    if any(len(picture.content) > MAX_PICTURE_BYTES or picture.width_mm <= 0 for picture in pictures):
        raise PaperError("a picture is too large")
