"""Text in a picture. The reader is a port; the adapter is rapidocr, whose wheel brings its networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.model import Image


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text and its edges in pixels. Personal data: not in ``repr``."""

    text: str = field(repr=False)
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


class TextReader(Protocol):
    """Finds lines of text."""

    def read(self, image: Image) -> list[Line]:
        """Return the lines of ``image`` (uint8 [height, width, 3] BGR), from the top, and from the left."""


class RapidTextReader:
    """PP-OCR networks for Chinese and Latin script, on the processor: 16 MB, about a second for a card."""

    def __init__(self, *, threads: int) -> None:
        from rapidocr_onnxruntime import RapidOCR  # noqa: PLC0415 - it takes a second to import

        options: dict[str, Any] = {"intra_op_num_threads": threads, "print_verbose": False}
        self._engine = RapidOCR(**options)

    def read(self, image: Image) -> list[Line]:
        found, _ = self._engine(image, use_cls=False)
        lines = [_to_line(box, text, score) for box, text, score in found or []]
        return sorted(lines, key=lambda line: (line.middle, line.left))


def _to_line(box: list[list[float]], text: str, score: float) -> Line:
    across, down = [float(x) for x, _ in box], [float(y) for _, y in box]
    return Line(text, float(score), min(across), min(down), max(across), max(down))
