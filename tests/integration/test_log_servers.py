"""Several servers that extend one log on one PostgreSQL: nothing lost, nothing doubled, one history."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cloud.errors import Reason, ServiceError
from cloud.log import group as groups
from cloud.log.sequencer import Entry, SignedCheckpoint
from cloud.store.retries import Retries
from tests.support.databases import migrated
from tests.support.logs import Log, Sealed, adding, leaves, many, open_log, sealed
from tests.support.postgres import shared_server
from verifield.merkle import check_consistency
from verifield.note import parse_checkpoint

DEVICES = 6
ROUNDS = 8
CUTS = 10


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with migrated("postgresql", tmp_path) as found:
        yield found


@contextmanager
def servers(url: str, count: int = 2) -> Iterator[list[Log]]:
    chance = random.Random(7)
    retries = Retries(sleep=lambda _: None, chance=chance.random)
    with ExitStack() as stack:
        yield [stack.enter_context(open_log(url, retries=retries)) for _ in range(count)]


def delivering(device: int, number: int, count: int) -> Callable[[Connection], Entry[Sealed]]:
    """As a delivery: it locks its device, moves it on by one, and appends some leaves once."""
    names = [f"{device}-{number}-{one}" for one in range(count)]

    def work(connection: Connection) -> Entry[Sealed]:
        values = {"name": f"device-{device}"}
        row = connection.execute(
            text("SELECT seq FROM feed_scopes WHERE scope = :name FOR UPDATE"), values
        ).one()
        if row.seq > number:  # it came through after all: only its answer was lost
            return Entry([], sealed)

        def seal(connection: Connection, first: int, checkpoint: SignedCheckpoint) -> Sealed:
            connection.execute(text("UPDATE feed_scopes SET seq = seq + 1 WHERE scope = :name"), values)
            return Sealed(first, checkpoint)

        return Entry(leaves(*names), seal)

    return work


def add_devices(log: Log) -> None:
    for number in range(DEVICES):
        log.execute("INSERT INTO feed_scopes (scope, seq) VALUES (:name, 0)", name=f"device-{number}")


async def deliver(
    logs: list[Log], device: int, chance: random.Random, answered: Callable[[], bool] = lambda: True
) -> list[str]:
    """One batch after the other, each to any server, again where the answer says nothing.

    So many batches, and more until ``answered``, which is told of each answer, has enough.
    """
    sent: list[str] = []
    for number in itertools.count():
        count = chance.choice([0, 1, 2, 40])
        while True:
            log = chance.choice(logs)
            work = delivering(device, number, count)
            try:
                done = await log.sequencer.transact(work, key=f"device-{device}")
            except DBAPIError:
                continue
            except ServiceError as error:
                if error.reason is not Reason.STORE_UNAVAILABLE:
                    raise
                continue
            assert done.checkpoint.size >= done.first
            break
        sent += [f"{device}-{number}-{one}" for one in range(count)]
        if answered() and number >= ROUNDS:
            break
    return sent


def check_all(logs: list[Log], sent: list[list[str]]) -> None:
    """All leaves are in the log once, each device's in its order, and every checkpoint covers its leaves."""
    stored = logs[0].stored()
    assert Counter(stored) == Counter(leaf for names in sent for leaf in leaves(*names))
    at = {leaf: index for index, leaf in enumerate(stored)}
    for names in sent:
        places = [at[leaf] for leaf in leaves(*names)]
        assert places == sorted(places)
    logs[0].check()


def test_two_servers_extend_one_log_at_once(url: str) -> None:
    with servers(url) as logs:
        add_devices(logs[0])

        async def main() -> list[list[str]]:
            chance = random.Random(1)
            return await asyncio.gather(*(deliver(logs, device, chance) for device in range(DEVICES)))

        check_all(logs, asyncio.run(main()))
        assert len(logs[0].sizes()) > ROUNDS


def test_connections_that_are_cut_lose_and_double_nothing(url: str) -> None:
    """A server process that is killed leaves its database sessions the same way."""
    database = url.partition("@/")[2].partition("?")[0]
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
        f" WHERE datname = '{database}' AND state <> 'idle' ORDER BY random() LIMIT 1) AS one"
    )
    with servers(url) as logs:
        add_devices(logs[0])

        async def main() -> tuple[list[list[str]], int]:
            chance, answers, cuts = random.Random(2), asyncio.Semaphore(0), 0

            def answered() -> bool:
                answers.release()
                return cuts >= CUTS

            async def cutting() -> None:
                nonlocal cuts
                while True:
                    await answers.acquire()  # so many cuts as answers: all goes on meanwhile
                    [(count,)] = await asyncio.to_thread(shared_server().execute, cut)
                    cuts += count

            cutter = asyncio.ensure_future(cutting())
            works = (deliver(logs, device, chance, answered) for device in range(DEVICES))
            sent = await asyncio.gather(*works)
            cutter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cutter
            return sent, cuts

        sent, cuts = asyncio.run(main())
        assert cuts >= CUTS
        check_all(logs, sent)


