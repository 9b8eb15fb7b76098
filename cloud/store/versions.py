"""Which schema a database has, looked at without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from cloud.store.engines import open_engines
from cloud.store.faults import to_setup_error


@dataclass(frozen=True, slots=True)
class Versions:
    """``current``: of the database, None for an empty one. ``newest``: what this software needs."""

    current: str | None
    newest: str


def read_versions(url: str) -> Versions:
    """Look at the database at ``url``.

    Raises:
        SetupError: it cannot be used.
    """
    engines = open_engines(url, connections=1, require_durable=False)
    try:
        with engines.reading.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise to_setup_error(error) from error
    finally:
        engines.dispose()
    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    return Versions(current, scripts.get_current_head() or "")
