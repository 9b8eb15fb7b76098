"""What SQLite stores of the device share: transactions, and the disk's faults as the appliance's errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge.errors import StorageError

_FULL, _READONLY, _CORRUPT, _BUSY, _UNREADABLE, _IO = (
    "FULL",
    "READONLY",
    "CORRUPT",
    "BUSY",
    "UNREADABLE",
    "IO",
)
_WORDS = {
    _FULL: (
        "The disk is full: nothing can be stored.",
        "Free space on the disk, then repeat what was not stored.",
    ),
    _READONLY: (
        "{what} cannot be written.",
        "Check that the disk is not mounted read-only and that the files belong to this user.",
    ),
    _CORRUPT: (
        "{what} is damaged, or no database.",
        "Keep the file, change nothing, and call for help: what it holds may still be saved.",
    ),
    _BUSY: (
        "{what} is held by another process for too long.",
        "Look for a process that hangs, then try again.",
    ),
    _UNREADABLE: ("{what} cannot be opened.", "Check that the folder exists and belongs to this user."),
    _IO: (
        "The disk refuses to store or to give what is asked.",
        "Look at the system's log: the disk may be failing.",
    ),
}
_BY_RESULT = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READONLY,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
}
_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READONLY,
    errno.EACCES: _READONLY,
    errno.EPERM: _READONLY,
}
_PRIMARY = 0xFF
"""Extended result codes carry the primary one in their low byte."""
_EXTENDED = {sqlite3.SQLITE_IOERR_SHMSIZE: sqlite3.SQLITE_FULL}
"""The index of the write-ahead log cannot grow: SQLite's way to meet a full disk when it opens."""
_BUGS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_CONSTRAINT)


@dataclass(frozen=True, slots=True)
class StoreName:
    """How a store is called in codes (``STATE`` gives STATE_FULL) and in sentences."""

    prefix: str
    what: str


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction that waits for its turn at the start, not in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def storage_errors(store: StoreName) -> Iterator[None]:
    """Turn the faults of the disk and the database into StorageError; a bug in our SQL stays a bug."""
    try:
        yield
    except UnicodeDecodeError:  # a text, or a word in the schema, with bytes that nobody wrote
        raise damaged(store) from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
            raise damaged(store) from None  # the same, found by the driver and not by the library
        extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        primary = _EXTENDED.get(extended, extended & _PRIMARY)
        if primary in _BUGS:
            raise
        raise _fault(store, _BY_RESULT.get(primary, _IO)) from None
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise _fault(store, _BY_ERRNO.get(error.errno or 0, _IO), detail=detail) from None


def damaged(store: StoreName) -> StorageError:
    """What is stored is not what was written."""
    return _fault(store, _CORRUPT)


def _fault(store: StoreName, kind: str, *, detail: str = "") -> StorageError:
    message, hint = _WORDS[kind]
    message = message.format(what=store.what)
    return StorageError(f"{store.prefix}_{kind}", f"{message} ({detail})" if detail else message, hint=hint)
