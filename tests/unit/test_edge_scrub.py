"""What is deleted from a store cannot be read from its files, while other programs have it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.model import Role
from edge.state.records import Credentials, OperatorRecord
from edge.state.store import StateStore
from tests.support.appliance import Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.known import KnownDevice
from tests.support.outbox import apply, receipt_through
from tests.support.tasks import LIFE, account_item, removed_item

ANA = OperatorRecord("op-1", Role.CLERK, Credentials("Ana", "hash", None))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, Authority.create())
    yield known
    known.state.close()


@pytest.fixture
def screen(device: KnownDevice) -> Iterator[StateStore]:
    """Another program, which has the store open too, as the office screen always has."""
    with device.open() as store:
        yield store


def sealed(path: Path, sql: str) -> bytes:
    """From the middle of what is stored: SQLite writes over the first bytes of what it frees."""
    with closing(sqlite3.connect(path)) as connection:
        content: bytes = connection.execute(sql).fetchone()[0]
    return content[16:48]


def files_with(store: Path, content: bytes) -> list[str]:
    files = (path for path in store.parent.iterdir() if path.is_file())
    return [path.name for path in files if content in path.read_bytes()]


def sealed_operator(device: KnownDevice) -> bytes:
    device.state.operators.add(ANA)
    content = sealed(device.path, "SELECT sealed FROM operators")
    assert files_with(device.path, content)
    return content


def test_a_removed_operator_is_in_no_file(device: KnownDevice, screen: StateStore) -> None:
    content = sealed_operator(device)
    assert screen.operators.count() == 1
    device.state.operators.remove("op-1")
    assert device.state.scrub()
    assert files_with(device.path, content) == []
    assert screen.operators.count() == 0


def test_a_reader_keeps_the_log_until_the_next_news(device: KnownDevice, screen: StateStore) -> None:
    content = sealed_operator(device)
    with closing(sqlite3.connect(device.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM operators").fetchall()
        device.state.operators.remove("op-1")
        assert not device.state.scrub()
    assert files_with(device.path, content)
    device.pull()
    assert files_with(device.path, content) == []


@pytest.mark.parametrize("ends", ["withdrawn", "expired"])
def test_a_task_that_ended_is_in_no_file(device: KnownDevice, screen: StateStore, ends: str) -> None:
    device.pull(account_item("a"))
    content = sealed(device.path, "SELECT content FROM down_items")
    assert files_with(device.path, content)
    if ends == "withdrawn":
        device.pull(removed_item("a"))
    else:
        assert screen.drop_expired(by=NOW + LIFE) == 1
    assert files_with(device.path, content) == []


@pytest.fixture
def overwrites_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SQLite as its makers deliver it; Debian's overwrites what is deleted."""
    connect = sqlite3.connect

    def connect_as_delivered(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_as_delivered)


@pytest.mark.usefixtures("overwrites_nothing_by_itself")
def test_rows_of_the_state_are_overwritten(tmp_path: Path) -> None:
    device = KnownDevice(tmp_path, Authority.create())
    content = sealed_operator(device)
    device.state.operators.remove("op-1")
    device.state.close()
    assert files_with(device.path, content) == []


@pytest.mark.usefixtures("overwrites_nothing_by_itself")
def test_rows_of_the_outbox_are_overwritten(tmp_path: Path) -> None:
    device = Appliance(tmp_path / "outbox" / "outbox.db", MemorySigner())
    device.verify_person()
    content = sealed(device.path, "SELECT sealed FROM private")
    apply(device, receipt_through(Authority.create(), device, 1))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    device.outbox.close()
    assert files_with(device.path, content) == []
