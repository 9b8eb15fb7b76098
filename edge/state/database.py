"""One SQLite file, opened the same careful way for every table of the state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge.errors import StorageError
from edge.files import PRIVATE_FILE, locked, make_private_folder
from edge.ports import KeyStore
from edge.sqlite import StoreName, damaged, immediate, storage_errors
from edge.state.schema import migrate
from edge.vault import Vault

BUSY_TIMEOUT_S = 10.0
"""A write takes milliseconds; one that waits this long is behind a process that hangs."""

SCRUB_TRIES = 3
SCRUB_TIMEOUT_S = 0.2
"""A reader takes milliseconds. Writers wait meanwhile, so one that hangs must not hold them up for long."""

STORE = StoreName("STATE", "The store of what the device knows")
LOCK_SUFFIX = ".lock"
DATA_KEY_SUFFIX = ".key"
PURPOSE = "verifield state data key"
ONLY = 1
"""The id of the row in tables that have one row."""


class StateDatabase:
    """Connection and vault. Every method may raise StorageError."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self.vault = vault

    @classmethod
    def open(cls, path: Path, *, device_id: str, key_store: KeyStore) -> StateDatabase:
        """Open this device's store at ``path``, or make it; its data key lies beside it.

        Raises:
            StorageError: STATE_NEWER, STATE_OTHER_DEVICE, STATE_CORRUPT, STATE_READONLY and the like.
            SetupError: the key store cannot wrap a new store's key.
        """
        with storage_errors(STORE):
            make_private_folder(path.parent)
            # The switch to WAL does not wait for another process's switch, so opening takes turns.
            with locked(path.with_name(path.name + LOCK_SUFFIX)):
                return cls._open(path, device_id=device_id, key_store=key_store)

    @classmethod
    def _open(cls, path: Path, *, device_id: str, key_store: KeyStore) -> StateDatabase:
        vault = Vault(path.with_name(path.name + DATA_KEY_SUFFIX), key_store, purpose=PURPOSE)
        if not path.exists():
            vault.create()
        path.touch(mode=PRIVATE_FILE)  # before SQLite does, whose files inherit the mode
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
            db = Database(connection)
            migrate(db)
            opened = cls(db, vault)
            opened._check_device(device_id)
        except BaseException:
            connection.close()
            raise
        return opened

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One durable transaction, wholly or not at all."""
        with storage_errors(STORE), immediate(self._db.conn):
            yield

    def scrub(self) -> bool:
        """Empty the write-ahead log, which still has what was deleted; False where that is not possible now.

        Costs some waits for the disk: for the time after news and removals, and not for a session.
        """
        connection = self._db.conn
        with suppress(StorageError), storage_errors(STORE):
            try:
                connection.execute(f"PRAGMA busy_timeout={int(SCRUB_TIMEOUT_S * 1000)}")
                for _ in range(SCRUB_TRIES):
                    [busy, _log, _moved] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if not busy:
                        return True
            finally:
                connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
        return False

    def one(self, sql: str, *parameters: object) -> dict[str, Any] | None:
        rows = self.all(sql, *parameters)
        return rows[0] if rows else None

    def all(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        with storage_errors(STORE):
            return list(self._db.query(sql, parameters))

    def run(self, sql: str, *parameters: object) -> int:
        """Execute within :meth:`writing`; return how many rows changed."""
        return self._db.conn.execute(sql, parameters).rowcount

    def put(self, table: str, **values: object) -> None:
        """Set the only row of ``table``, within :meth:`writing`."""
        self.upsert(table, id=ONLY, **values)

    def upsert(self, table: str, **values: object) -> None:
        """Insert a row, or replace the one with the same key, within :meth:`writing`."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.run(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *values.values())  # noqa: S608

    def _check_device(self, device_id: str) -> None:
        with self.writing():
            row = self.one("SELECT device_id FROM device")
            if row is None:
                self.put("device", device_id=device_id)
            elif row["device_id"] != device_id:
                raise StorageError(
                    "STATE_OTHER_DEVICE",
                    "The store of what the device knows belongs to another device or an earlier enrolment.",
                    hint="Keep it apart: this identity makes a store of its own.",
                )


def text_of(moment: datetime) -> str:
    """One width for all, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def time_of(text: str) -> datetime:
    """The time that :func:`text_of` wrote.

    Raises:
        StorageError: STATE_CORRUPT.
    """
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise damaged(STORE) from None
