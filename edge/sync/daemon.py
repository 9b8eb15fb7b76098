"""The pump of the sync machine: it carries out commands, and waits.

A receipt is verified against the pinned root before it is handed to the outbox, and only the outbox,
which compares it with its own digest, marks anything as confirmed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cryptography import x509

from edge.errors import CloudError, StorageError
from edge.rpc import FailureKind, RpcFailure
from edge.sync.machine import (
    AskHead,
    BatchAnswered,
    Command,
    Disconnect,
    Drained,
    Event,
    Failed,
    HeadAnswered,
    LocalChain,
    MarkDelivered,
    MarkInvalid,
    SendBatch,
    State,
    SyncMachine,
    Timer,
    Trouble,
    Wake,
)
from edge.sync.uplink import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    Delivery,
    GrpcUplink,
    Outgoing,
    Uplink,
    UplinkError,
    UplinkIdentity,
)
from verifield.certificates import load_roots
from verifield.chain import ChainHead
from verifield.errors import VerifieldError
from verifield.receipt import check_receipt
from verifield.v1.bundle_pb2 import Receipt

POLL_S = 1.0
"""How long a new record may wait to be noticed; looking costs one read of one row."""

HANG_UP_S = 0.2
"""How soon after a stop a call under way is broken off: a silent link would hold it to its deadline."""

_RECEIPT_TROUBLE = "RECEIPT_"


class Backlog(Protocol):
    """What the daemon needs of the outbox."""

    def head(self) -> ChainHead | None: ...

    def confirmed_seq(self) -> int: ...

    def oldest_seq(self) -> int | None: ...

    def sha256_at(self, seq: int) -> bytes | None: ...

    def first_invalid(self) -> tuple[int, str] | None: ...

    def has_unconfirmed(self) -> bool: ...

    def pending(self, *, after_seq: int, limit_bytes: int, limit_count: int) -> Sequence[Outgoing]: ...

    def mark_delivered(self, seqs: Iterable[int]) -> None: ...

    def mark_invalid(self, seq: int, reason: str) -> None: ...

    def apply_receipt(self, envelope: bytes, receipt: Receipt) -> int: ...

    def purge(self, *, now: datetime, retention: timedelta) -> int: ...


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run did. ``trouble``: why it halted; None when everything is confirmed."""

    delivered: int
    confirmed: int
    trouble: Trouble | None


@dataclass(slots=True)
class Pump:
    """Carries out the machine's commands, one connection and one batch at a time."""

    backlog: Backlog
    open_uplink: Callable[[], Uplink]
    roots: Sequence[x509.Certificate]
    retention: timedelta  # how long a confirmed record stays
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    machine: SyncMachine = field(default_factory=SyncMachine)
    delivered: int = 0
    confirmed: int = 0
    _uplink: Uplink | None = None

    def handle(self, event: Event) -> Event | None:
        """Advance by one event; return the one that came of it, None when there is time to wait."""
        self.machine, commands = self.machine.handle(event, now=self.monotonic(), jitter=self.jitter())
        following: Event | None = None
        for command in commands:
            following = self._carry_out(command)
        return following

    def close(self) -> None:
        self.hang_up()
        self._uplink = None

    def hang_up(self) -> None:
        """Break off the call under way, if there is one; also from another thread."""
        uplink = self._uplink
        if uplink is not None:
            uplink.close()

    def _carry_out(self, command: Command) -> Event | None:
        try:
            match command:
                case AskHead():
                    return self._ask_head()
                case SendBatch(after_seq):
                    return self._send_batch(after_seq)
                case MarkDelivered(seqs):
                    self.backlog.mark_delivered(seqs)
                    self.delivered += len(seqs)
                case MarkInvalid(seq, reason):
                    self.backlog.mark_invalid(seq, reason)
                case Disconnect():
                    self.close()
        except UplinkError as error:
            return Failed(error.failure)
        return None

    def _connection(self) -> Uplink:
        if self._uplink is None:
            self._uplink = self.open_uplink()
        return self._uplink

    def _ask_head(self) -> Event:
        cloud = self._connection().get_head()
        local = LocalChain(
            head=self.backlog.head(),
            confirmed_seq=self.backlog.confirmed_seq(),
            oldest_seq=self.backlog.oldest_seq(),
            sha256_at_cloud=self.backlog.sha256_at(cloud.seq) if cloud else None,
        )
        return HeadAnswered(cloud, local)

    def _send_batch(self, after_seq: int) -> Event:
        records = self.backlog.pending(
            after_seq=after_seq, limit_bytes=MAX_BATCH_BYTES, limit_count=MAX_BATCH_RECORDS
        )
        if not records:
            return Drained(self.backlog.has_unconfirmed(), self.backlog.first_invalid())
        delivery = self._connection().deliver(records)
        try:
            confirmed = self._take_receipt(delivery)
        except VerifieldError as error:
            return _receipt_refused("RECEIPT_REFUSED", f"The cloud's receipt was refused: {error.message}")
        except StorageError as error:
            if not error.code.startswith(_RECEIPT_TROUBLE):
                raise
            return _receipt_refused(error.code, error.message)
        self.confirmed += confirmed
        return BatchAnswered(delivery.results, confirmed)

    def _take_receipt(self, delivery: Delivery) -> int:
        if not delivery.receipt:
            return 0
        receipt = check_receipt(
            delivery.receipt, certificates=delivery.receipt_certificates, roots=self.roots
        )
        confirmed = self.backlog.apply_receipt(delivery.receipt, receipt)
        # By the cloud's clock, so that a device's wrong one deletes nothing too early.
        self.backlog.purge(now=receipt.server_time.ToDatetime(tzinfo=UTC), retention=self.retention)
        return confirmed


