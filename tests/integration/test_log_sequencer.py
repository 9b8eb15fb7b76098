"""The log's groups on both engines: one checkpoint for many devices, and no harm to others by one of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from cloud.errors import Reason, ServiceError, SetupError
from cloud.log import group as groups
from cloud.log import sequencer as sequencers
from cloud.log.sequencer import Entry, LogSigner, SignedCheckpoint
from cloud.log.tiles import TileReader
from cloud.log.view import View, read_view
from cloud.store import log as rows
from cloud.store.retries import MAX_RUNS, Retries
from cloud.telemetry.metrics import Metrics
from tests.support.databases import migrated
from tests.support.logs import SIGNER, Log, Sealed, adding, leaves, many, open_log, sealed
from verifield.merkle import check_consistency, check_inclusion, inclusion_proof
from verifield.note import check_checkpoint

TURN_S = 30
NO_PAUSE = Retries(sleep=lambda _: None, chance=lambda: 0.5)


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def log(log_url: str) -> Iterator[Log]:
    with open_log(log_url, retries=NO_PAUSE) as opened:
        yield opened


class Gate:
    """A work that holds its group until it is let go, so that others gather behind it."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, _: Connection) -> Entry[Sealed]:
        self.began.set()
        assert self.go.wait(TURN_S)
        return Entry(leaves("gate"), sealed)


async def gathered(log: Log, *works: tuple[str, Callable[[Connection], Entry[Any]]]) -> list[Any]:
    """Run works that all wait before the first of them runs; faults are among the answers."""
    gate = Gate()
    first = asyncio.ensure_future(log.sequencer.transact(gate, key="gate"))
    await asyncio.to_thread(gate.began.wait, TURN_S)
    waiting = [asyncio.ensure_future(log.sequencer.transact(work, key=key)) for key, work in works]
    await asyncio.sleep(0)
    gate.go.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def note(connection: Connection, name: str) -> None:
    """Write a row that can be there once."""
    connection.execute(text("INSERT INTO feed_scopes (scope, seq) VALUES (:name, 1)"), {"name": name})


def noted(log: Log) -> list[str]:
    with log.store.reading() as connection:
        return list(connection.execute(text("SELECT scope FROM feed_scopes ORDER BY scope")).scalars())


def noting(name: str, *names: str) -> Callable[[Connection], Entry[Sealed]]:
    """A work that writes a row, and leaves."""

    def work(connection: Connection) -> Entry[Sealed]:
        note(connection, name)
        return Entry(leaves(*names), sealed)

    return work


def test_what_was_committed_is_published(log: Log) -> None:
    assert log.sequencer.published.size == 0
    done = log.run(*(log.append(f"device-{n}", f"{n}a", f"{n}b") for n in range(5)))
    assert sorted(one.first for one in done) == [0, 2, 4, 6, 8]
    published = log.sequencer.published
    assert published.size == 10
    root = check_checkpoint(published.note, key=SIGNER.key.public_key()).root
    for number, one in enumerate(done):
        size, proof = log.sequencer.inclusion_proof(one.first)
        check_inclusion(leaf=leaves(f"{number}a")[0], index=one.first, size=size, proof=proof, root=root)
    log.check()


def test_many_devices_share_one_checkpoint(log: Log) -> None:
    works = [(f"device-{n}", adding(*many(n, f"d{n}"))) for n in (3, 1, 2)]
    done = asyncio.run(gathered(log, *works))
    assert [one.first for one in done] == [1 + 1 + 2, 1, 2], "in the order of their keys"
    assert {one.checkpoint for one in done} == {log.sequencer.published}
    assert log.sizes() == [0, 1, 7]
    assert log.stored() == leaves("gate", *many(1, "d1"), *many(2, "d2"), *many(3, "d3"))
    log.check()


def test_without_leaves_nothing_is_signed(log: Log) -> None:
    log.run(log.append("a", "one"))
    before = log.sequencer.published
    [answer] = log.run(log.append("a"))
    assert answer == Sealed(1, before)
    assert log.sizes() == [0, 1]


def test_works_of_one_device_follow_each_other(log: Log) -> None:
    done = asyncio.run(gathered(log, *(("a", adding(name)) for name in "xyz"), ("b", adding("b"))))
    assert [one.checkpoint.size for one in done] == [3, 4, 5, 3]
    assert log.stored() == leaves("gate", "x", "b", "y", "z")


