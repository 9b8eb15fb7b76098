"""How the two kinds of databases are opened: what each connection is told, and how transactions begin.

SQLite runs in WAL mode with synchronous=FULL: a commit that returned survives a power cut. PostgreSQL must
say the same of itself (fsync, synchronous_commit), for each connection.

Isolation on PostgreSQL: writers run READ COMMITTED, because each of them first locks the row that owns what
it changes (a device, a token, a scope, the log's head) and reads behind that lock; with a snapshot from
before the lock, two servers that meet at the log's head would fail each time instead of taking turns.
Readers run REPEATABLE READ, READ ONLY: one view, and a write by mistake is refused. Engines that know only
SERIALIZABLE (CockroachDB) give more than is asked for, and may ask for a transaction again (``Store.run``).
What is read row by row, outside of all this, see ``cloud.store.glances``.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from threading import Event
from typing import Any, LiteralString

import psycopg
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from cloud.errors import SetupError
from cloud.store.glance_line import PostgresLine
from cloud.store.glances import Connect, Glances, GroupedGlances, NearGlances

SQLITE_CACHE_KIB = 32 * 1024
"""Pages of a connection in memory: with SQLite's own 2 MiB, inserts into a store of a gigabyte read the upper
pages of its indexes again and again, which costs a fifth of each record."""

SQLITE_CHECKPOINT_PAGES = 4000
"""Of the write-ahead log, 16 MiB: a page that many commits change is copied once for all of them."""

BUSY_TIMEOUT_MS = 10_000
"""How long a transaction waits for another process's lock, for example that of a backup."""

CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10.0
"""Until a connection is there, or free: a caller waits no longer than for a lock."""

STATEMENT_TIMEOUT_MS = 30_000
"""No statement of the service takes a second; one of half a minute holds up everything behind it."""

IDLE_TIMEOUT_MS = 60_000
"""Between two statements of a transaction: a process that hangs must let go of its locks."""

UNACKNOWLEDGED_MS = 30_000
"""Until a server that has vanished without a word is given up, while it owes an answer, and when idle."""

RECYCLE_S = 1800.0
"""Connections are made anew after half an hour, so that a failover or a new address reaches all of them."""

APPLICATION_NAME = "verifield-cloud"

_WIRE_COMPATIBLE = {"postgresql", "cockroachdb"}
_DRIVER = "psycopg"

# Given as the address has them; the rest is ours.
_POSTGRES_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": APPLICATION_NAME,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": UNACKNOWLEDGED_MS,
}
_SESSION = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "lock_timeout": BUSY_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
}
_READ_ONLY = {"default_transaction_read_only": "on"}
_SET: LiteralString = "SELECT set_config(%s, %s, false)"
# What a server says of a setting with which a commit that returned can be lost.
_NOT_DURABLE = {"fsync": {"off"}, "synchronous_commit": {"off"}, "full_page_writes": {"off"}}


@dataclass(frozen=True, slots=True)
class Engines:
    """One pool of connections, seen in two ways: for readers and for writers.

    ``glances``: one more connection, for rows that are read one by one without a transaction.
    """

    reading: Engine
    writing: Engine
    closing: Event
    glances: Glances

    @property
    def is_sqlite(self) -> bool:
        return self.reading.dialect.name == "sqlite"

    def dispose(self) -> None:
        """Let go of all connections; one that a thread still uses is closed when it is given back."""
        self.closing.set()
        self.glances.close()
        self.reading.dispose()


def open_engines(address: str, *, connections: int, require_durable: bool) -> Engines:
    """Make the pool; nothing connects yet.

    Raises:
        SetupError: DATABASE_URL, the address is of no kind that this service can use.
    """
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            return _sqlite(url)
        if url.get_backend_name() in _WIRE_COMPATIBLE and url.get_driver_name() == _DRIVER:
            return _postgres(url, connections=connections, require_durable=require_durable)
    except (ArgumentError, ModuleNotFoundError, NoSuchModuleError) as error:
        raise _bad_address() from error
    raise _bad_address()


def _sqlite(url: URL) -> Engines:
    # Parameters hold envelopes and digests: they do not belong in logged errors.
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    writing = engine.execution_options(verifield_begin="BEGIN IMMEDIATE")
    near = create_engine(url, hide_parameters=True, poolclass=NullPool)
    event.listen(near, "connect", _set_pragmas)
    return Engines(engine, writing, _close_late(engine), NearGlances(near))


def _postgres(url: URL, *, connections: int, require_durable: bool) -> Engines:
    settings = {name: value for name, value in _POSTGRES_DEFAULTS.items() if name not in url.query}
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args=settings,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=RECYCLE_S,
        pool_pre_ping=True,
    )

    def prepare(connection: psycopg.Connection[Any], _record: Any) -> None:
        try:
            found = _prepare_session(connection)
            if require_durable:
                _check_durable(found)
        except BaseException:
            connection.close()
            raise

    event.listen(engine, "connect", prepare)
    return Engines(
        engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
        engine.execution_options(isolation_level="READ COMMITTED"),
        _close_late(engine),
        GroupedGlances(_glancing(engine, settings), recycle_s=RECYCLE_S),
    )


def _glancing(engine: Engine, settings: dict[str, Any]) -> Connect:
    """How a connection for glances is made: one to the same address, in which nothing may be written."""
    positional, named = engine.dialect.create_connect_args(engine.url)
    arguments = dict(named) | settings | {"autocommit": True}

    async def connect() -> PostgresLine:
        connection = await psycopg.AsyncConnection.connect(*positional, **arguments)
        try:
            for name, value in (_SESSION | _READ_ONLY).items():
                await connection.execute(_SET, (name, str(value)))
        except BaseException:
            await connection.close()
            raise
        return PostgresLine(connection)

    return connect


def _close_late(engine: Engine) -> Event:
    """Close connections that come back once the event is set: the pool that they came from is gone."""
    closing = Event()

    def on_return(connection: Any, _record: Any) -> None:
        if closing.is_set() and connection is not None:
            connection.close()

    event.listen(engine, "checkin", on_return)
    return closing


def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin or commit by itself: schema changes belong in transactions too.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        f"cache_size=-{SQLITE_CACHE_KIB}",
        f"wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":  # in memory, or on a file system that cannot do it
        connection.close()
        raise SetupError(
            "DATABASE_NOT_DURABLE",
            f"SQLite keeps this database in mode {mode}, in which a power cut could lose what was confirmed.",
            hint="Use a file on a local disk, for example sqlite:////srv/verifield.db",
        )


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("verifield_begin", "BEGIN"))


def _prepare_session(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Set the limits of a session; return what decides whether its commits are durable."""
    connection.autocommit = True
    try:
        for name, value in _SESSION.items():
            connection.execute(_SET, (name, str(value)))
        # An engine that has no such setting has no row here.
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(_NOT_DURABLE),)
        )
        return dict(rows.fetchall())
    finally:
        connection.autocommit = False


def _check_durable(settings: dict[str, str]) -> None:
    for name, bad in _NOT_DURABLE.items():
        if settings.get(name) in bad:
            raise SetupError(
                "DATABASE_NOT_DURABLE",
                f"The database server runs with {name}={settings[name]}, "
                "with which a power cut could lose what was confirmed.",
                hint=f"Set {name}=on, for the server or for this database and user.",
            )


def _bad_address() -> SetupError:
    return SetupError(
        "DATABASE_URL",
        "The database address cannot be used.",
        hint="Use sqlite:////srv/verifield.db or postgresql+psycopg://USER@HOST/DATABASE.",
    )
