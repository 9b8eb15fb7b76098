"""What SQLite says, as the errors of the appliance."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from edge.errors import StorageError

_FAULTS = {
    sqlite3.SQLITE_FULL: (
        "OUTBOX_FULL",
        "The disk is full: nothing can be stored.",
        "Free space on the disk, then repeat what was not stored.",
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
    "The disk refuses to store or to give the records.",
    "Look at the system's log: the disk may be failing.",
)
_PRIMARY = 0xFF
"""Extended result codes carry the primary one in their low byte."""
_EXTENDED = {sqlite3.SQLITE_IOERR_SHMSIZE: sqlite3.SQLITE_FULL}
"""The index of the write-ahead log cannot grow: SQLite's way to meet a full disk when it opens."""
_SYSTEM = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
}


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the faults of the disk and the database into StorageError; a bug in our SQL stays a bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        primary = _EXTENDED.get(extended, extended & _PRIMARY)
        if primary in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_CONSTRAINT):
            raise
        code, message, hint = _FAULTS.get(primary, _OTHER)
        raise StorageError(code, message, hint=hint) from None
    except OSError as error:
        code, message, hint = _FAULTS.get(_SYSTEM.get(error.errno or 0, 0), _OTHER)
        raise StorageError(code, f"{message} ({error.strerror or type(error).__name__})", hint=hint) from None