def test_leaves_carry_the_places_of_their_records(log: Log) -> None:
    place = ("device-1", 2, 7)
    log.run(log.sequencer.transact(adding("a", places=[place]), key="device-1"), log.append("x", "b"))
    with log.store.reading() as connection:
        found = {row.leaf_hash: row.place for row in rows.list_leaves(connection, 0)}
    assert found == dict(zip(leaves("a", "b"), [place, None], strict=True))
    with pytest.raises(ValueError, match="place"):
        Entry(leaves("a", "b"), sealed, [place])


# One that fails, and the others


def test_a_work_that_raises_is_undone_alone(log: Log) -> None:
    def fail(connection: Connection) -> Entry[Sealed]:
        note(connection, "lost")
        raise ServiceError(Reason.DEVICE_REVOKED, "made up")

    done = asyncio.run(gathered(log, ("a", noting("a", "a1")), ("b", fail), ("c", noting("c", "c1", "c2"))))
    assert [one.first for one in (done[0], done[2])] == [1, 2]
    assert isinstance(done[1], ServiceError)
    assert done[1].reason is Reason.DEVICE_REVOKED
    assert noted(log) == ["a", "c"]
    assert log.sizes() == [0, 1, 4], "the others shared one transaction all the same"
    log.check()


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO feed_scopes (scope, seq) VALUES ('there', 2)", IntegrityError),
        ("SELECT nothing FROM nowhere", (OperationalError, ProgrammingError)),
    ],
)
def test_what_the_database_refuses_is_its_callers_alone(log: Log, statement: str, error: Any) -> None:
    runs = 0

    def refused(connection: Connection) -> Entry[Sealed]:
        nonlocal runs
        runs += 1
        connection.execute(text(statement))
        return Entry(leaves("never"), sealed)

    log.run(log.sequencer.transact(noting("there"), key="x"))
    done = asyncio.run(gathered(log, ("a", noting("a", "a1")), ("b", refused), ("c", noting("c", "c1"))))
    assert [one.first for one in (done[0], done[2])] == [1, 2]
    assert isinstance(done[1], error)
    assert runs == 2, "once more apart: another work of its group might have been in its way"
    assert noted(log) == ["a", "c", "there"]
    log.check()


def test_a_work_that_was_alone_is_run_once_more(log: Log) -> None:
    """What was in its way may have come from another server, and be seen in the next run."""
    runs: list[str] = []
    [answer] = log.run(log.sequencer.transact(failing(1, "23505", runs, name="a"), key="a"))
    assert (answer.first, len(runs)) == (0, 2)
    runs.clear()
    with pytest.raises(OperationalError):
        log.run(log.sequencer.transact(failing(2, "23505", runs, name="a"), key="a"))
    assert len(runs) == 2
    assert log.stored() == leaves("a")
    log.check()


def test_a_seal_that_raises_takes_its_leaves_away_and_no_others(log: Log) -> None:
    def fail(connection: Connection, _first: int, _checkpoint: SignedCheckpoint) -> None:
        note(connection, "lost")
        raise ServiceError(Reason.RECORD_DAMAGED, "made up")

    done = asyncio.run(
        gathered(
            log,
            ("a", noting("a", "a1")),
            ("b", lambda _: Entry(leaves("b1", "b2"), fail)),
            ("c", adding("c1")),
        )
    )
    assert [one.first for one in (done[0], done[2])] == [1, 2]
    assert isinstance(done[1], ServiceError)
    assert log.stored() == leaves("gate", "a1", "c1")
    assert noted(log) == ["a"]
    log.check()


def test_works_that_only_meet_each_other_are_both_done(log: Log) -> None:
    """As two devices that deliver one attestation id: in the second run the other's row is there."""

    def first_only(name: str) -> Callable[[Connection], Entry[str]]:
        def work(connection: Connection) -> Entry[str]:
            there = connection.execute(text("SELECT 1 FROM feed_scopes WHERE scope = 'id'")).first()

            def seal(connection: Connection, first: int, checkpoint: SignedCheckpoint) -> str:
                if there is None:
                    note(connection, "id")
                return "second" if there else "first"

            return Entry([] if there else leaves(name), seal)

        return work

    done = asyncio.run(gathered(log, ("a", first_only("a")), ("b", first_only("b"))))
    assert done == ["first", "second"]
    assert log.stored() == leaves("gate", "a")
    log.check()


# Limits


