"""Transactions on both engines: what is seen, what is kept, and what is run again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cloud.errors import Reason, ServiceError, SetupError
from cloud.store import retries
from cloud.store.database import Store, StoreOptions
from cloud.store.faults import may_run_again
from cloud.store.retries import Retries
from tests.support.released import raw


@dataclass
class Pauses:
    """Instead of sleeping: a clock that the pauses move, and what they were."""

    slept: list[float] = field(default_factory=list)
    now: float = 0.0
    step: float = 0.0  # what each look at the clock takes

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        self.now += self.step
        return self.now

    def retries(self, chance: float = 1.0) -> Retries:
        return Retries(sleep=self.sleep, chance=lambda: chance, clock=self.clock)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@contextmanager
def opened(url: str, **options: Any) -> Iterator[Store]:
    store = Store.open(url, StoreOptions(require_durable=False, **options))
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(database_url: str, pauses: Pauses) -> Iterator[Store]:
    with opened(database_url, retries=pauses.retries()) as store:
        with store.writing() as connection:
            connection.execute(text("CREATE TABLE things (name VARCHAR(9) PRIMARY KEY, number BIGINT)"))
            connection.execute(text("INSERT INTO things VALUES ('one', 1)"))
        yield store


def number(connection: Connection, name: str = "one", *, lock: bool = False) -> int:
    tail = " FOR UPDATE" if lock and connection.dialect.name == "postgresql" else ""
    found = connection.execute(text("SELECT number FROM things WHERE name = :name" + tail), {"name": name})
    return int(found.scalar_one())


def add(connection: Connection, amount: int, name: str = "one") -> None:
    change = text("UPDATE things SET number = number + :amount WHERE name = :name")
    connection.execute(change, {"amount": amount, "name": name})


def test_a_transaction_is_kept_whole_or_not_at_all(store: Store) -> None:
    def fail(connection: Connection) -> None:
        add(connection, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.run(fail)
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        fail(connection)
    assert store.run(number) == 1


def test_a_reader_has_one_view_however_long_it_looks(store: Store) -> None:
    with store.reading() as connection:
        assert number(connection) == 1
        writer = threading.Thread(target=lambda: store.run(lambda other: add(other, 1)))
        writer.start()
        writer.join(30)
        assert number(connection) == 1
    with store.reading() as connection:
        assert number(connection) == 2


def test_writers_of_one_row_follow_each_other(store: Store) -> None:
    """Each reads behind its lock what the one before has left."""

    with store.writing() as connection:
        connection.execute(text("UPDATE things SET number = 0"))

    def count() -> None:
        for _ in range(10):
            store.run(bump)

    def bump(connection: Connection) -> None:
        value = number(connection, lock=True)
        connection.execute(text("UPDATE things SET number = :value"), {"value": value + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with store.reading() as connection:
        assert number(connection) == 40


def test_who_comes_second_with_a_key_runs_again_and_sees_the_first(
    store: Store, database_url: str, pauses: Pauses
) -> None:
    def enter(connection: Connection) -> str:
        found = connection.execute(text("SELECT count(*) FROM things WHERE name = 'two'")).scalar_one()
        if found:
            return "was there"
        if not pauses.slept and connection.dialect.name == "postgresql":
            with raw(database_url) as other:  # on SQLite nobody else can write meanwhile
                other.execute(text("INSERT INTO things VALUES ('two', 2)"))
        connection.execute(text("INSERT INTO things VALUES ('two', 3)"))
        return "entered"

    assert store.run(enter) == ("was there" if database_url.startswith("postgresql") else "entered")
    assert len(pauses.slept) == database_url.startswith("postgresql")


def fault(state: str, *, lost: bool = False) -> DBAPIError:
    """As one of PostgreSQL with this SQLSTATE."""
    error = psycopg.Error("made up")
    error.sqlstate = state
    return OperationalError("SELECT 1", {}, error, connection_invalidated=lost)


def test_work_that_met_others_is_run_again_from_its_beginning(store: Store, pauses: Pauses) -> None:
    states = ["40001", "40P01", "55P03", "53300", "57P03", "57P01", "08006"]
    runs: list[int] = []

    def work(connection: Connection) -> str:
        runs.append(number(connection))
        add(connection, 5)
        if len(runs) <= len(states):
            raise fault(states[len(runs) - 1])
        return "done"

    assert store.run(work) == "done"
    assert runs == [1] * 8  # what a failed run wrote is gone
    assert pauses.slept == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64]
    with store.reading() as connection:
        assert number(connection) == 6


def test_a_fault_that_stays_is_told_at_once(store: Store, pauses: Pauses) -> None:
    def work(_: Connection, state: str) -> None:
        raise fault(state)

    for state in ("23503", "22001", "42601", "57014", "40003", "XX000"):
        with pytest.raises(OperationalError):
            store.run(partial(work, state=state))
    assert pauses.slept == []


def test_runs_come_to_an_end(store: Store, pauses: Pauses) -> None:
    runs: list[int] = []

    def never(_: Connection) -> None:
        runs.append(1)
        raise fault("40001")

    with pytest.raises(ServiceError) as caught:
        store.run(never)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert len(runs) == retries.MAX_RUNS
    assert len(pauses.slept) == retries.MAX_RUNS - 1
    assert max(pauses.slept) <= retries.LONGEST_PAUSE_S


def test_runs_that_take_long_are_not_begun_again_when_time_is_over() -> None:
    slow = Pauses(step=retries.GIVE_UP_S)
    assert list(slow.retries().pauses()) == []
    just = Pauses(step=(retries.GIVE_UP_S - 0.001) / 2)
    assert len(list(just.retries().pauses())) == 2


def test_pauses_are_drawn_between_nothing_and_twice_the_one_before() -> None:
    ends = list(Pauses().retries(1.0).pauses())
    assert ends == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64]
    assert list(Pauses().retries(0.5).pauses()) == [end / 2 for end in ends]
    assert set(Pauses().retries(0.0).pauses()) == {0.0}
    drawn = [next(Retries().pauses()) for _ in range(20)]
    assert len(set(drawn)) > 1
    assert all(0 <= pause <= retries.FIRST_PAUSE_S for pause in drawn)


def test_a_commit_whose_end_is_unknown_is_not_run_again() -> None:
    for state in ("57P01", "08006", "25006"):
        assert may_run_again(fault(state), committing=False)
        assert not may_run_again(fault(state), committing=True)
    lost = fault("", lost=True)
    assert may_run_again(lost, committing=False)
    assert not may_run_again(lost, committing=True)
    assert may_run_again(fault("40001"), committing=True)  # refused: surely not committed
    assert not may_run_again(fault("40003"), committing=False)


def test_a_busy_sqlite_is_asked_again_and_a_damaged_one_is_not() -> None:
    def of_sqlite(code: int) -> DBAPIError:
        error = sqlite3.OperationalError("made up")
        error.sqlite_errorcode = code
        return OperationalError("", {}, error)

    assert may_run_again(of_sqlite(sqlite3.SQLITE_BUSY), committing=True)
    assert may_run_again(of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), committing=False)
    assert may_run_again(of_sqlite(sqlite3.SQLITE_LOCKED), committing=False)
    assert not may_run_again(of_sqlite(sqlite3.SQLITE_FULL), committing=False)
    assert not may_run_again(of_sqlite(sqlite3.SQLITE_CORRUPT), committing=False)
    assert not may_run_again(IntegrityError("", {}, sqlite3.IntegrityError("made up")), committing=False)


def test_errors_do_not_show_what_was_written(store: Store) -> None:
    insert = text("INSERT INTO things VALUES ('one', :value)")
    with pytest.raises(IntegrityError) as caught, store.writing() as connection:
        connection.execute(insert, {"value": 123456789012})
    assert "123456789012" not in str(caught.value)


def test_a_reader_cannot_write_on_postgresql(postgres_url: str) -> None:
    with opened(postgres_url) as store:  # noqa: SIM117
        with pytest.raises(InternalError, match="read-only"), store.reading() as connection:
            connection.execute(text("DELETE FROM devices"))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("nonsense", "DATABASE_URL"),
        ("postgresql+nodriver://x/y", "DATABASE_URL"),
        ("postgresql+psycopg2://x/y", "DATABASE_URL"),
        ("mysql://x/y", "DATABASE_URL"),
        ("sqlite:////nowhere/at/all.db", "DATABASE_UNUSABLE"),
        ("sqlite://", "DATABASE_NOT_DURABLE"),
        ("sqlite:///:memory:", "DATABASE_NOT_DURABLE"),
        ("postgresql+psycopg://x@127.0.0.1:1/y", "DATABASE_AWAY"),
        ("postgresql+psycopg://x@nowhere.invalid/y", "DATABASE_AWAY"),
        ("postgresql+psycopg://x@/y?host=/nowhere", "DATABASE_AWAY"),
    ],
)
def test_a_bad_address_is_one_sentence(bad: str, code: str) -> None:
    with pytest.raises(SetupError) as caught:
        Store.open(bad)
    assert caught.value.code == code
    assert caught.value.hint
    assert "\n" not in caught.value.message


def settings_of(connection: Connection) -> dict[str, Any]:
    rows = connection.execute(text("SELECT name, setting FROM pg_settings"))
    return {row.name: row.setting for row in rows}


def test_a_session_has_its_limits_and_its_name(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        with store.writing() as connection:
            writing = settings_of(connection)
        with store.reading() as connection:
            reading = settings_of(connection)
    for settings in (writing, reading):
        assert settings["statement_timeout"] == "30000"
        assert settings["lock_timeout"] == "10000"
        assert settings["idle_in_transaction_session_timeout"] == "60000"
        assert settings["application_name"] == "verifield-cloud"
    assert (writing["transaction_isolation"], writing["transaction_read_only"]) == ("read committed", "off")
    assert (reading["transaction_isolation"], reading["transaction_read_only"]) == ("repeatable read", "on")


def test_what_the_address_says_comes_first(postgres_url: str) -> None:
    with opened(f"{postgres_url}&application_name=mine") as store, store.reading() as connection:
        assert settings_of(connection)["application_name"] == "mine"


def test_a_server_gets_no_more_connections_than_are_allowed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.store.engines.POOL_TIMEOUT_S", 0.01)
    with opened(postgres_url, connections=2) as store, store.reading(), store.reading():  # noqa: SIM117
        with pytest.raises(PoolTimeoutError), store.reading():
            pass


def test_a_connection_that_comes_back_late_is_closed(database_url: str) -> None:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    with store.reading() as connection:
        raw_one = connection.connection.driver_connection
        assert raw_one is not None
        store.close()
        connection.execute(text("SELECT 1"))  # a call that was running may come to its end
    with pytest.raises((psycopg.OperationalError, sqlite3.ProgrammingError), match="closed"):
        raw_one.execute("SELECT 1")
