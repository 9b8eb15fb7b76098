"""The database: durability settings, transactions, and the log's one writer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from cloud.errors import Reason, ServiceError, SetupError
from cloud.log.sequencer import LogSigner, LogWriter, Sequencer
from cloud.sources import Sources
from cloud.store import log as log_rows
from cloud.store.database import Store
from verifield.merkle import MerkleTree, check_inclusion, leaf_hash
from verifield.note import check_checkpoint

KEY = bytes(range(32))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


@pytest.fixture
def signer() -> LogSigner:
    return LogSigner("verifield/log/test", Ed25519PrivateKey.from_private_bytes(KEY))


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
        log_rows.add_leaves(connection, 0, leaves("a"))
    again = Store.open(url)
    with again.reading() as connection:
        assert [leaf.leaf_hash for leaf in log_rows.all_leaves(connection)] == leaves("a")
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
        log_rows.add_leaves(connection, 0, leaves("a"))
        log_rows.add_leaves(connection, 0, leaves("b"))

    with pytest.raises(IntegrityError), store.writing() as connection:
        write(connection)
    with store.reading() as connection:
        assert list(log_rows.all_leaves(connection)) == []


def test_errors_do_not_show_what_was_written(store: Store) -> None:
    with pytest.raises(IntegrityError) as caught, store.writing() as connection:
        connection.execute(
            text("INSERT INTO receipts VALUES (:a, 'nobody', :a, 1, NULL)"), {"a": b"very private bytes"}
        )
    assert "very private" not in str(caught.value)


def test_the_sequencer_publishes_what_it_committed(store: Store, signer: LogSigner) -> None:
    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        assert sequencer.published.size == 0
        firsts = await asyncio.gather(
            *(sequencer.transact(lambda _, log, n=n: log.append(leaves(f"{n}a", f"{n}b"))) for n in range(5))
        )
        assert sorted(firsts) == [0, 2, 4, 6, 8]
        assert sequencer.published.size == 10
        checkpoint = check_checkpoint(sequencer.published.note, key=signer.key.public_key())
        size, proof = sequencer.inclusion_proof(firsts[3])
        check_inclusion(leaf=leaves("3a")[0], index=firsts[3], size=size, proof=proof, root=checkpoint.root)
        again = Sequencer.open(store, signer, Sources.system())
        assert again.published == sequencer.published

    asyncio.run(main())


def test_a_failed_transaction_is_not_in_the_log(store: Store, signer: LogSigner) -> None:
    def fail(_: Connection, log: LogWriter) -> None:
        log.append(leaves("lost-1", "lost-2"))
        assert log.checkpoint.size == 3
        raise ServiceError(Reason.STORE_UNAVAILABLE, "made up")

    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        await sequencer.transact(lambda _, log: log.append(leaves("kept")))
        before = sequencer.published
        with pytest.raises(ServiceError):
            await sequencer.transact(fail)
        assert sequencer.published == before
        with pytest.raises(ServiceError):
            sequencer.inclusion_proof(1)
        assert await sequencer.transact(lambda _, log: log.append(leaves("next"))) == 1
        expected = MerkleTree()
        for leaf in leaves("kept", "next"):
            expected.append(leaf)
        checkpoint = check_checkpoint(sequencer.published.note, key=signer.key.public_key())
        assert (checkpoint.size, checkpoint.root) == (2, expected.root())

    asyncio.run(main())


def fail_once_appended(_: Connection, log: LogWriter) -> None:
    log.append(leaves("lost"))
    raise ServiceError(Reason.STORE_UNAVAILABLE, "made up")


def test_a_log_that_was_changed_while_it_is_served_is_never_signed_again(
    store: Store, signer: LogSigner
) -> None:
    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        await sequencer.transact(lambda _, log: log.append(leaves("a", "b")))
        with store.writing() as connection:
            change = text("UPDATE log_leaves SET leaf_hash = :leaf WHERE log_index = 0")
            connection.execute(change, {"leaf": leaves("x")[0]})
        with pytest.raises(ServiceError):
            await sequencer.transact(fail_once_appended)
        for _ in range(3):
            with pytest.raises(SetupError) as caught:
                await sequencer.transact(lambda _, log: log.append(leaves("c")))
            assert caught.value.code == "LOG_INCONSISTENT"
        assert sequencer.published.size == 2

    asyncio.run(main())


def test_a_log_that_was_set_back_while_it_is_served_never_goes_backwards(
    store: Store, signer: LogSigner
) -> None:
    """An older copy is sound in itself, but what was published since would be denied."""

    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        await sequencer.transact(lambda _, log: log.append(leaves("a")))
        await sequencer.transact(lambda _, log: log.append(leaves("b")))
        with store.writing() as connection:
            connection.execute(text("DELETE FROM checkpoints WHERE tree_size = 2"))
            connection.execute(text("DELETE FROM log_leaves WHERE log_index = 1"))
        with pytest.raises(ServiceError):
            await sequencer.transact(fail_once_appended)
        with pytest.raises(SetupError) as caught:
            await sequencer.transact(lambda _, log: log.append(leaves("c")))
        assert caught.value.code == "LOG_INCONSISTENT"
        assert sequencer.published.size == 2

    asyncio.run(main())


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


def test_a_caller_that_goes_away_does_not_break_the_order(store: Store, signer: LogSigner) -> None:
    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        gone = asyncio.ensure_future(sequencer.transact(lambda _, log: log.append(leaves("gone"))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        first = await sequencer.transact(lambda _, log: log.append(leaves("next")))
        assert sequencer.published.size == first + 1
        assert Sequencer.open(store, signer, Sources.system()).published == sequencer.published

    asyncio.run(main())


def test_a_caller_that_is_cancelled_again_and_again_lets_nobody_in_between(
    store: Store, signer: LogSigner
) -> None:
    """As at the end of a service, which cancels its calls and then all its tasks."""
    began, go = threading.Event(), threading.Event()
    running = 0

    def slow(_: Connection, log: LogWriter) -> int:
        nonlocal running
        running += 1
        began.set()
        assert go.wait(30)
        first = log.append(leaves("slow"))
        running -= 1
        return first

    def check(_: Connection, log: LogWriter) -> int:
        assert running == 0
        return log.append(leaves("next"))

    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        gone = asyncio.ensure_future(sequencer.transact(slow))
        await asyncio.to_thread(began.wait, 30)
        for _ in range(3):
            gone.cancel()
            await asyncio.sleep(0)
        after = asyncio.ensure_future(sequencer.transact(check))
        await asyncio.sleep(0)
        go.set()
        assert await after == 1
        assert sequencer.published.size == 2

    asyncio.run(main())


def test_closing_waits_for_the_transaction_that_runs(store: Store, signer: LogSigner) -> None:
    began, go = threading.Event(), threading.Event()

    def slow(_: Connection, log: LogWriter) -> int:
        began.set()
        assert go.wait(30)
        return log.append(leaves("slow"))

    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        writing = asyncio.ensure_future(sequencer.transact(slow))
        await asyncio.to_thread(began.wait, 30)
        writing.cancel()
        closing_it = asyncio.ensure_future(asyncio.to_thread(sequencer.close))
        done, _ = await asyncio.wait([closing_it], timeout=0.05)
        assert not done
        go.set()
        await closing_it
        assert sequencer.published.size == 1

    asyncio.run(main())


def test_a_committed_leaf_is_proved_once_its_transaction_has_settled(
    store: Store, signer: LogSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, go = threading.Event(), threading.Event()

    async def main() -> None:
        sequencer = Sequencer.open(store, signer, Sources.system())
        writing = store.writing

        @contextmanager
        def slow_return() -> Iterator[Connection]:
            with writing() as connection:
                yield connection
            committed.set()
            assert go.wait(30)

        monkeypatch.setattr(store, "writing", slow_return)
        append = asyncio.ensure_future(sequencer.transact(lambda _, log: log.append(leaves("a"))))
        await asyncio.to_thread(committed.wait, 30)
        assert sequencer.published.size == 0
        settled = asyncio.ensure_future(sequencer.settled())
        await asyncio.sleep(0)
        go.set()
        assert (await settled).size == 1
        assert sequencer.inclusion_proof(0) == (1, [])
        await append

    asyncio.run(main())


def test_another_key_or_name_does_not_open_the_log(store: Store, signer: LogSigner) -> None:
    Sequencer.open(store, signer, Sources.system())
    for other in (
        LogSigner(signer.origin, Ed25519PrivateKey.generate()),
        LogSigner("verifield/log/other", signer.key),
    ):
        with pytest.raises(SetupError) as caught:
            Sequencer.open(store, other, Sources.system())
        assert caught.value.code == "LOG_INCONSISTENT"
