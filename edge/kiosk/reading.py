"""How far a contract was read at this kiosk: which pages went to the screen, and which were shown. Pure.

A page counts as seen once its picture was handed out and the page on the screen says that it is drawn. Who
reloads the page, or wakes the device from sleep, goes on where they were; a document that was replaced is
read anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MAX_READINGS = 16
"""Contracts that are read at once; the one that was touched longest ago is begun anew."""

MAX_SHOWN_MISSING = 8
"""Page numbers named in a sentence."""


@dataclass(slots=True)
class Reading:
    """One document. ``pages``: how many it has."""

    sha256: bytes
    pages: int
    handed_out: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    def hand_out(self, page: int) -> None:
        """Note that a page's picture, from 1, was sent to the screen."""
        if 1 <= page <= self.pages:
            self.handed_out.add(page)

    def note_seen(self, page: int) -> bool:
        """Note that a page is drawn; False for one that was never handed out."""
        if page not in self.handed_out:
            return False
        self.seen.add(page)
        return True

    @property
    def missing(self) -> tuple[int, ...]:
        """The pages that nobody has seen, in order."""
        return tuple(page for page in range(1, self.pages + 1) if page not in self.seen)

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def resume_at(self) -> int:
        """The first page that is still to be read; the first of all where everything was."""
        return self.missing[0] if self.missing else 1


class Readings:
    """The readings of a kiosk, by task. For one thread."""

    def __init__(self) -> None:
        self._by_task: OrderedDict[str, Reading] = OrderedDict()

    def of(self, task_id: str, sha256: bytes, pages: int) -> Reading:
        """The reading of this very document; a new one where it was replaced."""
        known = self._by_task.get(task_id)
        if known is None or known.sha256 != sha256 or known.pages != pages:
            known = self._by_task[task_id] = Reading(sha256, pages)
        self._by_task.move_to_end(task_id)
        while len(self._by_task) > MAX_READINGS:
            self._by_task.popitem(last=False)
        return known

    def forget(self, task_id: str) -> None:
        """It was signed: who reads it again begins anew."""
        self._by_task.pop(task_id, None)


def in_words(pages: tuple[int, ...]) -> str:
    """``2, 3, 7, …``."""
    shown = ", ".join(str(page) for page in pages[:MAX_SHOWN_MISSING])
    return f"{shown}, …" if len(pages) > MAX_SHOWN_MISSING else shown
