"""Is it still the same face? Boxes of one face overlap from frame to frame; another face does not."""

from __future__ import annotations

from edge.model import Face

Box = tuple[float, float, float, float]


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height), 0..1."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (first[2] * first[3] + second[2] * second[3] - common)


class FaceContinuity:
    """Follows one face; a jump to elsewhere or to another size is a switch."""

    def __init__(self, min_overlap: float) -> None:
        self._min_overlap = min_overlap
        self._box: Box | None = None

    def switched(self, face: Face) -> bool:
        """Take the next frame's face, which is followed from now on; True where it is not the one before."""
        before, self._box = self._box, face.box
        return before is not None and overlap(before, face.box) < self._min_overlap
