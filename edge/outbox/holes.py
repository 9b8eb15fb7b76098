"""Which places of a chain cannot be delivered, and what the record behind them continues. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from edge.model import Hole
from edge.outbox.records import HoleReason
from verifield.chain import ChainHead


@dataclass(frozen=True, slots=True)
class Places:
    """What the store knows about the places of ``head``'s epoch.

    ``intact``: with a record that can be read, ascending. ``damaged``: noted as broken. ``excused``: first
    and last of what GAP records of ours cover. ``confirmed_seq``: through where receipts cover.
    """

    head: ChainHead
    intact: Iterable[int]
    damaged: frozenset[int]
    excused: tuple[tuple[int, int], ...]
    confirmed_seq: int


def find_holes(
    places: Places, *, after_seq: int, previous_of: Callable[[int], bytes | None]
) -> Iterator[Hole]:
    """Yield the holes behind ``after_seq`` that need a GAP record, lowest first.

    A hole reaches to the next record that can be read, since only that one (``previous_of`` its seq)
    still tells the digest of the last place; so it may cover places that are excused already.
    """
    for first, last in _missing(places, after_seq):
        unexcused = next((seq for seq in range(first, last + 1) if not _covered(seq, places.excused)), None)
        if unexcused is None:
            continue
        sha256 = places.head.sha256 if last == places.head.seq else previous_of(last + 1)
        if sha256 is not None:
            yield Hole(places.head.epoch, unexcused, last, sha256, _reason(unexcused, last, places))


def _missing(places: Places, after_seq: int) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of places that have no intact record."""
    expected = after_seq + 1
    for seq in places.intact:
        if seq in places.damaged or not expected <= seq <= places.head.seq:
            continue
        if seq > expected:
            yield expected, seq - 1
        expected = seq + 1
    if expected <= places.head.seq:
        yield expected, places.head.seq


def _covered(seq: int, excused: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= seq <= last for first, last in excused)


def _reason(first: int, last: int, places: Places) -> HoleReason:
    if any(first <= seq <= last for seq in places.damaged):
        return HoleReason.DAMAGED
    return HoleReason.PURGED if last <= places.confirmed_seq else HoleReason.LOST
