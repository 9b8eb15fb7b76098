"""Opens the database, brings its schema up to date, and hands out transactions.

SQLite runs in WAL mode with synchronous=FULL: a commit that returned survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from cloud.errors import SetupError
from cloud.store.turns import Turns

# How long a transaction waits for another process's lock, for example that of a backup.
BUSY_TIMEOUT_MS = 10_000
_MIGRATIONS = Path(__file__).with_name("migrations")


class Store:
    """A migrated database. Repository functions take the connections that it hands out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing_engine = engine.execution_options(verifield_begin="BEGIN IMMEDIATE")
        self._turns = Turns() if engine.dialect.name == "sqlite" else None

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect and migrate.

        Raises:
            SetupError: the address is wrong, the database cannot be used, or its schema is newer.
        """
        store = cls(_create_engine(url))
        with store.closed_on_failure(), store.writing() as connection:
            migrate(connection)
        return store

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """For the start: what the block cannot do ends it, with the database's faults in plain words.

        Raises:
            SetupError: DATABASE_UNUSABLE for any fault of the database.
        """
        try:
            yield
        except SQLAlchemyError as error:
            self.close()
            raise _unusable(error) from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start; durable when the block ends.

        Not within another one of the same thread.
        """
        with self._turns.take() if self._turns else nullcontext(), self._writing_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def _unusable(error: SQLAlchemyError) -> SetupError:
    """What a fault of the database means at a start, in the driver's words (which hold no parameters)."""
    reason = str(error.orig) if isinstance(error, DBAPIError) else type(error).__name__
    return SetupError(
        "DATABASE_UNUSABLE",
        f"The database cannot be used: {' '.join(reason.split()).rstrip('.')}.",
        hint="Check --database, that its server runs, and that its file may be written; "
        "restore a damaged one from a backup.",
    )


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version in the transaction of ``connection``.

    Raises:
        SetupError: the database was written by a newer version of this software.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise SetupError(
            "DATABASE_NEWER",
            f"The database has schema {current}, which this version does not know.",
            hint="Start the newer version again, or restore the backup made before the upgrade.",
        )
    command.upgrade(config, "head")


def _create_engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        # Parameters hold envelopes and digests: they do not belong in logged errors.
        engine = create_engine(parsed, hide_parameters=True)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise SetupError(
            "DATABASE_URL",
            "The database address cannot be used.",
            hint="Use an SQLAlchemy address whose driver is installed, for example sqlite:////srv/verifield.db",
        ) from error
    if sqlite:
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin or commit by itself: schema changes belong in transactions too.
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON"):
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
