"""A copy of a SQLite database as it stood at one moment, while others write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from cloud.errors import SetupError

PAGES_AT_ONCE = 4096
"""16 MiB of pages of 4 KiB between two words about the progress."""

_BUSY_S = 10.0

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


def copy_database(source: Path, target: Path, *, progress: Progress) -> None:
    """Copy ``source`` to ``target``, page by page, through SQLite.

    The copy reads one view of the database from its first page to its last: in WAL mode, writers are not
    held up, and what they commit meanwhile is not in the copy.

    Raises:
        SetupError: BACKUP_FAILED.
    """
    address = f"file:{quote(str(source))}?mode=rw"
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as reader,
            closing(sqlite3.connect(target, timeout=_BUSY_S)) as writer,
        ):
            reader.isolation_level = None
            # The view is held by this transaction; without it each writer would make the copy begin anew.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(
                writer,
                pages=PAGES_AT_ONCE,
                progress=lambda _status, left, total: progress("database", total - left, total),
            )
            reader.execute("ROLLBACK")
            # In its own file alone: no side files belong to the copy.
            writer.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise SetupError(
            "BACKUP_FAILED",
            f"The database cannot be copied ({error}).",
            hint="Check that both disks have room, and that the database may be read.",
        ) from error