def test_a_group_ends_at_its_number_of_leaves(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP_LEAVES", 4)
    works = [(name, adding(*many(2, name))) for name in "abcde"]
    done = asyncio.run(gathered(log, *works))
    assert [one.checkpoint.size for one in done] == [5, 5, 9, 9, 11]
    log.check()


def test_a_group_ends_at_its_number_of_works(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencers, "MAX_GROUP_WORKS", 2)
    done = asyncio.run(gathered(log, *((name, adding(name)) for name in "abcde")))
    assert [one.checkpoint.size for one in done] == [3, 3, 5, 5, 6]


def test_a_slow_work_delays_others_by_its_own_time_only(log_url: str) -> None:
    seconds = 0.0

    def slow(name: str, cost: float) -> Callable[[Connection], Entry[Sealed]]:
        def work(_: Connection) -> Entry[Sealed]:
            nonlocal seconds
            seconds += cost
            return Entry(leaves(name), sealed)

        return work

    limit = groups.MAX_GROUP_S
    with open_log(log_url, clock=lambda: seconds) as log:
        works = [
            ("a", slow("a", limit * 0.99)),
            ("b", slow("b", limit)),
            ("c", slow("c", 0)),
            ("d", slow("d", 0)),
        ]
        done = asyncio.run(gathered(log, *works))
        assert [one.checkpoint.size for one in done] == [3, 3, 5, 5]
        log.check()


def test_beyond_so_many_waiting_works_the_answer_is_busy(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 5
    monkeypatch.setattr(sequencers, "MAX_WAITING", most)
    with open_log(log_url) as log:
        done = asyncio.run(gathered(log, *((f"d{n}", adding(f"d{n}")) for n in range(most + 2))))
        refused = [one for one in done if isinstance(one, ServiceError)]
        assert [one.reason for one in refused] == [Reason.BUSY] * 2
        assert all(one.retry_s for one in refused), "the answer says when to come again"
        assert log.sequencer.published.size == 1 + most
        log.run(log.append("later", "later"))
        assert log.sequencer.published.size == 2 + most


# Meeting others


class Refusal(Exception):
    """As the drivers' errors: with an SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def failing(times: int, state: str, runs: list[str], *, name: str) -> Callable[[Connection], Entry[Sealed]]:
    def work(_: Connection) -> Entry[Sealed]:
        runs.append(name)
        if runs.count(name) <= times:
            raise OperationalError("made up", {}, Refusal(state))
        return Entry(leaves(name), sealed)

    return work


@pytest.mark.parametrize(("state", "cause"), [("40001", "serialization"), ("40P01", "deadlock")])
def test_a_group_that_met_others_is_run_again(log_url: str, state: str, cause: str) -> None:
    metrics = Metrics()
    runs: list[str] = []
    with open_log(log_url, retries=NO_PAUSE, metrics=metrics) as log:
        works = [("a", noting("a", "a1")), ("b", failing(3, state, runs, name="b"))]
        done = asyncio.run(gathered(log, *works))
        assert [one.first for one in done] == [1, 2]
        assert noted(log) == ["a"]
        log.check()
    retries = metrics.registry.get_sample_value("verifield_sequencer_retries_total", {"cause": cause})
    assert (len(runs), retries) == (4, 3)


def test_it_is_not_run_again_for_ever(log: Log) -> None:
    runs: list[str] = []
    works = [("a", noting("a", "a1")), ("b", failing(99, "40001", runs, name="b"))]
    done = asyncio.run(gathered(log, *works))
    assert [one.reason for one in done] == [Reason.STORE_UNAVAILABLE] * 2
    assert len(runs) == MAX_RUNS
    assert noted(log) == []
    log.run(log.append("a", "next"))
    assert log.stored() == leaves("gate", "next")


def test_a_head_that_was_moved_meanwhile_fences_the_group_off(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = iter([False, False])
    move = rows.move_head

    def lose(connection: Connection, head: rows.HeadRow, *, from_size: int) -> bool:
        return move(connection, head, from_size=from_size) and next(moved, True)

    monkeypatch.setattr(rows, "move_head", lose)
    [answer] = log.run(log.append("a", "one"))
    assert answer.first == 0
    assert log.stored() == leaves("one")
    log.check()
    monkeypatch.undo()
    with log.store.writing() as connection:
        assert not rows.move_head(connection, rows.HeadRow(9, "x"), from_size=2)
        assert rows.get_head(connection) == rows.HeadRow(1, log.sequencer.published.note)


def test_a_commit_that_fails_leaves_nothing_and_the_next_one_goes_on(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = log.store.writing

    @contextmanager
    def broken() -> Iterator[Connection]:
        with writing() as connection:
            yield connection
            raise OSError("made up")

    log.run(log.append("a", "kept"))
    before = log.sequencer.published
    monkeypatch.setattr(log.store, "writing", broken)
    with pytest.raises(OSError, match="made up"):
        log.run(log.append("a", "lost"))
    monkeypatch.undo()
    assert log.sequencer.published == before
    log.run(log.append("a", "next"))
    assert log.stored() == leaves("kept", "next")
    log.check()


def test_a_commit_whose_answer_was_lost_is_caught_up_with(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = log.store.writing

    @contextmanager
    def cut_off() -> Iterator[Connection]:
        with writing() as connection:
            yield connection
        raise OperationalError("COMMIT", {}, Refusal("08006"))

    monkeypatch.setattr(log.store, "writing", cut_off)
    with pytest.raises(OperationalError):
        log.run(log.append("a", "unknown"))
    monkeypatch.undo()
    assert log.sequencer.published.size == 0
    [answer] = log.run(log.append("a", "next"))
    assert answer.first == 1
    assert log.stored() == leaves("unknown", "next")
    log.check()


# Callers and ends


def test_a_caller_that_goes_away_does_not_break_the_order(log: Log) -> None:
    gate, ran = Gate(), []

    def count(_: Connection) -> Entry[None]:
        ran.append(1)
        return Entry([], lambda *_: None)

    async def main() -> None:
        running = asyncio.ensure_future(log.sequencer.transact(gate, key="a"))
        await asyncio.to_thread(gate.began.wait, TURN_S)
        waiting = asyncio.ensure_future(log.sequencer.transact(count, key="a"))
        after = asyncio.ensure_future(log.append("a", "next"))
        await asyncio.sleep(0)
        for gone in (running, waiting) * 3:
            gone.cancel()
            await asyncio.sleep(0)
        gate.go.set()
        assert (await after).first == 1

    asyncio.run(main())
    assert not ran, "nobody waited for it any more"
    assert log.stored() == leaves("gate", "next")


def test_closing_ends_the_group_that_runs_and_refuses_the_rest(log_url: str) -> None:
    async def main(log: Log) -> None:
        gate = Gate()
        running = asyncio.ensure_future(log.sequencer.transact(gate, key="a"))
        await asyncio.to_thread(gate.began.wait, TURN_S)
        waiting = [asyncio.ensure_future(log.append(key, "never")) for key in "ab"]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(asyncio.to_thread(log.sequencer.close))
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert not closing.done()
        gate.go.set()
        await closing
        assert (await running).first == 0
        late = await asyncio.gather(log.append("c", "late"), return_exceptions=True)
        reasons = [one.reason for one in refused + late if isinstance(one, ServiceError)]
        assert reasons == [Reason.STORE_UNAVAILABLE] * 3
        assert await log.sequencer.settled() == log.sequencer.published

    with open_log(log_url) as log:
        asyncio.run(main(log))
        assert log.stored() == leaves("gate")
        log.check()


def test_a_committed_leaf_is_proved_once_its_group_has_settled(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, go = threading.Event(), threading.Event()
    writing = log.store.writing

    @contextmanager
    def slow_return() -> Iterator[Connection]:
        with writing() as connection:
            yield connection
        committed.set()
        assert go.wait(TURN_S)

    async def main() -> None:
        append = asyncio.ensure_future(log.append("a", "a"))
        await asyncio.to_thread(committed.wait, TURN_S)
        assert log.sequencer.published.size == 0
        settled = asyncio.ensure_future(log.sequencer.settled())
        await asyncio.sleep(0)
        go.set()
        assert (await settled).size == 1
        assert log.sequencer.inclusion_proof(0) == (1, [])
        await append

    monkeypatch.setattr(log.store, "writing", slow_return)
    asyncio.run(main())


# Growing over tiles, and starting again


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 600])
def test_a_log_is_opened_again_as_it_was(log_url: str, size: int) -> None:
    with open_log(log_url) as log:
        log.run(log.append("a", *many(size)))
        log.run(log.append("a", "more"))
        published = log.sequencer.published
    with open_log(log_url) as log:
        assert log.sequencer.published == published
        log.run(log.append("a", *many(300, "later")))
        tree = log.tree()
        assert tree.size == size + 301
        for index in {0, size // 2, size, size + 300}:
            for of in {index + 1, size + 1, size + 301}:
                if index < of:
                    assert log.sequencer.inclusion_proof(index, of) == (of, tree.inclusion_proof(index, of))
        for first in {0, 1, size, size + 1, size + 301}:
            _, proof = log.sequencer.consistency_proof(first)
            check_consistency(
                first_size=first,
                first_root=tree.root(first),
                second_size=tree.size,
                second_root=tree.root(),
                proof=proof,
            )
        log.check()


def test_tiles_are_those_of_the_tree(log: Log) -> None:
    log.run(log.append("a", *many(200)), log.append("b", *many(400, "other")))
    tree = log.tree()
    for level, index, width, count in (
        (0, 0, 0, 256),
        (0, 0, 9, 9),
        (0, 2, 88, 88),
        (1, 0, 2, 2),
        (1, 0, 1, 1),
    ):
        assert log.sequencer.tile(level, index, width) == tree.nodes(8 * level, 256 * index, count)
    for bad in (
        (0, 2, 0),
        (0, 2, 89),
        (0, 3, 1),
        (1, 0, 3),
        (1, 0, 0),
        (2, 0, 1),
        (0, 0, 256),
        (7, 2**63, 1),
        (8, 0, 1),
    ):
        with pytest.raises(ServiceError) as caught:
            log.sequencer.tile(*bad)
        assert caught.value.reason is Reason.LOG_RANGE, bad


def test_a_start_reads_the_end_of_the_log_only(log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_log(log_url) as log:
        log.run(log.append("a", *many(600)))
    asked = []
    read = rows.leaf_hashes

    def reading(connection: Connection, first: int, last: int) -> Iterator[list[bytes]]:
        asked.append((first, last))
        return read(connection, first, last)

    monkeypatch.setattr(rows, "leaf_hashes", reading)
    with open_log(log_url) as log:
        assert log.sequencer.published.size == 600
    assert asked == [(512, 600)]


def test_so_many_tiles_stay_in_memory(log_url: str) -> None:
    with open_log(log_url) as log:
        log.run(log.append("a", *many(1100)))
        view = read_whole_view(log)
        reader, tree = TileReader(log.store, kept=2), log.tree()
        node = reader.nodes(view)
        for index in (0, 300, 600, 900, 1099, 0):
            assert inclusion_proof(index, 1100, node) == tree.inclusion_proof(index, 1100)
            assert len(reader._tiles) <= 2
        assert list(reader._tiles)[-1] == (0, 0), "the last one used"


def read_whole_view(log: Log) -> View:
    with log.store.reading() as connection:
        view = read_view(connection, SIGNER)
    assert view is not None
    return view


def test_a_reader_that_began_before_a_tile_was_full_is_no_alarm(log: Log) -> None:
    log.run(log.append("a", *many(200)))
    with log.store.reading() as connection:
        assert rows.get_head(connection) is not None  # from here on it sees nothing new
        log.run(log.append("a", *many(200, "more")))
        size, proof = log.sequencer.inclusion_proof(3, 200, connection=connection)
        assert rows.get_tile(connection, 0, 0) is None
    assert (size, proof) == (200, log.tree().inclusion_proof(3, 200))
    assert log.sequencer.fault is None


def test_outside_the_published_tree_there_are_no_proofs(log: Log) -> None:
    log.run(log.append("a", "a", "b"))
    for ask in (
        lambda: log.sequencer.inclusion_proof(2),
        lambda: log.sequencer.inclusion_proof(1, 1),
        lambda: log.sequencer.inclusion_proof(0, 3),
        lambda: log.sequencer.consistency_proof(3),
        lambda: log.sequencer.consistency_proof(0, 3),
        lambda: log.sequencer.consistency_proof(2, 1),
    ):
        with pytest.raises(ServiceError) as caught:
            ask()
        assert caught.value.reason is Reason.LOG_RANGE


def test_another_key_or_name_does_not_open_the_log(log_url: str) -> None:
    with open_log(log_url):
        pass
    for other in (
        LogSigner(SIGNER.origin, Ed25519PrivateKey.generate()),
        LogSigner("verifield/log/other", SIGNER.key),
    ):
        with pytest.raises(SetupError) as caught, open_log(log_url, signer=other):
            pass
        assert caught.value.code == "LOG_INCONSISTENT"
