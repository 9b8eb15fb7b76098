"""A PostgreSQL that refuses, forgets, goes away and comes back; and transactions that meet on it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cloud.errors import SetupError
from cloud.store import accounts
from cloud.store.database import Store, StoreOptions
from tests.support.cloud import next_envelopes, running_cloud
from tests.support.postgres import NoPostgresError, PostgresServer

VOLATILE = StoreOptions(require_durable=False)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own, which waits for the disk, and may be ended."""
    try:
        made = PostgresServer.create(durable=True)
    except NoPostgresError as error:
        pytest.skip(str(error))
    yield made
    made.remove()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    with server.database() as fresh:
        yield fresh


def database_of(url: str) -> str:
    return url.split("@/")[1].split("?", maxsplit=1)[0]


def refused(url: str) -> SetupError:
    with pytest.raises(SetupError) as caught:
        Store.open(url)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def test_who_is_not_let_in_is_told_so(server: PostgresServer, url: str) -> None:
    server.execute("CREATE ROLE secured LOGIN PASSWORD 'right-one'")
    database = database_of(url)
    server.execute(f"GRANT CREATE ON DATABASE {database} TO secured")
    for wrong in ("wrong-one", ""):
        error = refused(server.url(database, user="secured", password=wrong))
        assert error.code == "DATABASE_LOGIN"
        assert "wrong-one" not in f"{error.message} {error.hint}"
    assert refused(server.url(database, user="nobody-here")).code == "DATABASE_LOGIN"
    assert refused(server.url("nothing_here")).code == "DATABASE_MISSING"
    # Let in, but without the right to make tables.
    error = refused(server.url(database, user="secured", password="right-one"))
    assert error.code == "DATABASE_PRIVILEGE"
    server.execute("GRANT ALL ON SCHEMA public TO secured", database=database)
    Store.open(server.url(database, user="secured", password="right-one")).close()
    server.execute("DROP OWNED BY secured", database=database)
    server.execute(f"REVOKE ALL ON DATABASE {database} FROM secured")
    server.execute("DROP ROLE secured")


def test_a_server_that_may_forget_is_refused(server: PostgresServer, url: str) -> None:
    Store.open(url).close()
    server.execute(f"ALTER DATABASE {database_of(url)} SET synchronous_commit = off")
    error = refused(url)
    assert error.code == "DATABASE_NOT_DURABLE"
    assert "synchronous_commit=off" in error.message
    Store.open(url, VOLATILE).close()


def test_a_server_without_fsync_is_refused(postgres_url: str) -> None:
    error = refused(postgres_url)
    assert error.code == "DATABASE_NOT_DURABLE"
    assert "fsync=off" in error.message
    Store.open(postgres_url, VOLATILE).close()


def test_a_server_that_becomes_forgetful_gets_no_more_commits(server: PostgresServer, url: str) -> None:
    """Each new connection is asked, not the first one alone."""
    store = Store.open(url)
    server.execute(f"ALTER DATABASE {database_of(url)} SET synchronous_commit = off")
    server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_of(url)}'"
    )
    with pytest.raises(SetupError) as caught:
        store.run(lambda connection: connection.execute(text("SELECT 1")))
    assert caught.value.code == "DATABASE_NOT_DURABLE"
    store.close()


