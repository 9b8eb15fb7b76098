"""The chain of one device: each statement names the digest of the envelope before it.

    epoch 1:  ENROLLED <- record <- record        (lost)  record <- GAP <- ...
    epoch 2:  RESET    <- record <- ...

A chain that cannot go on is closed by a RESET, the first record of a later epoch, which cites where
device and service stood. Places that are lost (GAP) or were refused for ever (TOMBSTONE) are excused
by an ordinary record behind them; the record right behind such a hole names the digest that the
excuse gives.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from verifield.errors import Forged
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement

GENESIS_EPOCH = 1
"""The epoch of a device's first chain."""


class ChainBreak(Forged):
    """A record does not continue the chain that it claims to belong to."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__("CHAIN_BREAK", message, hint=hint)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest record of a chain: ``sha256`` is the digest of its serialised envelope (32 bytes)."""

    epoch: int
    seq: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Excuse:
    """Places of the excusing record's own epoch, first to last, that the chain may pass over.

    The record right behind them names ``last_sha256``. ``refused``: the service refused the one
    record there (TOMBSTONE), so its bytes must have that digest; otherwise they are lost (GAP).
    """

    first_seq: int
    last_seq: int
    last_sha256: bytes
    refused: bool


def envelope_sha256(envelope: bytes) -> bytes:
    """Digest of the serialised envelope, exactly as it was stored or received."""
    return hashlib.sha256(envelope).digest()


def is_reset(statement: Statement) -> bool:
    """Whether ``statement`` begins a new epoch."""
    return statement.device_event.type == pb.DEVICE_EVENT_TYPE_RESET


def check_link(statement: Statement, head: ChainHead | None) -> None:
    """Check that ``statement`` comes right after ``head``; None means that the chain is empty.

    It does as the next of the same epoch, or as the RESET of any later one that cites ``head``
    (or nothing, where the device had lost it) as the device's own newest record.

    Raises:
        ChainBreak: another epoch, a gap, a repetition, or another predecessor.
    """
    if is_reset(statement):
        _check_local_reset(statement, head)
        return
    check_next(statement.chain_epoch, statement.seq, statement.previous_envelope_sha256, head)


def check_next(chain_epoch: int, of_seq: int, names: bytes, head: ChainHead | None) -> None:
    """Check that a record comes right after ``head`` in its epoch, by its place and the digest that it names.

    Raises:
        ChainBreak: another epoch, a gap, a repetition, or another predecessor.
    """
    epoch, seq, previous = (head.epoch, head.seq + 1, head.sha256) if head else (GENESIS_EPOCH, 1, b"")
    if chain_epoch != epoch:
        raise ChainBreak(f"The record belongs to epoch {chain_epoch}; the chain is in epoch {epoch}.")
    if of_seq != seq:
        raise ChainBreak(f"The record has seq {of_seq}; the chain continues with {seq}.")
    if names != previous:
        raise ChainBreak(
            f"The record with seq {seq} names another predecessor than the chain has.",
            hint="Two records claim the same place: look for a restored backup or a cloned device.",
        )


def check_reset(statement: Statement, head: ChainHead | None) -> None:
    """Check a RESET as the service must: of a later epoch, and it cites what the service has.

    Epochs may be left out: those that the device began with a RESET which came too late.

    Raises:
        ChainBreak: not a RESET, not of a later epoch, or it cites another head of the service.
    """
    if not is_reset(statement) or statement.seq != 1:
        raise ChainBreak("The record is no reset; only one may begin a new epoch.")
    current = head.epoch if head else GENESIS_EPOCH
    if statement.chain_epoch <= current:
        raise ChainBreak(f"The reset begins epoch {statement.chain_epoch}; the chain is in epoch {current}.")
    if cited_head(statement) != head:
        raise ChainBreak(
            "The reset cites another newest record of the service than there is.",
            hint="Ask the service where it stands, and reset again.",
        )


def excuses_of(statement: Statement) -> Excuse | None:
    """Return which places of its epoch ``statement`` excuses; None for most records."""
    event = statement.device_event
    if event.type == pb.DEVICE_EVENT_TYPE_GAP:
        gap = event.gap
        return Excuse(gap.first_seq, gap.last_seq, gap.last_sha256, refused=False)
    if event.type == pb.DEVICE_EVENT_TYPE_TOMBSTONE:
        place = event.tombstone
        return Excuse(place.seq, place.seq, place.envelope_sha256, refused=True)
    return None


def cited_head(reset: Statement) -> ChainHead | None:
    """Return where a RESET says that the service stood; None for without any record."""
    cited = reset.device_event.reset
    return position_of(cited.cloud_head) if cited.HasField("cloud_head") else None


def position_of(position: pb.ChainPosition) -> ChainHead:
    """Return a place that a RESET cites, as a head."""
    return ChainHead(position.chain_epoch, position.seq, position.envelope_sha256)


def next_head(statement: Statement, envelope: bytes) -> ChainHead:
    """Return the head after ``statement``, whose serialised envelope is ``envelope``."""
    return ChainHead(statement.chain_epoch, statement.seq, envelope_sha256(envelope))


def _check_local_reset(statement: Statement, head: ChainHead | None) -> None:
    current = head.epoch if head else GENESIS_EPOCH
    if statement.seq != 1 or statement.chain_epoch <= current:
        raise ChainBreak(
            f"The reset begins epoch {statement.chain_epoch}; the chain is in epoch {current} already."
        )
    reset = statement.device_event.reset
    if head is not None and reset.HasField("device_head") and position_of(reset.device_head) != head:
        raise ChainBreak("The reset cites another newest record of the device than there is.")
