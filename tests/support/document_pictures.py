"""Synthetic documents, in focus and out of it, and a camera that shows what a script says."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np

from edge.errors import CameraLost
from edge.model import CameraAssurance, Frame, Image


def page(width: int = 1280, height: int = 960, *, lines: int = 24) -> Image:
    """Rows of print on paper, with a border; further lines are empty."""
    paper = np.full((height, width, 3), 225, np.uint8)
    for number in range(lines):
        place = (width // 16, (number + 2) * height // 28)
        words = f"Synthetic form, row {number:02d}: 0123456789 ABCDEFGH"
        cv2.putText(paper, words, place, cv2.FONT_HERSHEY_SIMPLEX, width / 1280, (40, 40, 40), 2, cv2.LINE_AA)
    return paper


def blurred(picture: Image, sigma: float = 5.0) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


class Scripted:
    """A camera whose next look is what the script says."""

    camera_id = "scripted"

    def __init__(self, script: Iterator[Image | CameraLost], assurance: CameraAssurance) -> None:
        self.assurance = assurance
        self.closed = threading.Event()
        self._script = script
        self._numbers = itertools.count(1)

    def read(self, timeout_s: float) -> Frame:
        time.sleep(0.002)
        found = next(self._script)
        if isinstance(found, CameraLost):
            raise found
        return Frame(found, time.monotonic(), next(self._numbers))

    def close(self) -> None:
        self.closed.set()