def make_things(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(text("CREATE TABLE things (name VARCHAR(9) PRIMARY KEY, number BIGINT)"))
        connection.execute(text("INSERT INTO things VALUES ('a', 0), ('b', 0)"))


def bump(connection: Connection, name: str) -> None:
    connection.execute(text("UPDATE things SET number = number + 1 WHERE name = :name"), {"name": name})


def numbers(store: Store) -> list[int]:
    with store.reading() as connection:
        return list(connection.execute(text("SELECT number FROM things ORDER BY name")).scalars())


def test_of_a_deadlock_both_go_through_in_the_end(url: str) -> None:
    store = Store.open(url)
    make_things(store)
    both = threading.Barrier(2)
    first_run = threading.local()

    def cross(names: str) -> None:
        def work(connection: Connection) -> None:
            bump(connection, names[0])
            if not getattr(first_run, "over", False):
                first_run.over = True
                both.wait(30)
            bump(connection, names[1])

        store.run(work)

    threads = [threading.Thread(target=cross, args=(names,)) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert numbers(store) == [2, 2]
    store.close()


def test_a_serialisation_failure_runs_the_whole_work_again(url: str) -> None:
    """As CockroachDB and YugabyteDB tell it: what was read is read anew."""
    store = Store.open(url)
    make_things(store)
    seen: list[int] = []

    def work(connection: Connection) -> None:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        seen.append(connection.execute(text("SELECT number FROM things WHERE name = 'a'")).scalar_one())
        if len(seen) == 1:
            other = threading.Thread(target=lambda: store.run(lambda beside: bump(beside, "a")))
            other.start()
            other.join(30)
        bump(connection, "a")

    store.run(work)
    assert seen == [0, 1]
    assert numbers(store) == [2, 0]
    store.close()


def test_a_server_that_was_started_anew_is_used_again(server: PostgresServer, url: str) -> None:
    store = Store.open(url)
    make_things(store)
    runs = 0

    def work(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        bump(connection, "a")
        if runs == 1:  # in the middle of a transaction, and all idle connections with it
            server.stop(signal.SIGQUIT)
            server.start()
        bump(connection, "b")

    with store.reading(), store.reading():
        pass  # two connections wait in the pool
    store.run(work)
    assert runs == 2
    assert numbers(store) == [1, 1]
    with store.reading(), store.reading():
        pass
    store.close()


def test_while_the_server_is_away_calls_fail_and_afterwards_they_do_not(
    server: PostgresServer, url: str
) -> None:
    store = Store.open(url)
    make_things(store)
    server.stop(signal.SIGINT)
    try:
        with pytest.raises(DBAPIError):
            store.run(lambda connection: bump(connection, "a"))
        with pytest.raises(DBAPIError), store.reading():
            pass
        assert refused(url).code == "DATABASE_AWAY"
    finally:
        server.start()
    store.run(lambda connection: bump(connection, "a"))
    assert numbers(store) == [1, 0]
    store.close()


def test_single_rows_are_read_again_once_the_server_is_back(server: PostgresServer, url: str) -> None:
    store = Store.open(url)

    async def run() -> None:
        assert await store.glance(accounts.STATUS, "nobody") is None
        server.stop(signal.SIGINT)
        try:
            for _ in range(2):
                with pytest.raises(OperationalError):
                    await store.glance(accounts.STATUS, "nobody")
        finally:
            server.start()
        assert await store.glance(accounts.STATUS, "nobody") is None

    asyncio.run(run())
    store.close()


def test_a_server_with_other_keys_does_not_write_into_the_log(tmp_path: Path, postgres_url: str) -> None:
    with running_cloud(tmp_path / "one", database=postgres_url) as cloud:
        cloud.enroll()
    with pytest.raises(SetupError) as caught, running_cloud(tmp_path / "two", database=postgres_url):
        pass
    assert caught.value.code == "LOG_INCONSISTENT"


@pytest.mark.parametrize("folder", ["data", "keys"])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder).chmod(0o777)
    keys = tmp_path / "keys" if folder == "keys" else None
    with pytest.raises(SetupError) as caught, running_cloud(tmp_path / "data", keys=keys):
        pass
    assert caught.value.code == "DATA_UNUSABLE"
    assert str(tmp_path / folder) in caught.value.message


def test_keys_and_media_lie_where_the_settings_say(tmp_path: Path) -> None:
    keys, media = tmp_path / "keys", tmp_path / "media"
    with running_cloud(tmp_path / "data", keys=keys, media=media) as cloud:
        device = cloud.enroll()
        assert cloud.deliver(device, next_envelopes(device, 1))[0].receipt
        assert (keys / "keys" / "log.key").exists()
        assert not (tmp_path / "data" / "keys").exists()
        assert cloud.root_pem == (keys / "root.pem").read_bytes()
