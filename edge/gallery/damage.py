"""What a file can be that no gallery is read from; ``faults_of`` (edge.gallery.faults) tells people of it.

Apart from what reads and writes the file: commands that open no gallery know its errors without a compiler.
"""

from __future__ import annotations


class DamagedError(Exception):
    """A part does not hold: it was changed, or moved. ``part`` names it."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


class WrongKeyError(Exception):
    """The header is as it was written, under another key."""
