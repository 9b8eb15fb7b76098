"""Rows that are read one by one: on both engines, and how many callers share one question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, LiteralString

import psycopg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, LargeBinary, MetaData, String, Table, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cloud.store.database import Store, StoreOptions
from cloud.store.engines import open_engines
from cloud.store.glance_line import PostgresLine
from cloud.store.glances import Glance, GroupedGlances, Key

WAIT_S = 60.0

things = Table(
    "things",
    MetaData(),
    Column("name", String(9), primary_key=True),
    Column("digest", LargeBinary(4), unique=True, nullable=False),
    Column("flag", Boolean, nullable=False),
    Column("number", BigInteger),
    Column("kind", Integer, nullable=False),
    Column("label", String(9)),
)


@dataclass(frozen=True, slots=True)
class Thing:
    """Not in the order of the columns."""

    number: int | None
    flag: bool
    digest: bytes
    kind: int
    label: str | None


BY_NAME = Glance(Thing, things.c.name)
BY_DIGEST = Glance(Thing, things.c.digest)
ONE = Thing(-(2**62), True, b"\x00\xff\x01\x02", 2**31 - 1, "张三")
TWO = Thing(None, False, b"2222", -1, None)


@pytest.fixture
def store(empty_database_url: str) -> Iterator[Store]:
    opened = Store.open(empty_database_url, StoreOptions(require_durable=False))
    with opened.writing() as connection:
        things.create(connection)
        connection.execute(things.insert(), [{"name": "one", **asdict(ONE)}, {"name": "two", **asdict(TWO)}])
    yield opened
    opened.close()


async def looked_at(store: Store, *names: str) -> list[Thing | None]:
    return await asyncio.gather(*(store.glance(BY_NAME, name) for name in names))


def test_a_row_is_found_by_each_of_its_keys(store: Store) -> None:
    async def look() -> None:
        assert await looked_at(store, "one", "two", "nine", "one", "") == [ONE, TWO, None, ONE, None]
        found = await store.glance(BY_NAME, "two")
        assert found is not None
        assert found.flag is False
        assert await store.glance(BY_DIGEST, ONE.digest) == ONE
        assert await store.glance(BY_DIGEST, b"") is None

    asyncio.run(look())


def test_a_row_is_as_it_is_now(store: Store) -> None:
    def bump(number: int) -> None:
        with store.writing() as connection:
            connection.execute(text("UPDATE things SET number = :number"), {"number": number})

    async def look() -> None:
        for number in range(20):
            await asyncio.to_thread(bump, number)
            assert [one.number for one in await looked_at(store, "one", "two") if one] == [number, number]

    asyncio.run(look())


def test_a_row_that_is_being_written_is_not_waited_for(store: Store) -> None:
    async def look() -> None:
        with store.writing() as connection:
            connection.execute(text("UPDATE things SET number = 7"))
            assert await looked_at(store, "one") == [ONE]
        [found] = await looked_at(store, "one")
        assert found is not None
        assert found.number == 7

    asyncio.run(look())


def test_another_loop_may_ask_later(store: Store) -> None:
    for _ in range(2):
        assert asyncio.run(looked_at(store, "one", "two")) == [ONE, TWO]


def test_a_store_that_is_closed_leaves_no_connection(store: Store, empty_database_url: str) -> None:
    asyncio.run(looked_at(store, "one"))
    store.close()
    if not empty_database_url.startswith("postgresql"):
        return
    end = time.monotonic() + WAIT_S
    while others(empty_database_url):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_the_database_refuses_is_told_as_everywhere_without_the_key(store: Store) -> None:
    with store.writing() as connection:
        things.drop(connection)

    async def look() -> None:
        for _ in range(2):
            with pytest.raises(DBAPIError) as caught:
                await store.glance(BY_NAME, "private")
            assert "private" not in str(caught.value)

    asyncio.run(look())


# PostgreSQL alone


OTHERS = """
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def others(url: str, what: LiteralString = "pid") -> list[int]:
    """Of all other connections to this database; by default their processes."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return [found for (found,) in connection.execute("SELECT " + what + OTHERS)]


def test_a_connection_that_the_server_ended_is_made_anew(postgres_url: str) -> None:
    store = Store.open(postgres_url, StoreOptions(require_durable=False))
    with store.writing() as connection:
        things.create(connection)

    async def look() -> None:
        assert await looked_at(store, "one") == [None]
        assert all(others(postgres_url, "pg_terminate_backend(pid, 60000)"))
        assert not others(postgres_url)
        assert await looked_at(store, "one", "two") == [None, None]

    asyncio.run(look())
    store.close()


def test_its_connection_has_the_limits_of_all_and_writes_nothing(postgres_url: str) -> None:
    engines = open_engines(f"{postgres_url}&application_name=mine", connections=4, require_durable=False)

    async def look() -> None:
        assert isinstance(engines.glances, GroupedGlances)
        line = await engines.glances._connect()
        assert isinstance(line, PostgresLine)
        async with line._connection as connection:
            found = await connection.execute("SELECT name, setting FROM pg_settings")
            settings = dict(await found.fetchall())
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("CREATE TABLE more (name TEXT)")
        assert settings["statement_timeout"] == "30000"
        assert settings["lock_timeout"] == "10000"
        assert settings["application_name"] == "mine"

    asyncio.run(look())
    engines.dispose()


# Who shares a question, with a server that answers when it is told to


@dataclass
class Server:
    """``asked``: the keys of each question. ``fault``: raised by the next one, which ends the connection
    where ``breaks``. ``odd``: it answers with too few columns."""

    asked: list[list[Key]] = field(default_factory=list)
    made: int = 0
    ended: int = 0
    fault: Exception | None = None
    breaks: bool = False
    odd: bool = False
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> Asked:
        self.made += 1
        return Asked(self)


@dataclass
class Asked:
    """In the place of a connection."""

    server: Server
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        self.server.ended += 1

    async def ask(self, _glance: Glance[Any], keys: Sequence[Key]) -> list[tuple[Any, ...]]:
        self.server.asked.append(list(keys))
        await self.server.free.wait()
        fault, self.server.fault = self.server.fault, None
        if fault is not None:
            self.closed = self.closed or self.server.breaks
            raise fault
        return [(key, *astuple(ONE)[self.server.odd :]) for key in keys if key != "nine"]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def begun(glances: GroupedGlances, *keys: Key) -> list[asyncio.Task[Thing | None]]:
    """Callers who ask for these, one after the other, in their own tasks."""
    tasks = [asyncio.create_task(glances.read(BY_NAME, key)) for key in keys]
    for _ in range(3):  # to the question, whose connection is there at once
        await asyncio.sleep(0)
    return tasks


def test_who_asks_while_a_question_is_under_way_shares_the_next_one() -> None:
    async def run() -> None:
        server = Server()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        first = await begun(glances, "one", "two")
        later = await begun(glances, "two", "nine", "two", "six")
        server.free.set()
        assert await asyncio.gather(*first, *later) == [ONE, ONE, ONE, None, ONE, ONE]
        assert server.asked == [["one", "two"], ["two", "nine", "six"]]
        assert await glances.read(BY_NAME, "one") == ONE
        assert server.made == 1
        glances.close()
        assert server.ended == 1

    asyncio.run(run())


def test_who_goes_away_takes_nobody_else_along() -> None:
    async def run() -> None:
        server = Server()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        gone, same, other = await begun(glances, "one", "one", "two")
        gone.cancel()
        server.free.set()
        assert [await same, await other] == [ONE, ONE]
        assert gone.cancelled()
        glances.close()

    asyncio.run(run())


def test_an_error_is_told_to_all_who_shared_the_question_and_to_nobody_else() -> None:
    async def run() -> None:
        server = Server(fault=psycopg.errors.QueryCanceled("too slow"))
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        first = await begun(glances, "one", "two")
        later = await begun(glances, "one")
        server.free.set()
        told = await asyncio.gather(*first, return_exceptions=True)
        assert [type(one) for one in told] == [OperationalError, OperationalError]
        assert told[0] is not told[1]
        assert await asyncio.gather(*later) == [ONE]
        assert server.made == 1
        glances.close()

    asyncio.run(run())


def test_a_row_that_cannot_be_made_is_told_and_the_next_one_is_read() -> None:
    async def run() -> None:
        server = Server(odd=True)
        server.free.set()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        with pytest.raises(TypeError):
            await glances.read(BY_NAME, "one")
        server.odd = False
        assert await glances.read(BY_NAME, "one") == ONE
        glances.close()

    asyncio.run(run())


def test_a_column_of_another_type_is_refused(postgres_url: str) -> None:
    dates = Table("dates", MetaData(), Column("name", String(9), primary_key=True), Column("day", Date))

    @dataclass(frozen=True)
    class Day:
        day: Any

    store = Store.open(postgres_url, StoreOptions(require_durable=False))
    with store.writing() as connection:
        dates.create(connection)
    with pytest.raises(TypeError):
        asyncio.run(store.glance(Glance(Day, dates.c.name), "one"))
    store.close()


def test_a_lost_connection_is_made_anew_once() -> None:
    async def run() -> None:
        server = Server(breaks=True)
        server.free.set()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        server.fault = psycopg.OperationalError("gone")
        with pytest.raises(OperationalError):  # one that was only just made
            await glances.read(BY_NAME, "one")
        assert await glances.read(BY_NAME, "one") == ONE
        assert server.made == 2
        server.fault = psycopg.OperationalError("gone")
        assert await glances.read(BY_NAME, "one") == ONE
        assert server.made == 3
        glances.close()

    asyncio.run(run())


def test_a_connection_that_is_old_is_made_anew() -> None:
    async def run() -> None:
        server, clock = Server(), Clock()
        server.free.set()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=clock)
        for clock.now in (0.0, 59.9, 60.0, 119.9):
            assert await glances.read(BY_NAME, "one") == ONE
        assert (server.made, server.ended) == (2, 1)
        glances.close()

    asyncio.run(run())


def test_a_store_that_closes_ends_a_question_that_is_under_way() -> None:
    async def run() -> None:
        server = Server()
        glances = GroupedGlances(server.connect, recycle_s=60, clock=Clock())
        first = await begun(glances, "one")
        later = await begun(glances, "two")
        glances.close()
        told = await asyncio.gather(*first, *later, return_exceptions=True)
        assert [type(one) for one in told] == [asyncio.CancelledError] * 2
        assert server.ended == 1

    asyncio.run(run())
