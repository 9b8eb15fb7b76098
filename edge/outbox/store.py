"""The durable store of signed records: what is not in here was never shown to anybody as done.

Commit point: one SQLite transaction (WAL, synchronous=FULL) holds the envelope, what opens its
commitments (encrypted) and the new chain head. Several processes may have it open: each write takes
its turn with BEGIN IMMEDIATE. Only a receipt that the caller has verified, and that names our own
digest, marks records as confirmed; only confirmed records are ever deleted.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlite_utils import Database

from edge.errors import StorageError
from edge.files import PRIVATE_FILE, locked, make_private_folder
from edge.outbox.faults import storage_errors
from edge.outbox.records import Cited, OutboxStats, RecordState, SignedRecord, StoredRecord
from edge.outbox.schema import immediate, migrate
from edge.outbox.vault import Vault
from verifield.chain import ChainHead, check_link, next_head
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1.bundle_pb2 import Receipt

BUSY_TIMEOUT_S = 10.0
"""A write takes milliseconds; one that waits this long is behind a process that hangs."""

LOCK_SUFFIX = ".lock"
DATA_KEY_SUFFIX = ".key"
_ONLY = 1
"""The id of the row in tables that have one row."""


class Outbox:
    """Open with :meth:`open`; one object for each thread and process. Every method may raise StorageError."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

    @classmethod
    def open(cls, path: Path, *, device_id: str) -> Outbox:
        """Open the store of this device at ``path``, or make it; its data key lies beside it.

        Raises:
            StorageError: OUTBOX_NEWER, OUTBOX_OTHER_DEVICE, OUTBOX_CORRUPT, OUTBOX_READONLY,
                OUTBOX_UNREADABLE or DATA_KEY_MISSING among others.
        """
        with storage_errors():
            make_private_folder(path.parent)
            # The switch to WAL does not wait for another process's switch, so opening takes turns.
            with locked(path.with_name(path.name + LOCK_SUFFIX)):
                return cls._open(path, device_id=device_id)

    @classmethod
    def _open(cls, path: Path, *, device_id: str) -> Outbox:
        new = not path.exists()
        vault = Vault.open(path.with_name(path.name + DATA_KEY_SUFFIX), create=new)
        path.touch(mode=PRIVATE_FILE)  # before SQLite does, whose files inherit the mode
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            db = Database(connection)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            migrate(db)
            outbox = cls(db, vault)
            outbox._check_device(device_id)
        except BaseException:
            connection.close()
            raise
        return outbox

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, make: Callable[[ChainHead | None, Cited], SignedRecord]) -> StoredRecord:
        """Build, sign and store the next record in one transaction; when this returns, it is durable.

        ``make`` gets the head to continue and what to cite. If it raises, nothing is stored.

        Raises:
            StorageError: OUTBOX_FULL and the like; the record is wholly there or not at all.
            verifield.errors.ChainBreak: ``make`` did not continue the chain.
        """
        with storage_errors(), immediate(self._db.conn):
            head = self.head()
            signed = make(head, self.cited())
            statement = parse_statement(parse_envelope(signed.envelope).payload)
            check_link(statement, head)
            new_head = next_head(statement, signed.envelope)
            record = StoredRecord(
                attestation_id=statement.attestation_id,
                epoch=new_head.epoch,
                seq=new_head.seq,
                sha256=new_head.sha256,
                envelope=signed.envelope,
                state=RecordState.PENDING,
                reason="",
                created_at=statement.clock.wall_time.ToDatetime(tzinfo=UTC),
            )
            self._insert(record, signed.private)
            self._put("chain", epoch=new_head.epoch, seq=new_head.seq, sha256=new_head.sha256)
        return record

    def head(self) -> ChainHead | None:
        """Return the newest record's place and digest; None before the first. Survives every purge."""
        row = self._one("SELECT epoch, seq, sha256 FROM chain")
        return ChainHead(row["epoch"], row["seq"], row["sha256"]) if row else None

    def cited(self) -> Cited:
        """Return what the next statement cites."""
        row = self._one("SELECT sha256, checkpoint_sha256, server_time FROM receipts")
        if row is None:
            return Cited()
        return Cited(row["sha256"], row["checkpoint_sha256"], _time(row["server_time"]))

    def confirmed_seq(self) -> int:
        """Return the newest seq that a verified receipt covers; 0 when there is none."""
        row = self._one("SELECT through_seq FROM receipts")
        return int(row["through_seq"]) if row else 0

    def oldest_seq(self) -> int | None:
        """Return the oldest seq that is still here."""
        row = self._one("SELECT min(seq) AS seq FROM records")
        return row["seq"] if row else None

    def sha256_at(self, seq: int) -> bytes | None:
        """Return the digest of our record at ``seq``; None when it was purged or never was."""
        row = self._one("SELECT sha256 FROM records WHERE seq = ?", seq)
        row = row or self._one("SELECT sha256 FROM chain WHERE seq = ?", seq)
        row = row or self._one("SELECT head_sha256 AS sha256 FROM receipts WHERE through_seq = ?", seq)
        return row["sha256"] if row else None

    def first_invalid(self) -> tuple[int, str] | None:
        """Return seq and reason of the oldest record that the cloud will not take."""
        row = self._one("SELECT seq, reason FROM records WHERE state = 'INVALID' ORDER BY seq LIMIT 1")
        return (row["seq"], row["reason"]) if row else None

    def has_unconfirmed(self) -> bool:
        """Tell cheaply whether there is anything that no receipt covers; for polling."""
        head = self.head()
        return head is not None and head.seq > self.confirmed_seq()

    def pending(self, *, after_seq: int, limit_bytes: int, limit_count: int) -> list[StoredRecord]:
        """Return the records after ``after_seq`` in order, up to the limits and to the first INVALID one."""
        rows = self._all("SELECT * FROM records WHERE seq > ? ORDER BY seq LIMIT ?", after_seq, limit_count)
        records: list[StoredRecord] = []
        size = 0
        for row in rows:
            size += len(row["envelope"])
            if row["state"] == RecordState.INVALID or size > limit_bytes:
                break
            records.append(_record(row))
        return records

    def mark_delivered(self, seqs: Iterable[int]) -> None:
        """Note that the cloud has these; a confirmed record stays confirmed."""
        with storage_errors(), immediate(self._db.conn):
            self._db.conn.executemany(
                "UPDATE records SET state = 'DELIVERED' WHERE seq = ? AND state = 'PENDING'",
                [(seq,) for seq in seqs],
            )

    def mark_invalid(self, seq: int, reason: str) -> None:
        """Note that the cloud will never take this one. It stays, visible, until a person acts."""
        with storage_errors(), immediate(self._db.conn):
            self._db.conn.execute(
                "UPDATE records SET state = 'INVALID', reason = ? WHERE seq = ? AND state != 'CONFIRMED'",
                (reason, seq),
            )

    def retry_invalid(self, seq: int) -> bool:
        """Queue an INVALID record again, for a person who removed the cause; False when it is not INVALID."""
        with storage_errors(), immediate(self._db.conn):
            cursor = self._db.conn.execute(
                "UPDATE records SET state = 'PENDING', reason = '' WHERE seq = ? AND state = 'INVALID'",
                (seq,),
            )
            return cursor.rowcount == 1

    def apply_receipt(self, envelope: bytes, receipt: Receipt) -> int:
        """Store a receipt, whose signature the caller has verified, and mark what it covers as confirmed.

        Returns how many records became confirmed; a receipt older than ours changes nothing.

        Raises:
            StorageError: RECEIPT_OTHER_DEVICE, RECEIPT_AHEAD or RECEIPT_FORK; then nothing is changed.
        """
        with storage_errors(), immediate(self._db.conn):
            self._check_receipt(receipt)
            if receipt.through_seq < self.confirmed_seq():
                return 0
            server_time = _text(receipt.server_time.ToDatetime(tzinfo=UTC))
            self._put(
                "receipts",
                envelope=envelope,
                sha256=hashlib.sha256(envelope).digest(),
                epoch=receipt.chain_epoch,
                through_seq=receipt.through_seq,
                head_sha256=receipt.head_sha256,
                checkpoint_sha256=hashlib.sha256(receipt.checkpoint.encode()).digest(),
                server_time=server_time,
            )
            cursor = self._db.conn.execute(
                "UPDATE records SET state = 'CONFIRMED', reason = '', confirmed_at = ? "
                "WHERE epoch = ? AND seq <= ? AND state != 'CONFIRMED'",
                (server_time, receipt.chain_epoch, receipt.through_seq),
            )
            return cursor.rowcount

    def purge(self, *, now: datetime, retention: timedelta) -> int:
        """Delete records confirmed at least ``retention`` before ``now``; return how many.

        Ages count from the server time of the receipt, so ``now`` is best bounded by server time too.
        """
        with storage_errors(), immediate(self._db.conn):
            over = "FROM records WHERE state = 'CONFIRMED' AND confirmed_at <= :latest"
            latest = {"latest": _text(now - retention)}
            self._db.conn.execute(
                f"DELETE FROM private WHERE attestation_id IN (SELECT attestation_id {over})",  # noqa: S608
                latest,
            )
            return self._db.conn.execute(f"DELETE {over}", latest).rowcount

    def get(self, attestation_id: str) -> StoredRecord | None:
        row = self._one("SELECT * FROM records WHERE attestation_id = ?", attestation_id)
        return _record(row) if row else None

    def private(self, attestation_id: str) -> bytes:
        """Return what opens the record's commitments (personal data); empty where it has none."""
        row = self._one("SELECT sealed FROM private WHERE attestation_id = ?", attestation_id)
        return self._vault.unseal(row["sealed"], attestation_id=attestation_id) if row else b""

    def newest(self, *, limit: int) -> list[StoredRecord]:
        """Return the newest records first."""
        return [_record(row) for row in self._all("SELECT * FROM records ORDER BY seq DESC LIMIT ?", limit)]

    def stats(self) -> OutboxStats:
        with storage_errors(), self._db.atomic():  # one snapshot for all figures
            rows = self._all(
                "SELECT state, count(*) AS n, sum(length(envelope)) AS bytes, min(created_at) AS oldest "
                "FROM records GROUP BY state"
            )
            head, receipt_time = self.head(), self.cited().server_time
        by_state = {row["state"]: row for row in rows}
        counts = {state: by_state[state]["n"] if state in by_state else 0 for state in RecordState}
        pending = by_state.get(RecordState.PENDING)
        return OutboxStats(
            head=head,
            pending=counts[RecordState.PENDING],
            delivered=counts[RecordState.DELIVERED],
            confirmed=counts[RecordState.CONFIRMED],
            invalid=counts[RecordState.INVALID],
            pending_bytes=pending["bytes"] if pending else 0,
            oldest_pending=_time(pending["oldest"]) if pending else None,
            last_receipt_time=receipt_time,
        )

    def _check_device(self, device_id: str) -> None:
        with immediate(self._db.conn):
            row = self._one("SELECT device_id FROM device")
            if row is None:
                self._put("device", device_id=device_id)
            elif row["device_id"] != device_id:
                raise StorageError(
                    "OUTBOX_OTHER_DEVICE",
                    "The store of records belongs to another device or an earlier enrolment.",
                    hint="Keep it: it may hold undelivered records. Give this identity a store of its own.",
                )

    def _check_receipt(self, receipt: Receipt) -> None:
        device, head = self._one("SELECT device_id FROM device"), self.head()
        if device is None or receipt.device_id != device["device_id"]:
            raise StorageError(
                "RECEIPT_OTHER_DEVICE",
                "The cloud's receipt is for another device.",
                hint="Nothing was marked as delivered. Report it to the operator of the cloud.",
            )
        if head is None or receipt.chain_epoch != head.epoch or receipt.through_seq > head.seq:
            raise StorageError(
                "RECEIPT_AHEAD",
                "The cloud's receipt covers records that this device does not have.",
                hint="The store may have been restored from a backup: do not go on with it, call for help.",
            )
        ours = self.sha256_at(receipt.through_seq)
        purged = ours is None and receipt.through_seq < self.confirmed_seq()
        if not purged and ours != receipt.head_sha256:
            raise StorageError(
                "RECEIPT_FORK",
                "The cloud's receipt names another record than this device has at that place.",
                hint="Two devices may use one identity: stop both and call for help.",
            )

    def _insert(self, record: StoredRecord, private: bytes) -> None:
        self._db.table("records").insert(
            {
                "epoch": record.epoch,
                "seq": record.seq,
                "attestation_id": record.attestation_id,
                "sha256": record.sha256,
                "envelope": record.envelope,
                "state": record.state.value,
                "reason": record.reason,
                "created_at": _text(record.created_at),
                "confirmed_at": None,
            }
        )
        if private:
            sealed = self._vault.seal(private, attestation_id=record.attestation_id)
            self._db.table("private").insert({"attestation_id": record.attestation_id, "sealed": sealed})

    def _put(self, table: str, **values: object) -> None:
        self._db.table(table).insert({"id": _ONLY, **values}, pk="id", replace=True)

    def _one(self, sql: str, *parameters: object) -> dict[str, Any] | None:
        rows = self._all(sql, *parameters)
        return rows[0] if rows else None

    def _all(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        with storage_errors():
            return list(self._db.query(sql, parameters))


def _record(row: dict[str, Any]) -> StoredRecord:
    return StoredRecord(
        attestation_id=row["attestation_id"],
        epoch=row["epoch"],
        seq=row["seq"],
        sha256=row["sha256"],
        envelope=row["envelope"],
        state=RecordState(row["state"]),
        reason=row["reason"],
        created_at=_time(row["created_at"]),
    )


def _text(moment: datetime) -> str:
    """One width for all, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
