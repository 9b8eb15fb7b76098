"""What delivery needs of the rest of the device, and of a connection. Small protocols; see edge.ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from edge.contact import Arrival
from edge.model import Hole, Position, ResetReason
from edge.rpc import RpcFailure
from edge.sync.events import CloudChain, RecordResult, Trouble
from verifield.chain import ChainHead
from verifield.v1.bundle_pb2 import Receipt
from verifield.v1.signing_service_pb2 import SubmitOfflineSignatureRequest, SubmitOfflineSignatureResponse
from verifield.v1.sync_service_pb2 import DeliverResponse, PullResponse
from verifield.v1.task_service_pb2 import GetTaskDocumentResponse


class Outgoing(Protocol):
    """A record as the outbox gives it.

    ``state``: PENDING where the cloud has said nothing of it, INVALID where it has refused it.
    """

    @property
    def position(self) -> Position: ...

    @property
    def envelope(self) -> bytes: ...

    @property
    def state(self) -> str: ...


class Refused(Protocol):
    """A record that the cloud refused; ``reason``: its stable code."""

    @property
    def position(self) -> Position: ...

    @property
    def reason(self) -> str: ...


class Damaged(Protocol):
    """What is left of a record; ``content`` has at most 64 KiB."""

    @property
    def position(self) -> Position: ...

    @property
    def content(self) -> bytes: ...


class Media(Protocol):
    """An encrypted file; ``size`` in bytes."""

    @property
    def sha256(self) -> bytes: ...

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int: ...


class SeenTree(Protocol):
    """The newest checkpoint that was accepted; ``note`` as the log signed it."""

    @property
    def tree_size(self) -> int: ...

    @property
    def note(self) -> str: ...


class Backlog(Protocol):
    """The outbox. Every method may raise StorageError."""

    def head(self) -> ChainHead | None: ...

    def confirmed(self) -> Position | None: ...

    def digest_at(self, position: Position) -> bytes | None: ...

    def first_pending(self, *, after: Position | None = None) -> Position | None: ...

    def reset_needed(self) -> ResetReason | None: ...

    def pending(
        self, *, after: Position | None, limit_bytes: int, limit_count: int
    ) -> Sequence[Outgoing]: ...

    def at(self, position: Position) -> Outgoing | None: ...

    def holes(self, *, after: Position | None) -> Sequence[Hole]: ...

    def refused(self) -> Sequence[Refused]: ...

    def deliver_again(self, *, before_epoch: int) -> None: ...

    def damaged_rows(self) -> Sequence[Damaged]: ...

    def mark_damaged_sent(self, positions: Iterable[Position]) -> None: ...

    def mark_delivered(self, positions: Iterable[Position]) -> None: ...

    def mark_refused(self, position: Position, reason: str) -> None: ...

    def mark_branch(self, positions: Iterable[Position]) -> None: ...

    def apply_receipt(
        self, envelope: bytes, receipt: Receipt, *, arrival: Arrival, tree_size: int
    ) -> int: ...

    def witnessed(self) -> SeenTree | None: ...

    def media_pending(self, *, with_record: bool = False, limit: int = 16) -> Sequence[Media]:
        """Files whose records the cloud has; ``with_record``: also those that travel with their record."""

    def media_done(self, sha256: bytes) -> None: ...

    def purge(self, *, now: datetime, retention: timedelta) -> int: ...


class Chronicle(Protocol):
    """Records what happens to the chain itself; each call stores one signed record and returns it."""

    def record_reset(self, cloud_head: ChainHead | None, reason: ResetReason) -> Outgoing: ...

    def record_gap(self, hole: Hole) -> Outgoing: ...

    def record_tombstone(self, position: Position, reason: str) -> Outgoing: ...


class Downstream(Protocol):
    """Takes what comes down. Every method may raise EdgeError, which never stops delivery."""

    def cursor(self) -> str: ...

    def take(self, page: PullResponse, *, arrival: Arrival, by_hand: bool = False) -> None:
        """Store a page whole, or nothing of it; act upon orders in it.

        ``by_hand``: it lay on a stick, for nobody knows how long; ``arrival`` is when it was read.
        """

    def note_word(self, server_time: datetime, arrival: Arrival, *, by_hand: bool = False) -> None:
        """A verified receipt says what time it is there, or was, where it came by hand."""

    def revoked(self) -> None:
        """The cloud has revoked this device: no new session."""


class UplinkIdentity(Protocol):
    """What a connection needs of the device's identity."""

    @property
    def device_endpoint(self) -> str: ...

    @property
    def root_pem(self) -> bytes: ...

    @property
    def attestation_certificates(self) -> tuple[bytes, ...]: ...

    def tls_certificates_pem(self) -> bytes: ...

    def tls_key_pem(self) -> bytes: ...


class UplinkError(Exception):
    """A call failed; ``failure`` says how."""

    def __init__(self, failure: RpcFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Uplink(Protocol):
    """A connection to the cloud. Every method raises UplinkError, and nothing else, when it fails."""

    def get_head(self) -> CloudChain: ...

    def deliver(
        self, records: Sequence[Outgoing], *, damaged: Sequence[Damaged], witnessed_tree_size: int
    ) -> tuple[tuple[RecordResult, ...], DeliverResponse]:
        """Send one batch; return what became of each record, and the answer, which nobody has verified."""

    def pull(self, *, cursor: str, page_size: int) -> PullResponse: ...

    def get_media(self, sha256: bytes) -> frozenset[int] | None:
        """Which chunks of a file the cloud has; None when it has all."""

    def put_media_chunk(self, media: Media, *, index: int, content: bytes) -> bool:
        """Send one chunk; whether the file is complete now."""

    def get_task_document(self, task_id: str, *, sha256: bytes, start: int) -> GetTaskDocumentResponse:
        """Ask for the part of a task's document that begins at byte ``start``."""

    def submit_signature(self, request: SubmitOfflineSignatureRequest) -> SubmitOfflineSignatureResponse:
        """Hand in what a person did here for a contract."""

    def close(self) -> None:
        """Hang up, also from another thread; a call under way fails. Closing twice is fine."""


class Errand(Protocol):
    """Something beside the records that goes to or comes from the cloud, one call at a time."""

    def waiting(self) -> bool:
        """Whether there is a call to make now; never raises."""

    def step(self, uplink: Uplink) -> Trouble | None:
        """Make one call; return what a person should know of it.

        Raises:
            UplinkError: the call failed in a way that has nothing to do with the errand.
            StorageError: the store refuses.
        """
