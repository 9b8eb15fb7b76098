"""The database: durability settings, transactions, and turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from cloud.errors import SetupError
from cloud.store import log as log_rows
from cloud.store.database import Store
from verifield.merkle import leaf_hash

KEY = bytes(range(32))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


def leaves(*names: str) -> list[bytes]:
    return [leaf_hash(name.encode()) for name in names]


def test_a_commit_survives_a_power_cut(store: Store) -> None:
    with store.reading() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]


def test_opening_again_changes_nothing(store: Store, url: str) -> None:
    with store.writing() as connection:
        log_rows.add_leaves(connection, 0, leaves("a"), [None])
    again = Store.open(url)
    with again.reading() as connection:
        assert [leaf.leaf_hash for leaf in log_rows.list_leaves(connection, 0)] == leaves("a")
    again.close()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("nonsense", "DATABASE_URL"),
        ("postgresql+nodriver://x/y", "DATABASE_URL"),
        ("sqlite:////nowhere/at/all.db", "DATABASE_UNUSABLE"),
        ("sqlite://", "DATABASE_NOT_DURABLE"),
        ("sqlite:///:memory:", "DATABASE_NOT_DURABLE"),
    ],
)
def test_a_bad_address_is_one_sentence(bad: str, code: str) -> None:
    with pytest.raises(SetupError) as caught:
        Store.open(bad)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_file_that_is_no_database_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "test.db").write_bytes(b"not a database, but long enough to be looked at" * 40)
    with pytest.raises(SetupError) as caught:
        Store.open(url)
    assert caught.value.code == "DATABASE_UNUSABLE"
    assert "file is not a database" in caught.value.message


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def write(connection: Connection) -> None:
        log_rows.add_leaves(connection, 0, leaves("a"), [None])
        log_rows.add_leaves(connection, 0, leaves("b"), [None])

    with pytest.raises(IntegrityError), store.writing() as connection:
        write(connection)
    with store.reading() as connection:
        assert log_rows.list_leaves(connection, 0) == []


def test_errors_do_not_show_what_was_written(store: Store) -> None:
    with pytest.raises(IntegrityError) as caught, store.writing() as connection:
        connection.execute(
            text("INSERT INTO receipts VALUES (:a, 'nobody', :a, 1, NULL)"), {"a": b"very private bytes"}
        )
    assert "very private" not in str(caught.value)


def test_writers_take_turns_also_with_one_that_never_pauses(store: Store) -> None:
    done, count = threading.Event(), 0

    def never_pauses() -> None:
        nonlocal count
        while not done.is_set():
            with store.writing() as connection:
                connection.execute(text("SELECT 1"))
                count += 1
                time.sleep(0.002)

    busy = threading.Thread(target=never_pauses)
    busy.start()
    try:
        waited = []
        for _ in range(20):
            before = count
            with store.writing():
                waited.append(count - before)
    finally:
        done.set()
        busy.join(30)
    assert max(waited) <= 2, "the one that runs, and at most one that came first"


def test_a_writer_that_fails_gives_its_turn_on(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), store.writing():
            raise ZeroDivisionError
    with store.writing() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
