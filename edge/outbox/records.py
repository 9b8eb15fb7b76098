"""The values that the outbox takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from verifield.chain import ChainHead


class RecordState(StrEnum):
    """PENDING -> DELIVERED -> CONFIRMED -> purged; INVALID waits for a person."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"  # the cloud says that it has it
    CONFIRMED = "CONFIRMED"  # a verified receipt covers it
    INVALID = "INVALID"  # the cloud will never take it


@dataclass(frozen=True, slots=True)
class Cited:
    """What a new statement cites: the newest verified receipt. Empty before the first."""

    receipt_sha256: bytes = b""
    checkpoint_sha256: bytes = b""
    server_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """``envelope``: as sealed. ``private``: what opens its commitments, stored encrypted; may be empty."""

    envelope: bytes
    private: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """``sha256``: digest of ``envelope``. ``created_at``: the device's wall clock, aware, UTC."""

    attestation_id: str
    epoch: int
    seq: int
    sha256: bytes
    envelope: bytes = field(repr=False)
    state: RecordState
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """``pending_bytes``: envelopes that the cloud does not have. ``oldest_pending``: of those."""

    head: ChainHead | None
    pending: int
    delivered: int
    confirmed: int
    invalid: int
    pending_bytes: int
    oldest_pending: datetime | None
    last_receipt_time: datetime | None
