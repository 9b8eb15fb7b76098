"""One live account for each person, one holder for each identifier, also while the index key is rotated."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import SEALED, Personal
from cloud.accounts.states import State
from cloud.errors import ServiceError
from cloud.persons import Persons
from cloud.privacy.ring import INDEX, KeyRing
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import account_identifiers, accounts
from cloud.store.sealed import count_blinds, renew_blinds
from tests.support.accounts import Citizen, new_citizen

WAIT_S = 20.0


class Server:
    """One of the servers of a database: what it is made of, over the keys that all share."""

    def __init__(self, url: str, keys: Path) -> None:
        self.sources = Sources.system()
        self.store = Store.open(url, StoreOptions(require_durable=False))
        self.ring = KeyRing.open(keys, now_us=0, random_bytes=secrets.token_bytes)
        self.accounts = Accounts(Persons(self.ring, self.sources), self.sources)

    def make(self, connection: Connection, person: Citizen) -> str:
        personal = Personal(**{name: getattr(person, name) for name in Personal.__dataclass_fields__})
        account_id = self.sources.uuid7()
        create(connection, self.accounts, self.sources, Wanted(account_id, personal, State.DRAFT))
        return account_id

    def rotate(self) -> None:
        self.ring.rotate(INDEX, now_us=to_us(self.sources.now()), random_bytes=secrets.token_bytes)

    def reseal(self) -> None:
        for table in SEALED:
            while self.store.run(
                lambda connection, table=table: renew_blinds(connection, table, self.ring, limit=7)
            ):
                pass

    def live(self) -> int:
        with self.store.reading() as connection:
            query = select(func.count()).select_from(accounts).where(accounts.c.state != State.DEREGISTERED)
            return int(connection.execute(query).scalar_one())


@contextmanager
def servers(url: str, keys: Path, count: int = 2) -> Iterator[list[Server]]:
    made = [Server(url, keys) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            one.store.close()


def keys_of(folder: Path) -> Path:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    return keys


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except ServiceError as error:
        return error.reason.value
    return ""


SAME = [
    pytest.param(
        lambda one: replace(new_citizen(), id_number=one.id_number), "ACCOUNT_EXISTS", id="id number"
    ),
    pytest.param(lambda one: replace(new_citizen(), phone=one.phone), "ACCOUNT_PHONE_TAKEN", id="phone"),
    pytest.param(
        lambda one: replace(new_citizen(), login_name=one.login_name), "LOGIN_NAME_TAKEN", id="login name"
    ),
]


@pytest.mark.parametrize(("like", "reason"), SAME)
@pytest.mark.req("R065")
def test_who_began_before_a_rotation_and_who_began_after_it_are_not_both_let_in(
    database_url: str, tmp_path: Path, like: Callable[[Citizen], Citizen], reason: str
) -> None:
    """The first one is written with the old key and not yet committed when the second one looks."""
    first = new_citizen(login_name="one-of-two")
    rotated, go_on = threading.Event(), threading.Event()
    with servers(database_url, keys_of(tmp_path)) as (one, two), ThreadPoolExecutor(2) as pool:

        def slow(connection: Connection) -> None:
            one.make(connection, first)
            if not rotated.is_set():
                two.rotate()
                rotated.set()
                go_on.wait(0.7)

        early = pool.submit(outcome, lambda: one.store.run(slow))
        assert rotated.wait(WAIT_S)
        late = pool.submit(
            outcome, lambda: two.store.run(lambda connection: two.make(connection, like(first)))
        )
        outcomes = {early.result(WAIT_S), late.result(WAIT_S)}
        assert outcomes == {"", reason}
        assert one.live() == 1
        one.reseal()
        assert one.live() == 1


@pytest.mark.req("R065")
def test_who_looked_with_the_old_key_alone_looks_again_behind_the_lock(
    database_url: str, tmp_path: Path
) -> None:
    """The second one is committed, with the new key, between the first one's look and its writing."""
    person = new_citizen()
    with servers(database_url, keys_of(tmp_path)) as (one, two):
        vault, turns = one.accounts.vault, iter(range(100))
        candidates = vault.identifier_keys

        def late(identifier: str) -> list[bytes]:
            found = candidates(identifier)
            if not next(turns):
                two.rotate()
                if database_url.startswith("postgresql"):  # SQLite lets nobody else write meanwhile
                    two.store.run(lambda connection: two.make(connection, person))
            return found

        vault.identifier_keys = late  # type: ignore[method-assign]
        second = replace(new_citizen(), id_number=person.id_number)
        told = outcome(lambda: one.store.run(lambda connection: one.make(connection, second)))
        assert told == ("ACCOUNT_EXISTS" if database_url.startswith("postgresql") else "")
        assert one.live() == 1


@pytest.mark.req("R065")
def test_of_many_registrations_while_keys_rotate_and_are_resealed_one_lives(
    database_url: str, tmp_path: Path
) -> None:
    people = [new_citizen() for _ in range(6)]
    with servers(database_url, keys_of(tmp_path), 4) as made, ThreadPoolExecutor(6) as pool:
        stop = threading.Event()

        def turn() -> None:
            for _ in range(3):
                made[0].rotate()
                made[0].reseal()
            stop.set()

        def register(server: Server, person: Citizen) -> str:
            return outcome(lambda: server.store.run(lambda connection: server.make(connection, person)))

        turning = pool.submit(turn)
        tries = [
            (
                person.id_number,
                pool.submit(register, server, replace(new_citizen(), id_number=person.id_number)),
            )
            for person in people
            for server in made[1:]
            for _ in range(3)
        ]
        by_person: dict[str, list[str]] = {}
        for number, done in tries:
            by_person.setdefault(number, []).append(done.result(60))
        turning.result(60)
        assert all(sorted(told) == [""] + ["ACCOUNT_EXISTS"] * 8 for told in by_person.values())
        made[0].reseal()
        assert made[0].live() == len(people)
        with made[0].store.reading() as connection:
            assert set(count_blinds(connection, SEALED)) == {made[0].ring.current(INDEX).version}
            keys = connection.execute(select(account_identifiers.c.key)).scalars().all()
            assert len(set(map(bytes, keys))) == len(keys) == 2 * len(people)
            for person in people:
                assert made[1].accounts.find_live(connection, person.id_number) is not None
