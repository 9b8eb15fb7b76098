"""The cloud's answers to one batch, sorted by what follows from them. Pure.

Records of our epoch that are refused get a TOMBSTONE, one at a time: if the cloud refused that too, the
fault would lie elsewhere, and nothing more is given up. Records of earlier epochs are in no chain of ours
any more: whatever the cloud says of them is only noted.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.model import Position
from edge.sync.events import (
    Command,
    MarkBranch,
    MarkDelivered,
    MarkRefused,
    RecordResult,
    Verdict,
)

_TAKEN = (Verdict.ACCEPTED, Verdict.ALREADY_HAVE)


@dataclass(frozen=True, slots=True)
class Batch:
    """``delivered``: durable there. ``branch``: kept there beside the chain. ``refused``: the first of
    our epoch that needs a TOMBSTONE; ``refused_before``: those of earlier epochs. ``excuse_refused``: the
    first GAP or TOMBSTONE that was refused. ``forked``: our epoch cannot go on.
    """

    delivered: tuple[Position, ...]
    branch: tuple[Position, ...]
    refused: RecordResult | None
    refused_before: tuple[RecordResult, ...]
    excuse_refused: RecordResult | None
    forked: bool
    out_of_order: bool
    accepted: bool
    progress: bool


def sort_results(results: tuple[RecordResult, ...], *, epoch: int) -> Batch:
    """Sort the results of a batch; ``epoch`` is ours."""
    delivered = tuple(
        one.position
        for one in results
        if one.verdict in _TAKEN or (one.verdict is Verdict.STAGED and one.position.epoch >= epoch)
    )
    branch = tuple(one.position for one in results if one.verdict is Verdict.FORK)
    invalid = [one for one in results if one.verdict is Verdict.INVALID]
    here = [one for one in invalid if one.position.epoch >= epoch and not one.reset and not one.closed]
    refused_before = tuple(one for one in invalid if one.position.epoch < epoch)
    accepted = any(one.verdict is Verdict.ACCEPTED for one in results)
    answered = {*delivered, *branch, *(one.position for one in invalid)}
    return Batch(
        delivered=delivered,
        branch=branch,
        refused=next((one for one in here if not one.excuse), None),
        refused_before=refused_before,
        excuse_refused=next((one for one in here if one.excuse), None),
        forked=any(position.epoch >= epoch for position in branch)
        or any(one.reset and one.position.epoch >= epoch for one in invalid),
        out_of_order=any(one.verdict is Verdict.OUT_OF_ORDER for one in results),
        accepted=accepted,
        progress=accepted or any(one.new and one.position in answered for one in results),
    )


def marks_of(batch: Batch) -> tuple[Command, ...]:
    """What to note in the outbox."""
    marks: list[Command] = []
    if batch.delivered:
        marks.append(MarkDelivered(batch.delivered))
    if batch.branch:
        marks.append(MarkBranch(batch.branch))
    marks += [MarkRefused(one.position, one.reason) for one in batch.refused_before]
    return tuple(marks)
