"""One connection to the store's SQLite file: settings, transactions, faults told apart."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from edge.errors import StorageError
from edge.files import PRIVATE_FILE
from edge.outbox.faults import corrupt, sql_errors, storage_errors
from edge.outbox.schema import migrate
from edge.outbox.space import Reserve
from edge.sqlite import immediate

BUSY_TIMEOUT_S = 10.0
"""A write takes milliseconds; one that waits this long is behind a process that hangs."""

MAX_JOURNAL_BYTES = 8 * 1024 * 1024
"""To this the write-ahead log is cut back after a burst, so that it does not keep the disk for ever."""

MAX_INTEGER = 2**63 - 1

_ONLY = 1
"""The id of the row in tables that have one row."""

SOUND = (
    "SELECT d.* FROM delivery AS d JOIN records AS r INDEXED BY idx_records_epoch_seq "
    "ON r.epoch = d.epoch AND r.seq = d.seq WHERE NOT EXISTS "
    "(SELECT 1 FROM damaged AS x WHERE x.epoch = d.epoch AND x.seq = d.seq)"
)
"""Rows of ``delivery`` whose record is there and not known to be broken; found without touching a record."""

T = TypeVar("T")


class Store:
    """A migrated database. Every method may raise StorageError."""

    def __init__(self, db: Database, path: Path, reserve: Reserve) -> None:
        self.db = db
        self.path = path
        self.reserve = reserve

    @classmethod
    def open(cls, path: Path, reserve: Reserve) -> Store:
        """Open or make the file; a full disk is met by giving up the reserve."""
        try:
            with sql_errors():
                return cls._open(path, reserve)
        except StorageError as error:
            if error.code != "OUTBOX_FULL" or not reserve.give_up():
                raise
        with sql_errors():
            return cls._open(path, reserve)

    @classmethod
    def _open(cls, path: Path, reserve: Reserve) -> Store:
        path.touch(mode=PRIVATE_FILE)  # before SQLite does, whose files inherit the mode
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            connection.text_factory = decode_text
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
            connection.execute(f"PRAGMA journal_size_limit={MAX_JOURNAL_BYTES}")
            db = Database(connection)
            migrate(db)
        except BaseException:
            connection.close()
            raise
        return cls(db, path, reserve)

    def close(self) -> None:
        self.db.close()

    def claim(self, device_id: str) -> None:
        """Make this the store of ``device_id``, or check that it is.

        Raises:
            StorageError: OUTBOX_OTHER_DEVICE.
        """
        known = self.one("SELECT device_id FROM device")
        if known is None:
            self.write(lambda: self.put("device", device_id=device_id))
        elif known["device_id"] != device_id:
            raise StorageError(
                "OUTBOX_OTHER_DEVICE",
                "The store of records belongs to another device or an earlier enrolment.",
                hint="Keep it: it may hold undelivered records. Give this identity a store of its own.",
            )

    def write(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, durable when this returns; all of it is there, or nothing.

        Where the disk is full, the reserve is given up and the work is done once more.
        """
        if self.db.conn.in_transaction:  # damage that is found on the way is noted within it
            return work()
        try:
            return self._write(work)
        except StorageError as error:
            if error.code != "OUTBOX_FULL" or not self.reserve.give_up():
                raise
        return self._write(work)

    def _write(self, work: Callable[[], T]) -> T:
        with storage_errors(), immediate(self.db.conn):
            return work()

    def execute(self, sql: str, *parameters: object) -> int:
        """Change rows; return how many."""
        with sql_errors():
            return int(self.db.conn.execute(sql, parameters).rowcount)

    def put(self, table: str, **values: object) -> None:
        """Set the row of a table that has one row."""
        row = {"id": _ONLY, **values}
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *row.values())  # noqa: S608

    def one(self, sql: str, *parameters: object) -> dict[str, Any] | None:
        rows = self.all(sql, *parameters)
        return rows[0] if rows else None

    def all(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        with sql_errors():
            cursor = self.db.conn.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def checkpoint(self) -> None:
        """Bring everything into the database file itself, durably."""
        with sql_errors():
            self.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def reusable_bytes(self) -> int:
        """Room within the file, left by what was deleted."""
        with sql_errors():
            pages = self.db.conn.execute("PRAGMA freelist_count").fetchone()[0]
            return int(pages * self.db.conn.execute("PRAGMA page_size").fetchone()[0])


def integer(value: object, *, at_least: int = 0) -> int:
    """Return a stored number that nothing else vouches for.

    Raises:
        StorageError: OUTBOX_CORRUPT, it is none or out of range.
    """
    if not isinstance(value, int) or not at_least <= value <= MAX_INTEGER:
        raise corrupt("a number in it is none")
    return value


def digest(value: object, *, or_empty: bool = False) -> bytes:
    """Return a stored SHA-256 that nothing else vouches for; errors as :func:`integer`."""
    if not isinstance(value, bytes) or not (len(value) == 32 or (or_empty and not value)):
        raise corrupt("a digest in it is none")
    return value


def decode_text(data: bytes) -> str:
    """Decode a stored text; a damaged one must not look like a bug in our SQL."""
    return data.decode("utf-8", "replace")