def run(
    *,
    identity: UplinkIdentity,
    outbox: Backlog,
    stop: threading.Event,
    once: bool,
    retention: timedelta,
    on_trouble: Callable[[State, Trouble], None],
) -> SyncReport:
    """Deliver until ``stop`` is set; with ``once``, until everything is confirmed or delivery halts.

    Without ``once``, trouble with the cloud never ends it. Records are deleted ``retention`` after
    the receipt that covers them. Whoever sets ``stop`` gets what was done by then. ``on_trouble`` is
    told of each new trouble once.

    Raises:
        CloudError: only with ``once``: the cloud is away (CLOUD_AWAY) or fails in a way that may pass.
        StorageError: the outbox refused.
    """
    pump = Pump(
        backlog=outbox,
        open_uplink=lambda: GrpcUplink.open(identity),
        roots=load_roots(identity.root_pem),
        retention=retention,
        monotonic=time.monotonic,
        jitter=secrets.SystemRandom().random,
    )
    try:
        with _calls_end_with(stop, pump):
            return _run(pump, stop, once=once, on_trouble=on_trouble)
    finally:
        pump.close()


@contextmanager
def _calls_end_with(stop: threading.Event, pump: Pump) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(HANG_UP_S):
            if stop.is_set():
                pump.hang_up()  # again and again: a call may have begun since

    thread = threading.Thread(target=watch, name="hang-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run(
    pump: Pump, stop: threading.Event, *, once: bool, on_trouble: Callable[[State, Trouble], None]
) -> SyncReport:
    event: Event | None = Wake()
    said: Trouble | None = None
    while event is not None and not stop.is_set():
        event = pump.handle(event)
        trouble = pump.machine.trouble
        if trouble is not None and trouble != said:
            on_trouble(pump.machine.state, trouble)
        said = trouble
        if event is None and not once:
            event = _wait(pump, stop)
    trouble = pump.machine.trouble
    if once and not stop.is_set() and pump.machine.state is State.WAITING and trouble is not None:
        raise CloudError(
            trouble.code,
            trouble.message,
            hint="Nothing is lost: the records are kept and delivered at the next contact.",
        )
    return SyncReport(pump.delivered, pump.confirmed, trouble)


def _wait(pump: Pump, stop: threading.Event) -> Event | None:
    """Sleep until there is something to do; None when told to stop."""
    machine = pump.machine
    if machine.state is not State.IDLE:
        while (left := machine.until - pump.monotonic()) > 0:
            if stop.wait(left):
                return None
        return Timer()
    while not stop.wait(POLL_S):
        head = pump.backlog.head()
        if head is not None and head.seq > (machine.cursor or 0):
            return Wake()
    return None


def _receipt_refused(code: str, message: str) -> Failed:
    """Nothing was marked: the records are sent again once the cause is removed."""
    return Failed(RpcFailure(FailureKind.PERMANENT, code, message))
