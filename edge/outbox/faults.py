"""What SQLite says, as the errors of the appliance."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from edge.errors import StorageError

_FAULTS = {
    sqlite3.SQLITE_FULL: (
        "OUTBOX_FULL",
        "The disk is full: the record was not stored.",
        "Free space on the disk, then repeat the verification.",
    ),
    sqlite3.SQLITE_READONLY: (
        "OUTBOX_READONLY",
        "The store of records cannot be written.",
        "Check that the disk is not mounted read-only and that the files belong to this user.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "OUTBOX_CORRUPT",
        "The store of records is damaged.",
        "Keep the file, change nothing, and call for help: what it holds may still be saved.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "OUTBOX_CORRUPT",
        "The store of records is not a database.",
        "Keep the file, change nothing, and call for help: what it holds may still be saved.",
    ),
    sqlite3.SQLITE_BUSY: (
        "OUTBOX_BUSY",
        "Another process holds the store of records for too long.",
        "Look for a process that hangs, then try again.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "OUTBOX_UNREADABLE",
        "The store of records cannot be opened.",
        "Check that the folder exists and belongs to this user.",
    ),
}
_OTHER = (
    "OUTBOX_IO",
    "The disk refuses to store the record.",
    "Look at the system's log: the disk may be failing.",
)
_PRIMARY = 0xFF
"""Extended result codes carry the primary one in their low byte."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the faults of the disk and the database into StorageError; a bug in our SQL stays a bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
        if primary in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_CONSTRAINT):
            raise
        code, message, hint = _FAULTS.get(primary, _OTHER)
        raise StorageError(code, message, hint=hint) from None
    except OSError as error:
        code, message, hint = _OTHER
        raise StorageError(code, f"{message} ({error.strerror or type(error).__name__})", hint=hint) from None
