"""Places for marks on a document: in points from the top left corner of the page as a reader shows it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cloud.pdf.intake import Document, Page

MOST_A_PARTY = 30
MOST_A_DOCUMENT = 200
"""Fields. Each is a signature of its own, and takes a part of a second to make and to check."""

MAX_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a dot would make a tree of fields
_NEAR = 0.01  # points; what is lost when clients compute with floats


class Kind(StrEnum):
    SIGNATURE = "SIGNATURE"
    SEAL = "SEAL"
    SIGN_DATE = "SIGN_DATE"


LEAST = {Kind.SIGNATURE: (24.0, 10.0), Kind.SEAL: (24.0, 24.0), Kind.SIGN_DATE: (36.0, 8.0)}
"""Width and height, in points, below which a mark cannot be read on paper."""


@dataclass(frozen=True, slots=True)
class Box:
    """``x`` and ``y``: its top left corner, from the top left corner of the page."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mark will be. ``name``: of the field, unlike all others. ``page``: from 1. ``party``: whose."""

    name: str
    kind: Kind
    page: int
    box: Box
    party: str


CERTIFICATION = "Platform"
"""Name of the platform's own, invisible signature field."""

ARCHIVE = "Archive"
"""With a number behind it: names of the fields of time-stamps over the whole document."""


def is_reserved(name: str) -> bool:
    """Whether a field of this name is made by the service itself, so that no party's can have it."""
    return name == CERTIFICATION or re.fullmatch(ARCHIVE + "[0-9]+", name) is not None


class Misplaced(StrEnum):
    OUTSIDE = "OUTSIDE"
    NO_PAGE = "NO_PAGE"
    OVERLAP = "OVERLAP"
    TOO_SMALL = "TOO_SMALL"
    TOO_MANY = "TOO_MANY"
    DUPLICATE = "DUPLICATE"


class PlacesRefused(ValueError):
    """``index``: which of the places is wrong, from 0."""

    def __init__(self, why: Misplaced, index: int, message: str) -> None:
        super().__init__(message)
        self.why = why
        self.index = index


def check_places(document: Document, places: Sequence[Place]) -> None:
    """None, or raise for the first place that is wrong.

    Marks of one party may overlap: a seal is often set over a signature.

    Raises:
        PlacesRefused
        ValueError: a name that no field can have.
    """
    if len(places) > MOST_A_DOCUMENT:
        raise PlacesRefused(
            Misplaced.TOO_MANY, MOST_A_DOCUMENT, f"a document takes at most {MOST_A_DOCUMENT} marks"
        )
    names: set[str] = set()
    marks: Counter[str] = Counter()
    for index, place in enumerate(places):
        if not _NAME.fullmatch(place.name):
            raise ValueError("a field is named with letters, digits, _ and -")
        if place.name in names:
            raise PlacesRefused(Misplaced.DUPLICATE, index, "two places have the same name")
        if is_reserved(place.name):
            raise ValueError("a name that the platform's own fields have")
        names.add(place.name)
        marks[place.party] += 1
        if marks[place.party] > MOST_A_PARTY:
            raise PlacesRefused(Misplaced.TOO_MANY, index, f"a party sets at most {MOST_A_PARTY} marks")
        _check_box(document, place, index)
        for other in _of_others(places[:index], place):
            if _overlap(other.box, place.box):
                raise PlacesRefused(Misplaced.OVERLAP, index, "the marks of two parties would overlap")


def _check_box(document: Document, place: Place, index: int) -> None:
    if not 1 <= place.page <= len(document.pages):
        raise PlacesRefused(Misplaced.NO_PAGE, index, f"the document has {len(document.pages)} pages")
    box = place.box
    if not all(map(math.isfinite, (box.x, box.y, box.width, box.height))):
        raise PlacesRefused(Misplaced.OUTSIDE, index, "a place is given in numbers")
    least_width, least_height = LEAST[place.kind]
    if box.width < least_width - _NEAR or box.height < least_height - _NEAR:
        raise PlacesRefused(
            Misplaced.TOO_SMALL,
            index,
            f"a mark of this kind needs {least_width:g} by {least_height:g} points",
        )
    if not _inside(document.pages[place.page - 1], box):
        raise PlacesRefused(Misplaced.OUTSIDE, index, "a place lies outside its page")


def _inside(page: Page, box: Box) -> bool:
    return (
        box.x >= -_NEAR
        and box.y >= -_NEAR
        and box.x + box.width <= page.width + _NEAR
        and box.y + box.height <= page.height + _NEAR
    )


def _of_others(places: Sequence[Place], place: Place) -> Iterator[Place]:
    return (one for one in places if one.page == place.page and one.party != place.party)


def _overlap(one: Box, other: Box) -> bool:
    """Whether they share more than an edge."""
    return (
        one.x + one.width > other.x + _NEAR
        and other.x + other.width > one.x + _NEAR
        and one.y + one.height > other.y + _NEAR
        and other.y + other.height > one.y + _NEAR
    )
