"""A log that was changed from outside is not opened, and one that is changed meanwhile grows no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cloud.errors import Reason, ServiceError, SetupError
from tests.support.databases import migrated
from tests.support.logs import SIGNER, Log, leaves, many, open_log
from verifield.merkle import MerkleTree
from verifield.note import Checkpoint, sign_checkpoint

SIZE = 600


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated(request.param, tmp_path) as url:
        yield url


CHANGES: list[tuple[str, dict[str, object]]] = [
    # The last tile of each level: leaves from 512 on, and the roots of the two full tiles.
    ("UPDATE log_leaves SET leaf_hash = :hash WHERE log_index = 512", {"hash": bytes(32)}),
    ("UPDATE log_leaves SET leaf_hash = :hash WHERE log_index = 599", {"hash": bytes(31)}),
    ("DELETE FROM log_leaves WHERE log_index = 599", {}),
    ("DELETE FROM log_leaves WHERE log_index = 550", {}),
    ("INSERT INTO log_leaves (log_index, leaf_hash) VALUES (600, :hash)", {"hash": bytes(32)}),
    ("UPDATE log_tiles SET root = :hash WHERE tile_index = 1", {"hash": bytes(32)}),
    ("DELETE FROM log_tiles WHERE tile_index = 0", {}),
    # The head and its checkpoint.
    ("DELETE FROM checkpoints", {}),
    ("DELETE FROM checkpoints WHERE tree_size = 600", {}),
    ("UPDATE checkpoints SET note = 'x' WHERE tree_size = 600", {}),
    ("UPDATE checkpoints SET tree_size = 601 WHERE tree_size = 600", {}),
    ("DELETE FROM log_head", {}),
    ("UPDATE log_head SET tree_size = 599", {}),
    ("UPDATE log_head SET note = 'x'", {}),
]


@pytest.mark.parametrize(("statement", "values"), CHANGES, ids=[one[:60] for one, _ in CHANGES])
def test_a_changed_log_is_not_opened(log_url: str, statement: str, values: dict[str, object]) -> None:
    with open_log(log_url) as log:
        log.run(log.append("a", *many(SIZE)))
        assert log.execute(statement, **values) > 0
    with pytest.raises(SetupError) as caught, open_log(log_url):
        pass
    assert caught.value.code == "LOG_INCONSISTENT"
    assert "backup" in caught.value.hint


def sign_rows(log: Log, size: int, *, root: bytes | None = None) -> str:
    """A note by the right key."""
    return sign_checkpoint(Checkpoint(SIGNER.origin, size, root or log.tree().root()), key=SIGNER.key)


def set_both(log: Log, size: int, note: str) -> None:
    log.execute("UPDATE log_head SET tree_size = :size, note = :note", size=size, note=note)
    log.execute("DELETE FROM checkpoints WHERE tree_size = :size", size=size)
    log.execute(
        "INSERT INTO checkpoints (tree_size, note, signed_us) VALUES (:size, :note, 1)", size=size, note=note
    )


def test_a_log_whose_last_leaves_were_taken_back_in_order_is_sound_when_opened(log_url: str) -> None:
    """As after an older backup was restored: nothing here can know better, but devices that saw more can."""
    with open_log(log_url) as log:
        log.run(log.append("a", "a"))
        log.run(log.append("a", "b"))
        log.execute("DELETE FROM checkpoints WHERE tree_size = 2")
        log.execute("DELETE FROM log_leaves WHERE log_index = 1")
        log.execute(
            "UPDATE log_head SET tree_size = 1, note = (SELECT note FROM checkpoints WHERE tree_size = 1)"
        )
    with open_log(log_url) as log:
        assert log.sequencer.published.size == 1


# While it is served


def set_back(log: Log) -> None:
    log.execute("DELETE FROM checkpoints WHERE tree_size = 602")
    log.execute("DELETE FROM log_leaves WHERE log_index = 601")
    log.execute(
        "UPDATE log_head SET tree_size = 601, note = (SELECT note FROM checkpoints WHERE tree_size = 601)"
    )


def lose_head(log: Log) -> None:
    log.execute("DELETE FROM log_head")


def same_size_other_leaves(log: Log) -> None:
    set_both(log, 602, sign_rows(log, 602, root=bytes(32)))


def grow_without_leaves(log: Log) -> None:
    set_both(log, 603, sign_rows(log, 603))


def grow_by_another_key(log: Log) -> None:
    log.execute("INSERT INTO log_leaves (log_index, leaf_hash) VALUES (602, :leaf)", leaf=leaves("x")[0])
    set_both(log, 603, sign_rows(log, 603)[:-6] + "AAAA=\n")


def grow_by_another_leaf(log: Log) -> None:
    tree = log.tree()
    tree.append(leaves("signed")[0])
    log.execute("INSERT INTO log_leaves (log_index, leaf_hash) VALUES (602, :leaf)", leaf=leaves("kept")[0])
    set_both(log, 603, sign_rows(log, 603, root=tree.root()))


def rewrite(log: Log) -> None:
    """A whole other history, signed by the right key: sound in itself, but not what was published."""
    tree = MerkleTree()
    for leaf in leaves(*many(604, "other")):
        tree.append(leaf)
    for index, leaf in enumerate(tree.nodes(0, 0, 602)):
        log.execute(
            "UPDATE log_leaves SET leaf_hash = :leaf WHERE log_index = :index", leaf=leaf, index=index
        )
    for index, leaf in enumerate(tree.nodes(0, 602, 2), 602):
        log.execute(
            "INSERT INTO log_leaves (log_index, leaf_hash) VALUES (:index, :leaf)", leaf=leaf, index=index
        )
    set_both(log, 604, sign_rows(log, 604, root=tree.root()))


MEANWHILE = [
    set_back,
    lose_head,
    same_size_other_leaves,
    grow_without_leaves,
    grow_by_another_key,
    grow_by_another_leaf,
    rewrite,
]


def check_stands_still(log: Log, change: Callable[[Log], None], ask: Callable[[], Any]) -> None:
    told: list[SetupError] = []
    log.run(log.append("a", *many(SIZE)))
    log.run(log.append("a", "a"))
    log.run(log.append("a", "b"))
    published = log.sequencer.published
    log.sequencer.on_fault(told.append)
    change(log)
    stored = log.stored()
    for _ in range(3):
        with pytest.raises(ServiceError) as caught:
            log.run(ask())
        assert caught.value.reason is Reason.LOG_INCONSISTENT
    assert log.sequencer.fault is not None
    assert told == [log.sequencer.fault]
    with pytest.raises(ServiceError):
        log.run(log.append("a", "d"))
    assert log.stored() == stored
    assert log.sequencer.published == published
    # What was published can still be proved out of what is in memory and sound.
    assert log.sequencer.inclusion_proof(SIZE + 1)[0] == SIZE + 2


@pytest.mark.parametrize("change", MEANWHILE)
def test_a_log_that_is_changed_while_it_is_served_grows_no_more(
    log_url: str, change: Callable[[Log], None]
) -> None:
    with open_log(log_url) as log:
        check_stands_still(log, change, lambda: log.append("a", "c"))


@pytest.mark.parametrize("change", MEANWHILE)
@pytest.mark.parametrize("found_by", ["settled", "catch_up"])
def test_who_only_reads_finds_it_too(tmp_path: Path, change: Callable[[Log], None], found_by: str) -> None:
    with migrated("sqlite", tmp_path) as url, open_log(url) as log:
        check_stands_still(log, change, getattr(log.sequencer, found_by))


def damage_tile(log: Log) -> None:
    with log.store.writing() as connection:
        hashes = connection.execute(text("SELECT hashes FROM log_tiles WHERE tile_index = 0")).scalar_one()
        changed = bytes([hashes[0] ^ 1]) + hashes[1:]
        connection.execute(
            text("UPDATE log_tiles SET hashes = :hashes WHERE tile_index = 0"), {"hashes": changed}
        )


@pytest.mark.parametrize(
    "change",
    [
        damage_tile,
        lambda log: log.execute("DELETE FROM log_tiles WHERE tile_index = 0"),
        lambda log: log.execute("UPDATE log_tiles SET hashes = :hashes", hashes=bytes(8191)),
        lambda log: log.execute("UPDATE log_tiles SET hashes = :hashes", hashes=bytes(8192)),
    ],
)
def test_no_proof_is_made_of_a_damaged_tile(log_url: str, change: Callable[[Log], None]) -> None:
    told: list[SetupError] = []
    with open_log(log_url) as log:
        log.run(log.append("a", *many(SIZE)))
        log.sequencer.on_fault(told.append)
        change(log)
        sequencer = log.sequencer
        for ask in (
            lambda: sequencer.inclusion_proof(5),
            lambda: sequencer.consistency_proof(5),
            lambda: sequencer.tile(0, 0, 0),
        ):
            with pytest.raises(ServiceError) as caught:
                ask()
            assert caught.value.reason is Reason.LOG_INCONSISTENT
        assert len(told) == 1
        with pytest.raises(ServiceError) as refused:
            log.run(log.append("a", "more"))
        assert refused.value.reason is Reason.LOG_INCONSISTENT


def test_works_that_wait_are_refused_when_the_log_is_found_changed(log_url: str) -> None:
    with open_log(log_url) as log:
        log.run(log.append("a", "a"))
        lose_head(log)

        async def main() -> None:
            waiting = [asyncio.ensure_future(log.append("same", f"{number}")) for number in range(5)]
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert [getattr(one, "reason", None) for one in done] == [Reason.LOG_INCONSISTENT] * 5

        asyncio.run(main())
        assert log.stored() == leaves("a")
