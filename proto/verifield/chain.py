"""The chain of one device: each statement names the digest of the envelope before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from verifield.errors import Forged
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


def envelope_sha256(envelope: bytes) -> bytes:
    """Digest of the serialised envelope, exactly as it was stored or received."""
    return hashlib.sha256(envelope).digest()


def check_link(statement: Statement, head: ChainHead | None) -> None:
    """Check that ``statement`` comes right after ``head``; None means that the chain is empty.

    A new epoch is refused: it needs a RESET record, which version 1 does not define.

    Raises:
        ChainBreak: another epoch, a gap, a repetition, or another predecessor.
    """
    epoch, seq, previous = (head.epoch, head.seq + 1, head.sha256) if head else (GENESIS_EPOCH, 1, b"")
    if statement.chain_epoch != epoch:
        raise ChainBreak(
            f"The record belongs to epoch {statement.chain_epoch}; the chain is in epoch {epoch}."
        )
    if statement.seq != seq:
        raise ChainBreak(f"The record has seq {statement.seq}; the chain continues with {seq}.")
    if statement.previous_envelope_sha256 != previous:
        raise ChainBreak(
            f"The record with seq {seq} names another predecessor than the chain has.",
            hint="Two records claim the same place: look for a restored backup or a cloned device.",
        )


def next_head(statement: Statement, envelope: bytes) -> ChainHead:
    """Return the head after ``statement``, whose serialised envelope is ``envelope``."""
    return ChainHead(statement.chain_epoch, statement.seq, envelope_sha256(envelope))
