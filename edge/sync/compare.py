"""Both sides of a device's chain compared: what to send, what to give up, or why a new epoch must begin.

    the cloud's head                              the answer
    whatever it is, where our store is not whole  NewEpoch   it says so itself
    is of a later epoch than ours                 NewEpoch   the store is behind
    is of our epoch, beyond our head              NewEpoch   the store is behind
    is of our epoch, with another digest          NewEpoch   a fork
    is of our epoch, and ours                     Mend       places that the cloud waits for and we lack
                                                  Bury       what it refused before
                                                  Send       what it waits for, and what it has not seen
    is of an earlier epoch: our RESET cites it    Send       the RESET is new, or waits for a person there
    is of an earlier epoch, before what the       Send       from there on, where all of it is here still
      RESET cites                                 NewEpoch   where it is not
    is of an earlier epoch, and another one       NewEpoch   the RESET came too late

A cloud whose head lies behind ours was restored from a backup: what is here still is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.model import Hole, Position, ResetReason
from edge.sync.events import CloudChain, LocalChain, Span
from verifield.chain import ChainHead

START = Position(1, 0)
"""Before the first record of the first epoch."""


@dataclass(frozen=True, slots=True)
class Send:
    """In this order. ``held_back``: the cloud keeps records of ours that it does not chain, and waits for
    none of ours. ``lost``: it has less than its receipts cover.
    """

    spans: tuple[Span, ...]
    held_back: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Mend:
    """Places to give up by GAP events before anything is sent."""

    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class Bury:
    """A record that was refused before and whose TOMBSTONE is still to be made: the power failed then."""

    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class NewEpoch:
    reason: ResetReason


Judgement = Send | Mend | Bury | NewEpoch


def place(head: ChainHead) -> Position:
    """Where a head is."""
    return Position(head.epoch, head.seq)


def before(position: Position) -> Position:
    """What a span names as ``after``, so that ``position`` is its first."""
    return Position(position.epoch, position.seq - 1)


def judge_chains(cloud: CloudChain, local: LocalChain, *, forked: bool, sweep: bool) -> Judgement:
    """Compare. ``forked``: the cloud has said that a record of our epoch contradicts its chain.

    ``sweep``: send again what the cloud keeps back, in case it has lost it.
    """
    if local.head is None:
        return NewEpoch(ResetReason.STORE_LOST) if cloud.head else Send(())
    if local.reset_needed is not None:
        return NewEpoch(local.reset_needed)
    if cloud.head is None:
        return _behind_epoch(cloud, local, sweep=sweep) if local.head.epoch > 1 else _same_epoch(cloud, local)
    if cloud.head.epoch < local.head.epoch:
        return NewEpoch(ResetReason.FORK) if forked else _behind_epoch(cloud, local, sweep=sweep)
    newest = Position(cloud.head.epoch, max(cloud.head.seq, cloud.newest_seq))
    if forked or local.sha256_at_cloud not in (None, cloud.head.sha256):
        return NewEpoch(ResetReason.FORK)
    if newest > place(local.head):
        return NewEpoch(ResetReason.STORE_BEHIND)
    return _same_epoch(cloud, local)


def _same_epoch(cloud: CloudChain, local: LocalChain) -> Judgement:
    assert local.head is not None  # noqa: S101 - for the type checker; the caller has looked
    epoch = local.head.epoch
    at = place(cloud.head) if cloud.head else Position(epoch, 0)
    newest = Position(epoch, max(at.seq, cloud.newest_seq))
    wanted = (*cloud.missing, (newest.seq + 1, local.head.seq))
    holes = tuple(part for hole in local.holes for part in _lacking(hole, wanted, behind=at.seq))
    if holes:
        return Mend(holes)
    if local.refused:
        return Bury(*local.refused[0])
    spans = []
    if cloud.head and local.sha256_at_cloud and (local.confirmed is None or local.confirmed < at):
        spans.append(Span(before(at), at))  # once more, for the receipt that was lost
    spans += [Span(Position(epoch, first - 1), Position(epoch, last)) for first, last in cloud.missing]
    spans.append(Span(newest))
    if local.pending is not None and local.pending.epoch < epoch:
        spans.append(Span(before(local.pending), Position(epoch, 0)))  # left over from before the RESET
    return Send(
        tuple(spans),
        held_back=newest > at and not cloud.missing,
        lost=local.confirmed is not None and at < local.confirmed,
    )


def _behind_epoch(cloud: CloudChain, local: LocalChain, *, sweep: bool) -> Judgement:
    """Our RESET is not in the cloud's chain: it waits there, or is under way, or can never be taken."""
    assert local.head is not None  # noqa: S101 - for the type checker; the caller has looked
    if not local.reset_here:
        return NewEpoch(ResetReason.FORK)
    at = place(cloud.head) if cloud.head else START
    if local.cited == cloud.head:
        if local.holes:
            return Mend(local.holes)
        spans = [Span(at)] if sweep else []
        if local.pending_here and not sweep:
            spans.append(Span(before(local.pending_here)))
        if local.pending and local.pending.epoch < at.epoch:
            spans.append(
                Span(before(local.pending), Position(at.epoch, 0))
            )  # of epochs that are closed there
        return Send(tuple(spans), held_back=True)
    ours = cloud.head is None or local.sha256_at_cloud == cloud.head.sha256
    if ours and local.reaches_cited:
        return Send((Span(at),), lost=True)
    return NewEpoch(ResetReason.FORK)


def _lacking(hole: Hole, wanted: tuple[tuple[int, int], ...], *, behind: int) -> list[Hole]:
    """The end of ``hole`` that the cloud waits for: what it has already needs no excuse."""
    firsts = [
        max(hole.first_seq, first, behind + 1)
        for first, last in wanted
        if first <= hole.last_seq and last >= hole.first_seq and hole.last_seq > behind
    ]
    return [replace(hole, first_seq=min(firsts))] if firsts else []
