"""From the page that a reader shows, in points from its top left corner, to the page of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import pikepdf

_MOST_PARENTS = 64


class GeometryError(ValueError):
    """A page without a usable size."""


class BoxLike(Protocol):
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page. Edges of what is shown, in units of the file; ``rotate``: 0, 90, 180 or 270, clockwise;
    ``unit``: points in one unit."""

    left: float
    bottom: float
    right: float
    top: float
    rotate: int
    unit: float

    @property
    def width(self) -> float:
        """As shown, in points."""
        return self.unit * (self.top - self.bottom if self.rotate % 180 else self.right - self.left)

    @property
    def height(self) -> float:
        """As shown, in points."""
        return self.unit * (self.right - self.left if self.rotate % 180 else self.top - self.bottom)

    def rectangle(self, box: BoxLike) -> tuple[float, float, float, float]:
        """``box`` as /Rect of the file: left, bottom, right, top."""
        one = self._point(box.x, box.y)
        other = self._point(box.x + box.width, box.y + box.height)
        return (
            min(one[0], other[0]),
            min(one[1], other[1]),
            max(one[0], other[0]),
            max(one[1], other[1]),
        )

    def _point(self, x: float, y: float) -> tuple[float, float]:
        across, down = x / self.unit, y / self.unit
        if self.rotate == 90:  # the left edge of the file's page is shown above
            return self.left + down, self.bottom + across
        if self.rotate == 180:
            return self.right - across, self.bottom + down
        if self.rotate == 270:
            return self.right - down, self.top - across
        return self.left + across, self.top - down


def sheet_of(page: pikepdf.Object) -> Sheet:
    """What a reader shows of a page: its crop box within its media box.

    Raises:
        GeometryError
    """
    media = _box(_inherited(page, "/MediaBox"))
    crop = _inherited(page, "/CropBox")
    left, bottom, right, top = media if crop is None else _common(media, _box(crop))
    rotate = _inherited(page, "/Rotate")
    unit = page.get("/UserUnit", 1)
    try:
        turned, points = float(rotate if rotate is not None else 0), float(unit)
    except (TypeError, ValueError) as error:
        raise GeometryError("a page is turned or scaled by what is no number") from error
    if turned % 90 or not 0 < points <= 1000 or left >= right or bottom >= top:
        raise GeometryError("a page has no usable size")
    return Sheet(left, bottom, right, top, int(turned) % 360, points)


def _inherited(page: pikepdf.Object, key: str) -> pikepdf.Object | None:
    node = page
    for _ in range(_MOST_PARENTS):
        if key in node:
            return node[key]
        parent = node.get("/Parent")
        if not isinstance(parent, pikepdf.Dictionary):
            return None
        node = parent
    raise GeometryError("pages lie too deep")


def _box(value: pikepdf.Object | None) -> tuple[float, float, float, float]:
    if not isinstance(value, pikepdf.Array) or len(value) != 4:
        raise GeometryError("a page has no size")
    try:
        one_x, one_y, other_x, other_y = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise GeometryError("the size of a page is no number") from error
    if not all(map(math.isfinite, (one_x, one_y, other_x, other_y))):
        raise GeometryError("the size of a page is no number")
    return min(one_x, other_x), min(one_y, other_y), max(one_x, other_x), max(one_y, other_y)


def _common(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