def test_each_server_learns_what_the_other_has_committed(url: str) -> None:
    with servers(url) as (one, other):
        one.run(one.append("a", *many(300)))
        assert other.sequencer.published.size == 0
        assert asyncio.run(other.sequencer.catch_up()) == one.sequencer.published
        assert other.sequencer.published == one.sequencer.published
        other.run(other.append("b", *many(300, "other")))
        assert asyncio.run(one.sequencer.settled()) == other.sequencer.published
        tree = one.tree()
        for index in (0, 299, 300, 599):
            for log in (one, other):
                assert log.sequencer.inclusion_proof(index)[1] == tree.inclusion_proof(index, 600)
        # Without leaves of its own a group tells the newest checkpoint all the same.
        two = one.run(one.append("a", "two"))[0].checkpoint
        assert other.run(other.append("b")) == [Sealed(601, two)]
        assert other.sequencer.published == two


def test_a_server_that_stood_aside_continues_what_the_other_wrote(url: str) -> None:
    with servers(url) as (one, other):
        before = one.sequencer.published
        for number in range(3):
            other.run(other.append("b", *many(200, f"{number}")))
        [done] = one.run(one.append("a", "late"))
        assert done.first == 600
        tree = one.tree()
        points = [parse_checkpoint(point.note) for point in (before, done.checkpoint)]
        check_consistency(
            first_size=0,
            first_root=points[0].root,
            second_size=601,
            second_root=points[1].root,
            proof=one.sequencer.consistency_proof(0)[1],
        )
        assert points[1].root == tree.root()
        one.check()


def test_a_server_far_behind_catches_up_without_the_lock(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_CATCH_UP", 100)
    with servers(url) as (one, other):
        other.run(other.append("b", *many(100)))
        assert one.run(one.append("a", "within"))[0].first == 100
        other.run(other.append("b", *many(102, "more")))
        runs = 0

        def work(_: Connection) -> Entry[Sealed]:
            nonlocal runs
            runs += 1
            return Entry(leaves("behind"), sealed)

        [done] = one.run(one.sequencer.transact(work, key="a"))
        assert (done.first, runs) == (203, 2)
        one.check()


def test_servers_that_start_together_sign_one_empty_log(url: str) -> None:
    async def opened() -> list[Log]:
        def start() -> Log:
            return stack.enter_context(open_log(url))

        return await asyncio.gather(*(asyncio.to_thread(start) for _ in range(3)))

    with ExitStack() as stack:
        logs = asyncio.run(opened())
        assert len({log.sequencer.published for log in logs}) == 1
        logs[0].run(*(log.append(f"{number}", f"{number}") for number, log in enumerate(logs)))
        assert sorted(logs[0].stored()) == sorted(leaves("0", "1", "2"))
        logs[0].check()


def test_one_that_waits_for_a_lock_of_another_server_is_not_in_the_way(url: str) -> None:
    """Devices are locked in the order of their keys, and the head behind them: no two wait for each other."""
    with servers(url) as (one, other):
        add_devices(one)

        async def main() -> None:
            both = [
                log.sequencer.transact(delivering(device, 0, 2), key=f"device-{device}")
                for device in reversed(range(DEVICES))
                for log in (one, other)
            ]
            answers = await asyncio.gather(*both)
            assert len(answers) == 2 * DEVICES

        asyncio.run(main())
        assert len(one.stored()) == 2 * DEVICES
        one.check()


def test_a_log_that_another_key_extends_ends_the_service(url: str) -> None:
    """As where two installations were pointed at one database."""
    with servers(url) as (one, other):
        other.run(other.append("b", "b"))
        with one.store.writing() as connection:
            note = connection.execute(text("SELECT note FROM log_head")).scalar_one()
            lines = note.split("\n")
            lines[-2] = lines[-2][:-8] + "AAAAAAA="
            connection.execute(text("UPDATE log_head SET note = :note"), {"note": "\n".join(lines)})
        with pytest.raises(ServiceError) as caught:
            one.run(one.sequencer.transact(adding("a"), key="a"))
        assert caught.value.reason is Reason.LOG_INCONSISTENT
        assert one.stored() == leaves("b")
