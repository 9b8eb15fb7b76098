"""Opens the database, brings its schema up to date, and hands out transactions.

``cloud.store.engines`` tells how SQLite and PostgreSQL are used, and how transactions are kept apart.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cloud.errors import Reason, ServiceError, SetupError
from cloud.store.engines import Engines, open_engines
from cloud.store.faults import may_run_again, to_setup_error
from cloud.store.glances import Glance, Key, Row
from cloud.store.retries import Retries
from cloud.store.turns import Turns

DEFAULT_CONNECTIONS = 16
"""Of one server to PostgreSQL, whose own limit is 100 by default: room for several servers."""

_MIGRATIONS = Path(__file__).with_name("migrations")
_MIGRATION_LOCK = 0x7665726966_0001  # any number that nobody else locks in this database
# Alembic keeps the running migration in a variable of the process.
_one_migration = threading.Lock()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """``connections``: the most to a server. ``require_durable``: refuse one that may forget commits."""

    connections: int = DEFAULT_CONNECTIONS
    require_durable: bool = True
    retries: Retries = field(default_factory=Retries)


class Store:
    """A migrated database. Repository functions take the connections that it hands out."""

    def __init__(self, engines: Engines, retries: Retries) -> None:
        self._engines = engines
        self._retries = retries
        self._turns = Turns() if engines.is_sqlite else None

    @classmethod
    def open(cls, url: str, options: StoreOptions | None = None) -> Store:
        """Connect and migrate; servers that start together migrate once.

        Raises:
            SetupError: the address is wrong, the database cannot be used, or its schema is newer.
        """
        options = options or StoreOptions()
        engines = open_engines(url, connections=options.connections, require_durable=options.require_durable)
        store = cls(engines, options.retries)
        with store.closed_on_failure():
            if not store._is_current():
                store.run(migrate)
        return store

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """For the start: what the block cannot do ends it, with the database's faults in plain words.

        Raises:
            SetupError: a code DATABASE_... for any fault of the database.
        """
        try:
            yield
        except SQLAlchemyError as error:
            self.close()
            raise to_setup_error(error) from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view, in which nothing may be written."""
        with self._engines.reading.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; durable when the block ends. Not within another one of the same thread.

        On SQLite it holds the one write lock from its start. On PostgreSQL others write at the same time:
        whoever changes what depends on other rows locks their owner first. It is not run again where it met
        others: see :meth:`run`.
        """
        with (
            self._turns.take() if self._turns else nullcontext(),
            self._engines.writing.begin() as connection,
        ):
            yield connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one write transaction, and all of it again where it met others; durable on return.

        ``work`` may run several times, and must leave nothing but rows. Where the connection breaks during
        the commit, its end is unknown: that error is raised as it is, and nothing is run again.

        Raises:
            ServiceError: STORE_UNAVAILABLE, it met others too often.
        """
        pauses = self._retries.pauses()
        while True:
            done = False
            try:
                with self.writing() as connection:
                    result = work(connection)
                    done = True
            except DBAPIError as error:
                if not may_run_again(error, committing=done):
                    raise
                pause = next(pauses, None)
                if pause is None:
                    raise ServiceError(
                        Reason.STORE_UNAVAILABLE, "The database is too busy for this change."
                    ) from error
            else:
                return result
            self._retries.sleep(pause)

    async def look(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads, in a thread, so that other calls go on meanwhile."""

        def run() -> T:
            with self.reading() as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def glance(self, glance: Glance[Row], key: Key) -> Row | None:
        """The row with a key as it is now; None where there is none. For one event loop alone."""
        return await self._engines.glances.read(glance, key)

    def close(self) -> None:
        """Let go of all connections."""
        self._engines.dispose()

    def _is_current(self) -> bool:
        """Whether nothing has to be migrated.

        The first look at a file of SQLite may meet another process that turns it into WAL mode, or that
        clears the log away as the last to close it: those locks are not waited for by the driver.
        """
        pauses = self._retries.pauses()
        while True:
            try:
                with self.reading() as connection:
                    return _current(connection) == _scripts().get_current_head()
            except DBAPIError as error:
                pause = next(pauses, None) if may_run_again(error, committing=False) else None
                if pause is None:
                    raise
            self._retries.sleep(pause)


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version in the transaction of ``connection``.

    Raises:
        SetupError: the database was written by a newer version of this software.
    """
    if connection.dialect.name == "postgresql":
        # One server after the other. An engine without these locks has the row of Alembic: the second
        # transaction finds it changed, and begins anew.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    scripts = _scripts()
    current = _current(connection)
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise SetupError(
            "DATABASE_NEWER",
            f"The database has schema {current}, which this version does not know.",
            hint="Start the newer version again, or restore the backup made before the upgrade.",
        )
    config = _config()
    config.attributes["connection"] = connection
    with _one_migration:
        command.upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
