"""Databases with all tables, copied from one that was migrated once in each test process.

with migrated("postgresql", tmp_path) as url:
    store = Store.open(url, StoreOptions(require_durable=False))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cloud.store.database import Store, StoreOptions
from tests.support.postgres import NoPostgresError, shared_server

KINDS = ("sqlite", "postgresql")
_TEMPLATE = "migrated"


@contextmanager
def migrated(kind: str, folder: Path) -> Iterator[str]:
    """The address of a new database of this kind; the test is skipped where no server can be had."""
    if kind == "sqlite":
        path = folder / "verifield.db"
        path.write_bytes(_file())
        yield f"sqlite:///{path}"
        return
    try:
        template = _template()
    except NoPostgresError as error:
        pytest.skip(str(error))
    with shared_server().database(template) as url:
        yield url


def in_file(path: Path) -> str:
    """The address of SQLite in ``path``, which has all tables and nothing in them where it is new.

    To make the tables one migration after the other costs as much as all the rest of a service's start.
    """
    with suppress(OSError):  # who opens it says what is wrong
        if not path.exists() and not path.parent.stat().st_mode & 0o022:
            path.write_bytes(_file())
    return f"sqlite:///{path}"


@cache
def _file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "verifield.db"
        _migrate(f"sqlite:///{path}")  # the last one to close leaves one file
        assert [one.name for one in Path(folder).iterdir()] == [path.name]
        return path.read_bytes()


@cache
def _template() -> str:
    server = shared_server()
    server.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
    _migrate(server.url(_TEMPLATE))
    return _TEMPLATE


def _migrate(url: str) -> None:
    Store.open(url, StoreOptions(require_durable=False)).close()
