"""Room on the disk: when to warn, when to stop, and the reserve for the record in hand."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.outbox.layout import RESERVE_SUFFIX, beside
from edge.outbox.space import (
    RESERVE_BYTES,
    STOP_BYTES,
    STOP_SHARE,
    WARN_BYTES,
    WARN_SHARE,
    Reserve,
    Space,
    SpaceVerdict,
    check_space,
    judge_space,
    look_at_space,
)
from tests.support.appliance import Appliance, MemorySigner

TOTAL = 1000


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


@pytest.mark.parametrize(
    ("free", "verdict"),
    [
        (TOTAL, SpaceVerdict.OK),
        (round(TOTAL * WARN_SHARE), SpaceVerdict.OK),
        (round(TOTAL * WARN_SHARE) - 1, SpaceVerdict.LOW),
        (round(TOTAL * STOP_SHARE), SpaceVerdict.LOW),
        (round(TOTAL * STOP_SHARE) - 1, SpaceVerdict.STOP),
        (0, SpaceVerdict.STOP),
    ],
)
def test_the_share_that_is_free_decides(free: int, verdict: SpaceVerdict) -> None:
    assert judge_space(free, TOTAL) is verdict


def test_the_limits_are_those_that_were_promised() -> None:
    assert (WARN_SHARE, STOP_SHARE) == (0.20, 0.10)
    assert (WARN_BYTES, STOP_BYTES) == (8 * 2**30, 4 * 2**30)


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(WARN_BYTES, SpaceVerdict.OK), (WARN_BYTES - 1, SpaceVerdict.LOW), (STOP_BYTES - 1, SpaceVerdict.STOP)],
)
def test_on_a_large_disk_the_amount_decides(free: int, verdict: SpaceVerdict) -> None:
    assert judge_space(free, 2**40) is verdict


@pytest.mark.parametrize(("kept", "verdict"), [(0, SpaceVerdict.LOW), (60, SpaceVerdict.OK)])
def test_what_is_kept_for_the_administrator_is_no_part_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, verdict: SpaceVerdict
) -> None:
    """15 blocks of 100 are ours; of the others 60 are nobody's, or all are in use."""
    values = (4096, 4096, 100, 15 + kept, 15, 0, 0, 0, 0, 255)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))
    space = look_at_space(tmp_path)
    assert (space.verdict, space.total_bytes) == (verdict, (100 - kept) * 4096)


def test_no_new_session_where_little_is_left() -> None:
    check_space(Space(150, TOTAL, SpaceVerdict.LOW))
    with pytest.raises(StorageError) as error:
        check_space(Space(99, TOTAL, SpaceVerdict.STOP))
    assert error.value.code == "DISK_RESERVE"
    assert error.value.hint


def test_room_inside_the_store_counts(tmp_path: Path) -> None:
    bare = look_at_space(tmp_path)
    assert look_at_space(tmp_path, reusable_bytes=bare.total_bytes).free_bytes > bare.total_bytes


def test_what_was_deleted_makes_room_inside_the_store(device: Appliance) -> None:
    for _ in range(3):
        device.verify_person()
    store = device.outbox._store
    assert store.reusable_bytes() == 0
    store.write(lambda: store.execute("DELETE FROM private"))
    assert store.reusable_bytes() > 100_000
    assert device.outbox.space().total_bytes > 0


def test_a_session_asks_the_store(device: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.recorder().check_ready().verdict in SpaceVerdict
    full = Space(5, TOTAL, SpaceVerdict.STOP)
    monkeypatch.setattr("edge.outbox.store.look_at_space", lambda *_path, **_reusable: full)
    with pytest.raises(StorageError) as error:
        device.recorder().check_ready()
    assert error.value.code == "DISK_RESERVE"
    assert device.verify().seq == 1  # what is under way is stored all the same


def test_the_reserve_takes_up_real_room(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    assert reserve.keep()
    status = (tmp_path / "reserve").stat()
    assert status.st_size == RESERVE_BYTES
    assert status.st_blocks * 512 >= RESERVE_BYTES
    assert reserve.keep()
    assert reserve.give_up()
    assert not reserve.give_up()


def test_a_reserve_is_made_only_where_there_is_room_for_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 2 * RESERVE_BYTES // 4096

    def disk(free_blocks: int) -> None:
        values = (4096, 4096, 10 * blocks, free_blocks, free_blocks, 0, 0, 0, 0, 255)
        monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))

    disk(blocks - 1)
    assert not Reserve(tmp_path / "reserve").keep()
    assert not (tmp_path / "reserve").exists()
    disk(blocks)
    assert Reserve(tmp_path / "reserve").keep()


def test_a_disk_that_refuses_leaves_the_device_without_a_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert not Reserve(tmp_path / "reserve").keep()
    assert not (tmp_path / "reserve").exists()
    assert not Reserve(tmp_path / "no folder" / "reserve").keep()


def test_a_reserve_of_another_size_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "reserve").write_bytes(b"short")
    assert Reserve(tmp_path / "reserve").keep()
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES


def test_a_full_disk_costs_the_reserve_and_not_the_record(device: Appliance) -> None:
    """The limit on pages stands in for the disk: giving up the reserve is what lifts it."""
    device.verify()
    store = device.outbox._store
    pages = store.db.conn.execute("PRAGMA page_count").fetchone()[0]
    store.db.conn.execute(f"PRAGMA max_page_count = {pages}")
    given_up = []
    real = store.reserve.give_up

    def give_up() -> bool:
        store.db.conn.execute("PRAGMA max_page_count = 1000000")
        given_up.append(real())
        return given_up[-1]

    store.reserve.give_up = give_up
    record = device.verify_person()
    assert given_up == [True]
    assert device.outbox.at(record.position) == record
    assert device.outbox.private(record.attestation_id)
    assert not beside(device.path, RESERVE_SUFFIX).exists()
    device.restart()
    assert beside(device.path, RESERVE_SUFFIX).exists()
