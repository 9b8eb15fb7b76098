"""Takes from the database's files what was overwritten in its tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
from sqlalchemy.engine import make_url

from cloud.store.engines import BUSY_TIMEOUT_MS

SQLITE_TRIES = 20
"""Each waits as long as a transaction does; readers that never end are no part of the service."""


def scrub(url: str, tables: list[str]) -> bool:
    """Empty SQLite's write-ahead log, or let PostgreSQL clean ``tables``; False where readers prevent it.

    Pages that PostgreSQL has cleaned, and its own write-ahead log, are overwritten in their own time.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _truncate_wal(str(parsed.database))
    address = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        for table in tables:
            connection.execute(psycopg.sql.SQL("VACUUM {}").format(psycopg.sql.Identifier(table)))
    return True


def _truncate_wal(path: str) -> bool:
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        for _ in range(SQLITE_TRIES):
            [busy, _log, _moved] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
    return False
