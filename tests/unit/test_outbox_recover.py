"""A person asks for what can be saved: it is saved, the rest is named, and nothing is thrown away."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.errors import InputError, StorageError
from edge.model import Position, ResetReason
from edge.outbox.layout import BROKEN_INFIX, DATA_KEY_SUFFIX, MARK_SUFFIX, beside
from edge.outbox.records import RecordState, StoredRecord
from edge.outbox.recover import NEW_SUFFIX, Recovery, recover
from tests.support.appliance import Appliance, MemorySigner, open_outbox
from tests.support.authority import Authority
from tests.support.outbox import ALL, apply, places, raw, receipt_through
from verifield.chain import ChainHead

AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
PAGE = 4096


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox" / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def save(device: Appliance) -> Recovery:
    device.outbox.close()
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    return recovery


def broken_files(device: Appliance) -> list[Path]:
    return sorted(device.path.parent.glob(f"{device.path.name}{BROKEN_INFIX}*"))


def spoil(path: Path, first: int, count: int = PAGE) -> None:
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\xee" * count)


def head_of(record: StoredRecord) -> ChainHead:
    return ChainHead(record.epoch, record.seq, record.sha256)


def fill(authority: Authority, device: Appliance) -> list[StoredRecord]:
    """One of everything: states, personal data, files, an excuse, a receipt, a second epoch."""
    stored = [device.verify_person() if number % 20 == 0 else device.verify() for number in range(1, 61)]
    device.outbox.mark_delivered(places(*range(1, 31)))
    device.outbox.mark_refused(Position(1, 40), "MALFORMED")
    device.recorder().record_tombstone(Position(1, 40), "MALFORMED")
    apply(device, receipt_through(authority, device, 10))
    device.recorder().record_reset(ChainHead(1, 30, stored[29].sha256), ResetReason.FORK)
    device.outbox.append(lambda head, cited: device.make(head, cited, media=(b"picture",)))
    return stored


def contents(device: Appliance) -> list[object]:
    outbox = device.outbox
    records = outbox.newest(limit=1000)
    return [
        records,
        [outbox.private(record.attestation_id) for record in records],
        outbox.head(),
        outbox.confirmed(),
        outbox.cited(),
        outbox.witnessed(),
        outbox.refused(),
        outbox.holes(after=None),
        outbox.digest_at(Position(1, 10)),
        outbox.stats(),
        outbox.reset_needed(),
    ]


def test_of_a_sound_store_everything_is_saved(authority: Authority, device: Appliance) -> None:
    fill(authority, device)
    before = contents(device)
    recovery = save(device)
    assert contents(device) == before
    assert (recovery.records, recovery.damaged, recovery.lost) == (63, 0, ())
    assert recovery.head == device.outbox.head()
    assert not recovery.reset_needed
    assert device.verify().position == Position(2, 3)
    assert device.outbox.check().sound


def test_the_broken_file_is_kept_as_it_was(device: Appliance) -> None:
    device.verify()
    device.outbox.close()
    spoil(device.path, 2 * PAGE)
    before = device.path.read_bytes()
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert recovery.kept is not None
    assert recovery.kept.read_bytes() == before
    assert recovery.kept.name == "outbox.db.broken-20261122T073000000000Z"


def test_what_only_the_write_ahead_log_holds_is_saved(device: Appliance, tmp_path: Path) -> None:
    stored = [device.verify() for _ in range(5)]
    copy = tmp_path / "copy"  # as a power cut leaves it: nothing was brought into the database yet
    shutil.copytree(device.path.parent, copy)
    assert beside(copy / device.path.name, "-wal").stat().st_size > 0
    recovery = recover(copy / device.path.name, device_id=device.device_id, now=AT)
    assert recovery.records == 5
    with open_outbox(copy / device.path.name) as outbox:
        assert outbox.pending(after=None, **ALL) == stored


def page_of(path: Path, content: bytes) -> int:
    data = path.read_bytes()
    return data.index(content) // PAGE


def test_around_a_broken_page_all_is_saved_and_what_was_on_it_is_named(
    authority: Authority, device: Appliance
) -> None:
    stored = [device.verify() for _ in range(60)]
    device.outbox.close()
    spoil(device.path, page_of(device.path, stored[30].envelope) * PAGE)
    device.restart()
    recovery = save(device)
    [hole] = recovery.lost
    lost = hole.last_seq - hole.first_seq + 1
    assert hole.first_seq <= 31 <= hole.last_seq
    assert lost <= 12
    assert hole.last_sha256 == stored[hole.last_seq - 1].sha256
    assert recovery.records == 60 - lost
    left = [record for record in stored if not hole.first_seq <= record.seq <= hole.last_seq]
    assert device.outbox.pending(after=None, **ALL) == left
    assert device.recorder().record_gap(hole).seq == 61
    assert device.outbox.holes(after=None) == []
    assert device.outbox.check().sound
    assert apply(device, receipt_through(authority, device, 61)) == len(left) + 1


def test_a_file_whose_header_is_gone_is_read_all_the_same(authority: Authority, device: Appliance) -> None:
    fill(authority, device)
    before = contents(device)
    device.outbox.close()
    spoil(device.path, 0, 100)
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "OUTBOX_CORRUPT"
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert contents(device) == before
    assert recovery.records == 63


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, b"\0" * 40960])
def test_of_a_file_that_is_lost_the_mark_still_knows_the_head(device: Appliance, content: bytes) -> None:
    last = [device.verify() for _ in range(3)][-1]
    device.outbox.close()
    device.path.write_bytes(content)
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert (recovery.records, recovery.head, recovery.reset_needed) == (0, head_of(last), False)
    [hole] = recovery.lost
    assert (hole.first_seq, hole.last_seq, hole.last_sha256) == (1, 3, last.sha256)
    assert device.recorder().record_gap(hole).seq == 4
    assert device.recorder().ensure_enrolled() is None


def test_where_nothing_knows_the_head_only_a_reset_may_follow(device: Appliance) -> None:
    device.verify()
    device.outbox.close()
    device.path.write_bytes(b"no database" * 1000)
    beside(device.path, MARK_SUFFIX).unlink()
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert (recovery.head, recovery.reset_needed) == (None, True)
    assert device.outbox.reset_needed() is ResetReason.STORE_LOST
    assert device.recorder().ensure_enrolled() is None
    with pytest.raises(StorageError) as error:
        device.verify()
    assert error.value.code == "EPOCH_NEEDED"
    device.recorder().record_reset(ChainHead(1, 1, b"c" * 32), ResetReason.STORE_LOST)
    assert device.verify().position == Position(2, 2)


def test_records_whose_head_is_lost_are_kept_beside_the_new_chain(device: Appliance) -> None:
    stored = [device.verify() for _ in range(3)]
    device.outbox.close()
    with closing(raw(device.path)) as connection:
        connection.execute("DELETE FROM epochs")
    beside(device.path, MARK_SUFFIX).unlink()
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert (recovery.records, recovery.head, recovery.reset_needed) == (3, head_of(stored[-1]), True)
    reset = device.recorder().record_reset(None, ResetReason.STORE_LOST)
    assert device.outbox.pending(after=None, **ALL) == [*stored, reset]


def test_a_store_that_is_gone_says_so_and_is_never_begun_anew_in_silence(device: Appliance) -> None:
    last = device.verify()
    device.outbox.close()
    for path in (device.path, beside(device.path, "-wal"), beside(device.path, "-shm")):
        path.unlink(missing_ok=True)
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "OUTBOX_MISSING"
    assert not device.path.exists()
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert (recovery.kept, recovery.head) == (None, head_of(last))


def test_a_run_that_was_cut_short_goes_on(device: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [device.verify() for _ in range(3)]
    device.outbox.close()

    def cut(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr("edge.outbox.recover.salvage", cut)
        with pytest.raises(RuntimeError):
            recover(device.path, device_id=device.device_id, now=AT)
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "OUTBOX_MISSING"
    beside(device.path, NEW_SUFFIX).write_bytes(b"left over")
    assert recover(device.path, device_id=device.device_id, now=AT).records == 3
    device.restart()
    assert device.outbox.pending(after=None, **ALL) == stored
    assert len(broken_files(device)) == 1


def test_a_store_in_use_is_left_alone(device: Appliance) -> None:
    device.verify()
    with pytest.raises(StorageError) as error:
        in_another_process(device.path)
    assert error.value.code == "OUTBOX_BUSY"
    assert broken_files(device) == []


def in_another_process(path: Path) -> None:
    """Raise what ``recover`` raises there: locks do not hold a process back from itself."""
    import multiprocessing  # noqa: PLC0415
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        code = pool.submit(_code_of, path).result(timeout=60)
    raise StorageError(code, "as told")


def _code_of(path: Path) -> str:
    try:
        recover(path, device_id="device-1", now=AT)
    except StorageError as error:
        return error.code
    return ""


def test_there_must_be_something(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        recover(tmp_path / "outbox.db", device_id="device-1", now=AT)
    assert error.value.code == "NOTHING_TO_RECOVER"


def test_the_store_of_another_device_is_not_taken_over(device: Appliance) -> None:
    device.verify()
    device.outbox.close()
    with pytest.raises(StorageError) as error:
        recover(device.path, device_id="device-2", now=AT)
    assert error.value.code == "OUTBOX_OTHER_DEVICE"
    assert recover(device.path, device_id="device-1", now=AT).records == 1
    device.restart()


def test_a_broken_store_of_the_first_release_is_read_too(tmp_path: Path) -> None:
    vectors = Path(__file__).parents[1] / "vectors/outbox"
    path = tmp_path / "outbox.db"
    shutil.copyfile(vectors / "m001.sqlite", path)
    key = beside(path, DATA_KEY_SUFFIX)
    shutil.copyfile(vectors / "m001.sqlite.key", key)
    key.chmod(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE _sqlite_migrations")
    with pytest.raises(StorageError):
        open_outbox(path)
    recovery = recover(path, device_id="device-1", now=AT)
    assert (recovery.records, recovery.lost, recovery.reset_needed) == (6, (), False)
    with open_outbox(path) as outbox:
        assert outbox.head() == recovery.head
        assert outbox.confirmed() == Position(1, 3)
        assert outbox.cited().server_time is not None
        assert outbox.at(Position(1, 5)).state is RecordState.INVALID
        assert outbox.private(outbox.at(Position(1, 6)).attestation_id)


def test_nothing_signed_is_made_up(device: Appliance) -> None:
    for _ in range(3):
        device.verify()
    device.outbox.close()
    with closing(raw(device.path)) as connection:
        connection.execute("UPDATE records SET envelope = x'0102' WHERE seq = 2")
        connection.execute("UPDATE epochs SET seq = 'many'")
    recovery = recover(device.path, device_id=device.device_id, now=AT)
    device.restart()
    assert (recovery.records, recovery.damaged, recovery.reset_needed) == (2, 1, False)
    assert [row.content for row in device.outbox.damaged_rows()] == [b"\x01\x02"]
    assert device.outbox.confirmed() is None
