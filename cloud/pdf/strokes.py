"""Signatures drawn by hand: lines on a pad, kept without its size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_LINES = 200
MOST_POINTS = 10_000
LEAST_POINTS = 4
UNITS = 10_000
"""The longer side of a drawing."""

_LEAST_SIZE = 0.03  # of the pad's longer side: what is smaller is a dot or a slip of the finger
_LEAST_LENGTH = 0.08  # of the pad's longer side: all lines together
_MOST_PAD = 1e6


class StrokesRefused(ValueError):
    """Not a signature: nothing drawn, a dot, or more than a hand draws."""


@dataclass(frozen=True, slots=True)
class Strokes:
    """Lines of points (x, y) from the drawing's own top left corner, x to the right, y down.

    ``width`` and ``height``: of the drawing; the longer one is UNITS.
    """

    width: int
    height: int
    lines: tuple[tuple[tuple[int, int], ...], ...]


def parse_strokes(
    lines: Sequence[Sequence[tuple[float, float]]], *, pad_width: float, pad_height: float
) -> Strokes:
    """What was drawn on a pad; points in its units, from its top left corner, y down.

    Raises:
        StrokesRefused
    """
    if not (0 < pad_width <= _MOST_PAD and 0 < pad_height <= _MOST_PAD):
        raise StrokesRefused("a pad has a width and a height")
    if len(lines) > MOST_LINES or sum(map(len, lines)) > MOST_POINTS:
        raise StrokesRefused(f"a drawing has at most {MOST_LINES} lines and {MOST_POINTS} points")
    points = [point for line in lines for point in line]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in points):
        raise StrokesRefused("a point is two numbers")
    if any(not (0 <= x <= pad_width and 0 <= y <= pad_height) for x, y in points):
        raise StrokesRefused("a point lies outside the pad")
    pad = max(pad_width, pad_height)
    if len(set(points)) < LEAST_POINTS:
        raise StrokesRefused("nothing was drawn, or only a dot")
    left, top = min(x for x, _ in points), min(y for _, y in points)
    width, height = max(x for x, _ in points) - left, max(y for _, y in points) - top
    length = sum(math.dist(*pair) for line in lines for pair in pairwise(line))
    if max(width, height) < _LEAST_SIZE * pad or length < _LEAST_LENGTH * pad:
        raise StrokesRefused("nothing was drawn, or only a dot")
    scale = UNITS / max(width, height)
    kept = tuple(
        tuple(_without_repeats((round((x - left) * scale), round((y - top) * scale)) for x, y in line))
        for line in lines
        if line
    )
    return Strokes(max(1, round(width * scale)), max(1, round(height * scale)), kept)


def encode_strokes(strokes: Strokes) -> bytes:
    """As they are stored: compact JSON."""
    return json.dumps(
        {"v": 1, "w": strokes.width, "h": strokes.height, "lines": strokes.lines}, separators=(",", ":")
    ).encode()


def decode_strokes(content: bytes) -> Strokes:
    """What ``encode_strokes`` made.

    Raises:
        ValueError: something else.
    """
    try:
        value = json.loads(content)
        if value["v"] != 1:
            raise ValueError("not a drawing of this version")
        lines = tuple(tuple((int(x), int(y)) for x, y in line) for line in value["lines"])
        return Strokes(int(value["w"]), int(value["h"]), lines)
    except (KeyError, TypeError) as error:
        raise ValueError("not a drawing") from error


def _without_repeats(points: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last = None
    for point in points:
        if point != last:
            yield point
        last = point
