"""Where a database stands: what a manifest says of it, and what a restored one is compared with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, inspect
from sqlalchemy.exc import DBAPIError

from cloud.backup.secrecy import damaged
from cloud.errors import SetupError
from cloud.objects.guard import Role
from cloud.store import audit, replicas
from cloud.store import log as log_rows
from cloud.store.schema import object_stores
from verifield.v1 import backup_pb2 as pb


@dataclass(frozen=True, slots=True)
class State:
    """Schema version, the log's newest checkpoint, the end of the audit chain; where else files lie."""

    schema_version: str
    checkpoint: str
    audit_end: audit.ChainEnd
    targets: tuple[pb.BackupTarget, ...] = ()


def read_state(connection: Connection) -> State:
    """Read it in the transaction of ``connection``.

    Raises:
        SetupError: BACKUP_SCHEMA: the database is not one of this version.
    """
    version = MigrationContext.configure(connection).get_current_revision()
    try:
        head = log_rows.get_head(connection)
        end = audit.read_end(connection)
    except (DBAPIError, LookupError) as error:
        raise SetupError(
            "BACKUP_SCHEMA",
            f"The database has schema {version or 'of no version'}, of which no backup can be made.",
            hint="Run verifield-cloud migrate first; it keeps a copy of a SQLite database.",
        ) from error
    return State(version or "", head.note if head else "", end, _read_targets(connection))


def _read_targets(connection: Connection) -> tuple[pb.BackupTarget, ...]:
    if not inspect(connection).has_table(object_stores.name):  # of a version before there were any
        return ()
    tallies = replicas.tallies(connection)
    return tuple(
        pb.BackupTarget(
            name=row.name,
            provider=row.provider,
            role=Role(row.role).name.lower(),
            files=sum(tallies[row.name].counts.get(state, 0) for state in replicas.HERE),
            behind=sum(tallies[row.name].counts.get(state, 0) for state in replicas.BEHIND),
            seen_us=row.seen_us or 0,
        )
        for row in replicas.list_stores(connection)
        if row.role != Role.LOCAL
    )


@contextmanager
def reading_copy(path: Path) -> Iterator[Connection]:
    """Read a copy of a SQLite database that nobody writes to, without leaving a file beside it.

    Raises:
        SetupError: BACKUP_DAMAGED: it is no database, or its structure is broken.
    """

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise damaged(path.name) from error
    finally:
        engine.dispose()


def check_structure(connection: Connection) -> bool:
    """Whether SQLite finds the whole file sound; reads all of it."""
    return connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]


def count_tables(connection: Connection) -> int:
    """Tables that a PostgreSQL database has in the schema of the service."""
    query = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
    return int(connection.exec_driver_sql(query).scalar_one())
