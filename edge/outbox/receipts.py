"""What the cloud promised: the newest receipt, the witnessed log, and which records they confirm.

The caller has verified a receipt and the log's consistency; here a receipt is compared with our own
digests, and only then confirms anything.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError

from edge.contact import Arrival, ClockMark
from edge.errors import StorageError
from edge.model import Position
from edge.outbox.chain import Chain
from edge.outbox.database import Store
from edge.outbox.records import Cited, Witnessed
from edge.outbox.times import parse_time, time_text
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT, Clock
from verifield.v1.bundle_pb2 import Envelope, Receipt


class Receipts:
    """The tables ``receipt``, ``witness`` and ``clock``. Every method may raise StorageError."""

    def __init__(self, store: Store, chain: Chain) -> None:
        self._store = store
        self._chain = chain

    def cited(self) -> Cited:
        """Return what the next statement cites; a broken row counts as none, and the next one mends it."""
        newest, witness = self._newest(), self._witness()
        return Cited(
            receipt_sha256=newest[0]["sha256"] if newest else b"",
            checkpoint_sha256=witness["sha256"] if witness else b"",
            server_time=_server_time(newest[1]) if newest else None,
            arrival=_arrival(newest[0]) if newest else None,
            last_clock=self._last_clock(),
        )

    def witnessed(self) -> Witnessed | None:
        row = self._witness()
        return Witnessed(row["tree_size"], row["note"]) if row else None

    def note_clock(self, clock: Clock) -> None:
        """Remember what the clocks showed at a record, unless that was not to be believed."""
        if clock.quality != TIME_QUALITY_SUSPECT:
            self._store.put(
                "clock",
                boot_id=clock.boot_id,
                monotonic_ns=clock.monotonic_ns,
                wall=time_text(clock.wall_time.ToDatetime(tzinfo=UTC)),
            )

    def apply(self, envelope: bytes, receipt: Receipt, *, arrival: Arrival, tree_size: int) -> int:
        """Store and confirm, within a transaction; return how many records became confirmed.

        Raises:
            StorageError: RECEIPT_OTHER_DEVICE, RECEIPT_AHEAD or RECEIPT_FORK.
        """
        self._check(receipt)
        through = Position(receipt.chain_epoch, receipt.through_seq)
        self._keep_witness(receipt.checkpoint, tree_size)
        if self._is_newest(receipt):
            self._store.put(
                "receipt",
                envelope=envelope,
                sha256=hashlib.sha256(envelope).digest(),
                arrival_boot_id=arrival.boot_id,
                arrival_ns=arrival.monotonic_ns,
            )
        if through.seq > self._chain.confirmed_seq(through.epoch):
            self._store.execute(
                "UPDATE epochs SET confirmed_seq = ?, confirmed_sha256 = ? WHERE epoch = ?",
                through.seq,
                receipt.head_sha256,
                through.epoch,
            )
        return self._confirm(through, time_text(_server_time(receipt)))

    def _confirm(self, through: Position, server_time: str) -> int:
        """What is refused, broken or on a side branch of this very epoch stays what it is.

        The first record of an epoch is the RESET that cites the branch before it, so a receipt of this
        epoch also settles what the cloud has of earlier ones.
        """
        settle = "UPDATE delivery SET state = 'CONFIRMED', reason = '', confirmed_at = ? WHERE "
        sound = (
            " AND NOT EXISTS "
            "(SELECT 1 FROM damaged AS x WHERE x.epoch = delivery.epoch AND x.seq = delivery.seq)"
        )
        own = self._store.execute(
            settle + "epoch = ? AND seq <= ? AND state IN ('PENDING', 'DELIVERED')" + sound,
            server_time,
            through.epoch,
            through.seq,
        )
        earlier = self._store.execute(
            settle + "epoch < ? AND state IN ('DELIVERED', 'BRANCH')" + sound, server_time, through.epoch
        )
        return own + earlier

    def _check(self, receipt: Receipt) -> None:
        device = self._store.one("SELECT device_id FROM device")
        if device is None or receipt.device_id != device["device_id"]:
            raise StorageError(
                "RECEIPT_OTHER_DEVICE",
                "The cloud's receipt is for another device.",
                hint="Nothing was marked as delivered. Report it to the operator of the cloud.",
            )
        if receipt.through_seq > self._chain.newest_seq(receipt.chain_epoch):
            raise StorageError(
                "RECEIPT_AHEAD",
                "The cloud's receipt covers records that this device does not have.",
                hint="The store was restored from a backup: a sync begins a new chain that says so.",
            )
        ours = self._chain.digest_at(Position(receipt.chain_epoch, receipt.through_seq))
        purged = ours is None and receipt.through_seq < self._chain.confirmed_seq(receipt.chain_epoch)
        if not purged and ours != receipt.head_sha256:
            raise StorageError(
                "RECEIPT_FORK",
                "The cloud's receipt names another record than this device has at that place.",
                hint="Two devices may use one identity: stop both and call for help.",
            )

    def _is_newest(self, receipt: Receipt) -> bool:
        newest = self._newest()
        return newest is None or _rank(receipt) >= _rank(newest[1])

    def _newest(self) -> tuple[dict[str, Any], Receipt] | None:
        row = self._store.one("SELECT envelope, sha256, arrival_boot_id, arrival_ns FROM receipt")
        if row is None or not isinstance(row["envelope"], bytes):
            return None
        if hashlib.sha256(row["envelope"]).digest() != row["sha256"]:
            return None
        try:
            return row, Receipt.FromString(Envelope.FromString(row["envelope"]).payload)
        except DecodeError:
            return None

    def _keep_witness(self, note: str, tree_size: int) -> None:
        known = self._witness()
        if known is None or tree_size >= known["tree_size"]:
            sha256 = hashlib.sha256(note.encode()).digest()
            self._store.put("witness", tree_size=tree_size, note=note, sha256=sha256)

    def _witness(self) -> dict[str, Any] | None:
        row = self._store.one("SELECT tree_size, note, sha256 FROM witness")
        sound = (
            row is not None
            and isinstance(row["note"], str)
            and isinstance(row["tree_size"], int)
            and hashlib.sha256(row["note"].encode()).digest() == row["sha256"]
        )
        return row if sound else None

    def _last_clock(self) -> ClockMark | None:
        row = self._store.one("SELECT boot_id, monotonic_ns, wall FROM clock")
        try:
            return (
                ClockMark(row["boot_id"], int(row["monotonic_ns"]), parse_time(row["wall"])) if row else None
            )
        except (TypeError, ValueError):
            return None


def _rank(receipt: Receipt) -> tuple[int, int, datetime]:
    return receipt.chain_epoch, receipt.through_seq, _server_time(receipt)


def _server_time(receipt: Receipt) -> datetime:
    return receipt.server_time.ToDatetime(tzinfo=UTC)


def _arrival(row: dict[str, Any]) -> Arrival | None:
    boot_id, monotonic_ns = row["arrival_boot_id"], row["arrival_ns"]
    if isinstance(boot_id, str) and isinstance(monotonic_ns, int) and monotonic_ns >= 0:
        return Arrival(boot_id, monotonic_ns)
    return None
