"""Takes from the database's files what was overwritten in its tables."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from cloud.store.engines import BUSY_TIMEOUT_MS

SQLITE_TRIES = 20
"""Each waits as long as a transaction does; readers that never end are no part of the service."""


POSTGRES_TRIES = 20
POSTGRES_PAUSE_S = 0.5
"""Longer than a transaction of the service; a backup that runs takes longer, and is told of."""

# Who has a view from before the transaction whose number is given: what that view sees, VACUUM leaves.
_OLDER_VIEWS = "SELECT count(*) FROM pg_stat_activity WHERE age(backend_xmin) > age(%s::text::xid)"


def scrub(url: str, tables: list[str], *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Empty SQLite's write-ahead log, or let PostgreSQL clean ``tables``; False where readers prevent it.

    Pages that PostgreSQL has cleaned, and its own write-ahead log, are overwritten in their own time.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _truncate_wal(str(parsed.database))
    address = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        clear = _wait_for_readers(connection, sleep)
        for table in tables:
            connection.execute(SQL("VACUUM {}").format(Identifier(table)))
    return clear


def _wait_for_readers(connection: psycopg.Connection, sleep: Callable[[float], None]) -> bool:
    """Whether all views of the database that were older than this call are gone."""
    [mark] = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone() or [None]
    for _ in range(POSTGRES_TRIES):
        if connection.execute(_OLDER_VIEWS, (mark,)).fetchone() == (0,):
            return True
        sleep(POSTGRES_PAUSE_S)
    return False


def _truncate_wal(path: str) -> bool:
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        for _ in range(SQLITE_TRIES):
            [busy, _log, _moved] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
    return False
