"""What every test may ask for."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.models.store import ModelStore
from tests.support.databases import KINDS, migrated
from tests.support.postgres import NoPostgresError, fresh_database

LONGEST = ("browser", "e2e")
"""Folders whose tests are whole walks with real programs."""


def pytest_configure() -> None:
    """Heed every stop: what a shell starts in the background ignores some, and so would its children."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of several processes begins with its share of the longest tests: what begins last ends last.

    Files stay whole. The processes are given the list in equal pieces, and take from each other afterwards.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes == 1:
        return
    files: dict[Path, list[pytest.Item]] = {}
    others: list[pytest.Item] = []
    for item in items:
        (files.setdefault(item.path, []) if item.path.parent.name in LONGEST else others).append(item)
    ordered: list[pytest.Item] = []
    for number in range(processes):
        share = [item for file in list(files.values())[number::processes] for item in file]
        piece = (len(items) - len(ordered)) // (processes - number)
        rest = max(0, piece - len(share))
        ordered += share + others[:rest]
        others = others[rest:]
    items[:] = ordered + others


def pytest_collection_finish() -> None:
    """What is here now, sixteen thousand tests and all that they import, stays: it is not looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    """The default models in the user's cache; the pull holds a lock, so that test processes share it."""
    store = ModelStore.open()
    store.pull()
    return store


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A new, empty PostgreSQL database; the test is skipped where no server can be had."""
    try:
        with fresh_database() as url:
            yield url
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=KINDS)
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """As ``database_url``, one for all tests of a module."""
    with migrated(request.param, tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database of each kind that the cloud service supports, with all tables and nothing in them."""
    with migrated(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As ``database_url``, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'verifield.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
