"""What a caller hands to the log, and what waits for its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from opentelemetry.context import Context
from sqlalchemy import Connection

from cloud.log.view import SignedCheckpoint

T = TypeVar("T")

Place = tuple[str, int, int]
"""Device, epoch and seq of the record behind a leaf."""

Seal = Callable[[Connection, int, SignedCheckpoint], T]


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What a work adds to the log.

    ``leaves``: leaf hashes in order, may be empty. ``seal`` is called in the same transaction with the index
    of the first leaf (that of the next one where there are none) and the group's checkpoint, which covers all
    of them; it returns the caller's answer. ``places``: of the leaves' records, empty for leaves without.
    """

    leaves: Sequence[bytes]
    seal: Seal[T]
    places: Sequence[Place] = ()

    def __post_init__(self) -> None:
        if self.places and len(self.places) != len(self.leaves):
            raise ValueError("each leaf has a place, or none has")


Work = Callable[[Connection], Entry[T]]
"""Reads and writes in the group's transaction. It may run several times, and must leave nothing but rows."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[T]):
    """A work on its way: ``since`` by the sequencer's clock; ``apart``: it runs in a group of its own.

    ``trace``: the call that it is part of, where that is traced.
    """

    work: Work[T]
    key: str
    since: float
    answer: Future[T] = field(default_factory=Future)
    apart: bool = False
    trace: Context | None = None
    begun: bool = False

    def begin(self) -> bool:
        """Whether anybody still waits for the answer; from now on it will be given."""
        if not self.begun:
            self.begun = self.answer.set_running_or_notify_cancel()
        return self.begun


class WaitingList:
    """Works in the order in which they came, at most ``most`` of them. Not for several threads at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._works: list[Waiting[Any]] = []
        self._again: list[Waiting[Any]] = []

    def __len__(self) -> int:
        return len(self._works) + len(self._again)

    def add(self, waiting: Waiting[Any]) -> bool:
        """Take a work; False where the list is full."""
        if len(self) >= self._most:
            return False
        self._works.append(waiting)
        return True

    def put_back(self, works: list[Waiting[Any]]) -> None:
        """Take works that a group left over: they are the next group's, before all others."""
        self._again = works + self._again

    def take_group(self, most: int) -> list[Waiting[Any]]:
        """The next group, ordered by key: the oldest works, one of each key, or one that must run apart.

        Works that were put back form groups of their own, so that none is overtaken again and again.
        """
        source = self._again or self._works
        group: dict[str, Waiting[Any]] = {}
        left: list[Waiting[Any]] = []
        for number, one in enumerate(source):
            if len(group) == most or (group and one.apart):
                left += source[number:]
                break
            if one.key in group:
                left.append(one)
                continue
            if not one.begin():
                continue
            group[one.key] = one
            if one.apart:
                left += source[number + 1 :]
                break
        source[:] = left
        return sorted(group.values(), key=lambda one: one.key)

    def take_all(self) -> list[Waiting[Any]]:
        """Everything that waits."""
        every = self._again + self._works
        self._again, self._works = [], []
        return every
