"""Lines drawn by hand, as curves of a pen."""

from __future__ import annotations

from collections.abc import Iterator

from cloud.pdf.strokes import Strokes

_INK = (0.05, 0.11, 0.36)
_PEN = 0.035  # of the lower side of the box
_LEAST_PEN, _MOST_PEN = 0.7, 2.2  # points

Point = tuple[float, float]


def draw_strokes(strokes: Strokes, width: float, height: float) -> bytes:
    """PDF operators that draw into a box of that size, whole, in the middle, in its own proportions."""
    pen = min(_MOST_PEN, max(_LEAST_PEN, _PEN * min(width, height)))
    room_x, room_y = max(1.0, width - 2 * pen), max(1.0, height - 2 * pen)
    scale = min(room_x / strokes.width, room_y / strokes.height)
    left = (width - scale * strokes.width) / 2
    top = (height + scale * strokes.height) / 2
    far = (left + scale * strokes.width, top - scale * strokes.height)
    parts = [
        f"q 1 J 1 j {pen:.3f} w {_colour(_INK)} RG {_colour(_INK)} rg",
    ]
    for line in strokes.lines:
        points = [(left + scale * x, top - scale * y) for x, y in line]
        if len(points) == 1:
            parts.append(_dot(points[0], pen))
        else:
            parts.append(f"{_at(points[0])} m")
            parts.extend(_curves(points, (left, far[1]), (far[0], top)))
            parts.append("S")
    parts.append("Q")
    return "\n".join(parts).encode("ascii")


def _curves(points: list[Point], least: Point, most: Point) -> Iterator[str]:
    """Catmull and Rom's curve through all points. Its control points stay within the drawing, and with them
    the curve."""
    for index in range(len(points) - 1):
        before_x, before_y = points[max(0, index - 1)]
        after_x, after_y = points[min(len(points) - 1, index + 2)]
        (start_x, start_y), (end_x, end_y) = points[index], points[index + 1]
        first = start_x + (end_x - before_x) / 6, start_y + (end_y - before_y) / 6
        second = end_x - (after_x - start_x) / 6, end_y - (after_y - start_y) / 6
        inside = (_within(first, least, most), _within(second, least, most), (end_x, end_y))
        yield f"{' '.join(map(_at, inside))} c"


def _at(point: Point) -> str:
    return f"{point[0]:.3f} {point[1]:.3f}"


def _colour(ink: tuple[float, float, float]) -> str:
    return " ".join(f"{part:.3f}" for part in ink)


def _within(point: Point, least: Point, most: Point) -> Point:
    return min(most[0], max(least[0], point[0])), min(most[1], max(least[1], point[1]))


def _dot(middle: Point, pen: float) -> str:
    """A filled circle: not every reader draws a line without a length."""
    (x, y), r = middle, pen / 2
    k = 0.5523 * r
    return (
        f"{x + r:.3f} {y:.3f} m "
        f"{x + r:.3f} {y + k:.3f} {x + k:.3f} {y + r:.3f} {x:.3f} {y + r:.3f} c "
        f"{x - k:.3f} {y + r:.3f} {x - r:.3f} {y + k:.3f} {x - r:.3f} {y:.3f} c "
        f"{x - r:.3f} {y - k:.3f} {x - k:.3f} {y - r:.3f} {x:.3f} {y - r:.3f} c "
        f"{x + k:.3f} {y - r:.3f} {x + r:.3f} {y - k:.3f} {x + r:.3f} {y:.3f} c f"
    )
