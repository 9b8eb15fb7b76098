"""The values that the outbox takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from edge.answers import SessionAnswers
from edge.contact import Arrival, ClockMark
from edge.model import Position, ResetReason, Standing
from verifield.chain import ChainHead


class RecordState(StrEnum):
    """PENDING -> DELIVERED -> CONFIRMED -> purged. The others are kept, and none of them blocks the queue."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"  # the cloud says that it has it
    CONFIRMED = "CONFIRMED"  # a verified receipt covers it
    INVALID = "INVALID"  # the cloud will never take it; a TOMBSTONE closes its place
    BRANCH = "BRANCH"  # kept by the cloud beside the chain; confirmed with the RESET that cites its branch
    DAMAGED = "DAMAGED"  # its bytes no longer have their digest; a GAP closes its place


class HoleReason(StrEnum):
    """Why places of the chain cannot be delivered; a GAP record gives it for ever."""

    DAMAGED = "DAMAGED"  # something is there, but not what was signed
    LOST = "LOST"  # nothing is there
    PURGED = "PURGED"  # deleted after a receipt, and now the cloud wants it again


@dataclass(frozen=True, slots=True)
class Cited:
    """What a new statement cites, and what its clock is compared with. Empty before the first receipt.

    ``arrival``: of the cited receipt. ``last_clock``: of the newest record whose time was not SUSPECT.
    """

    receipt_sha256: bytes = b""
    checkpoint_sha256: bytes = b""
    server_time: datetime | None = None
    arrival: Arrival | None = None
    last_clock: ClockMark | None = None


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest checkpoint of the log that the device accepted. ``note``: as signed by the log."""

    tree_size: int
    note: str


@dataclass(frozen=True, slots=True)
class BegunSession:
    """A session that has no record yet. ``session``: its id and operator. ``standing``: as it began."""

    session: SessionAnswers
    standing: Standing = Standing.NORMAL


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """``envelope``: as sealed. ``private``: what opens its commitments, stored encrypted; may be empty.

    ``media``: encrypted files, each named by its digest in the statement.
    """

    envelope: bytes
    private: bytes = field(default=b"", repr=False)
    media: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """``sha256``: digest of ``envelope``. ``created_at``: the device's wall clock, aware, UTC.

    Of a DAMAGED record only the place is known: its other fields are empty.
    """

    attestation_id: str
    epoch: int
    seq: int
    sha256: bytes
    envelope: bytes = field(repr=False)
    state: RecordState
    reason: str
    created_at: datetime | None

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """``content``: what is left of the record, cut to what the cloud takes; may be empty."""

    epoch: int
    seq: int
    content: bytes = field(repr=False)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)


@dataclass(frozen=True, slots=True)
class MediaFile:
    """An encrypted file; ``size`` in bytes, ``sha256`` of those bytes."""

    sha256: bytes
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """``damaged``: places found broken now. ``sound``: SQLite finds its own structure whole."""

    records: int
    damaged: tuple[Position, ...]
    sound: bool


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """``pending_bytes``: envelopes that the cloud does not have. ``oldest_pending``: of those.

    ``missing``: places without a record that no GAP excuses. ``media_lost``: files that are gone or broken.
    ``oldest_delivered``: of the records that the cloud has and no receipt covers. ``oldest_media``: of the
    records that the cloud has without all of their files.
    """

    head: ChainHead | None
    confirmed_through: Position | None
    pending: int
    delivered: int
    confirmed: int
    invalid: int
    branch: int
    damaged: int
    missing: int
    pending_bytes: int
    oldest_pending: datetime | None
    last_receipt_time: datetime | None
    media_pending: int
    media_pending_bytes: int
    media_lost: int
    reset_needed: ResetReason | None
    oldest_delivered: datetime | None = None
    oldest_media: datetime | None = None

    @property
    def oldest_waiting(self) -> datetime | None:
        """Of the records that the cloud does not have, or not with all of their files."""
        return min((one for one in (self.oldest_pending, self.oldest_media) if one), default=None)
