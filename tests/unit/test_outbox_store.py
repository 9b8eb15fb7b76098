from __future__ import annotations

import dataclasses
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StorageError
from edge.model import Position
from edge.outbox.faults import storage_errors
from edge.outbox.layout import DATA_KEY_SUFFIX
from edge.outbox.records import Cited, RecordState, SignedRecord
from tests.support.appliance import Appliance, MemorySigner, key_store_beside, open_outbox
from tests.support.authority import NOW, Authority
from tests.support.outbox import ALL, apply, places, raw, receipt_through, states
from verifield.chain import ChainBreak, ChainHead, envelope_sha256
from verifield.commitments import parse_disclosures
from verifield.dsse import parse_envelope
from verifield.receipt import check_receipt
from verifield.statement import parse_statement
from verifield.v1.bundle_pb2 import Receipt


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox" / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def test_records_form_a_chain_that_survives_a_restart(device: Appliance) -> None:
    assert device.outbox.head() is None
    stored = [device.verify() for _ in range(3)]
    device.restart()
    assert device.outbox.head() == ChainHead(1, 3, stored[-1].sha256)
    records = device.outbox.pending(after=None, **ALL)
    assert records == stored
    previous = b""
    for seq, record in enumerate(records, 1):
        statement = parse_statement(parse_envelope(record.envelope).payload)
        assert (statement.seq, statement.previous_envelope_sha256) == (seq, previous)
        assert statement.attestation_id == record.attestation_id
        previous = envelope_sha256(record.envelope)
    assert device.outbox.get(stored[1].attestation_id) == stored[1]
    assert device.outbox.get("no such id") is None


def test_files_are_for_the_owner_alone(device: Appliance) -> None:
    device.verify_person()
    device.outbox.append(lambda head, cited: device.make(head, cited, media=(b"picture",)))
    files = {path.name.removeprefix(device.path.name) for path in device.path.parent.rglob("*")}
    assert {"", "-wal", "-shm", ".key", ".lock", ".head", ".reserve", ".media"} <= files
    for path in [device.path.parent, *device.path.parent.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_commit_is_synced_to_the_disk(device: Appliance) -> None:
    connection = device.outbox._store.db.conn
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_what_make_raises_leaves_nothing_behind(device: Appliance) -> None:
    device.verify()
    head = device.outbox.head()

    def fail(_head: ChainHead | None, _cited: Cited) -> SignedRecord:
        raise RuntimeError("the key is gone")

    with pytest.raises(RuntimeError):
        device.outbox.append(fail)
    assert device.outbox.head() == head
    assert device.verify().seq == 2


def test_a_record_that_does_not_continue_the_chain_is_refused(device: Appliance) -> None:
    device.verify()
    with pytest.raises(ChainBreak):
        device.outbox.append(lambda _head, cited: device.make(None, cited))
    with pytest.raises(ChainBreak):
        device.outbox.append(lambda _head, cited: device.make(ChainHead(1, 1, b"x" * 32), cited))
    with pytest.raises(ChainBreak):
        device.outbox.append(lambda head, cited: device.make(dataclasses.replace(head, epoch=2), cited))  # type: ignore[type-var]
    assert len(device.outbox.newest(limit=9)) == 1


def test_personal_data_is_on_the_disk_only_encrypted(device: Appliance) -> None:
    record = device.verify_person()
    opened = {
        item.field: item.value for item in parse_disclosures(device.outbox.private(record.attestation_id))
    }
    assert opened["document.name"] == "试验·样本".encode()
    device.outbox.close()
    for path in (path for path in device.path.parent.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for item in ("试验·样本", "990000199001019990", "虚构省"):
            assert item.encode() not in data
            assert item.encode("utf-16-le") not in data
    device.restart()


def test_records_without_personal_data_open_to_nothing(device: Appliance) -> None:
    assert device.outbox.private(device.verify().attestation_id) == b""
    assert device.outbox.private("no such id") == b""


def test_personal_data_moved_to_another_record_does_not_open(device: Appliance) -> None:
    first, second = device.verify_person(), device.verify_person()
    connection = raw(device.path)
    connection.execute(
        "UPDATE private SET sealed = (SELECT sealed FROM private WHERE attestation_id = ?) "
        "WHERE attestation_id = ?",
        (first.attestation_id, second.attestation_id),
    )
    connection.close()
    assert device.outbox.private(first.attestation_id)
    with pytest.raises(StorageError) as error:
        device.outbox.private(second.attestation_id)
    assert error.value.code == "DATA_KEY_WRONG"


def test_without_its_data_key_a_store_only_delivers(device: Appliance) -> None:
    record = device.verify_person()
    device.outbox.close()
    key = device.path.with_name(device.path.name + DATA_KEY_SUFFIX)
    data = key.read_bytes()
    key.unlink()
    device.restart()
    assert not key.exists()  # a new one would open nothing, and hide that
    for refused in (device.outbox.check_ready, device.verify_person):
        with pytest.raises(StorageError) as error:
            refused()
        assert error.value.code == "DATA_KEY_MISSING"
    with pytest.raises(StorageError) as error:
        device.outbox.private(record.attestation_id)
    assert error.value.code == "DATA_KEY_MISSING"
    assert device.outbox.pending(after=None, **ALL) == [record]
    assert device.verify().seq == 2  # nothing personal in it
    device.outbox.close()
    key.write_bytes(data)
    key.chmod(0o644)
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "DATA_KEY_PERMISSIONS"
    key.chmod(0o600)
    device.restart()
    assert device.outbox.private(record.attestation_id)


def test_once_the_keys_of_personal_data_are_destroyed_records_are_still_delivered(device: Appliance) -> None:
    record = device.verify_person()
    key_store_beside(device.path).destroy_wrapping()
    device.restart()
    assert device.outbox.pending(after=None, **ALL) == [record]
    with pytest.raises(StorageError) as error:
        device.outbox.private(record.attestation_id)
    assert error.value.code == "DATA_KEY_WRONG"
    with pytest.raises(StorageError) as error:
        device.outbox.check_ready()
    assert error.value.code == "DATA_KEY_WRONG"


def test_a_batch_keeps_both_limits_and_the_order(device: Appliance) -> None:
    sizes = [len(device.verify().envelope) for _ in range(4)]
    outbox = device.outbox

    def seqs(**limits: Any) -> list[int]:
        return [record.seq for record in outbox.pending(**({"after": None} | ALL | limits))]

    assert seqs() == [1, 2, 3, 4]
    assert seqs(after=Position(1, 2)) == [3, 4]
    assert seqs(limit_count=3) == [1, 2, 3]
    assert seqs(limit_bytes=sum(sizes[:2])) == [1, 2]
    assert seqs(limit_bytes=sum(sizes[:2]) - 1) == [1]


def test_a_receipt_confirms_through_its_record_and_is_cited_next(
    authority: Authority, device: Appliance
) -> None:
    for _ in range(3):
        device.verify()
    assert device.outbox.cited() == Cited()
    device.outbox.mark_delivered(places(1, 2, 3))
    envelope, receipt = receipt_through(authority, device, 2)
    assert apply(device, (envelope, receipt)) == 2
    assert states(device) == [RecordState.CONFIRMED, RecordState.CONFIRMED, RecordState.DELIVERED]
    assert device.outbox.confirmed() == Position(1, 2)
    assert device.outbox.has_unconfirmed()
    cited = device.outbox.cited()
    assert cited.receipt_sha256 == envelope_sha256(envelope)
    assert cited.checkpoint_sha256 == envelope_sha256(receipt.checkpoint.encode())
    assert cited.server_time == NOW
    statement = parse_statement(parse_envelope(device.verify().envelope).payload)
    assert statement.last_receipt_sha256 == cited.receipt_sha256
    assert statement.last_checkpoint_sha256 == cited.checkpoint_sha256
    assert apply(device, receipt_through(authority, device, 4)) == 2
    assert not device.outbox.has_unconfirmed()


def test_an_older_receipt_changes_nothing(authority: Authority, device: Appliance) -> None:
    for _ in range(3):
        device.verify()
    old = receipt_through(authority, device, 1)
    apply(device, receipt_through(authority, device, 3, at=NOW + timedelta(hours=1)))
    cited = device.outbox.cited()
    assert apply(device, old) == 0
    assert device.outbox.cited() == cited


def refused_receipt(device: Appliance, envelope: bytes, receipt: Receipt) -> str:
    """Apply, expect a refusal, and check that nothing changed and nothing can be deleted."""
    before = (states(device), device.outbox.cited())
    with pytest.raises(StorageError) as error:
        apply(device, (envelope, receipt))
    assert (states(device), device.outbox.cited()) == before
    assert device.outbox.purge(now=NOW + timedelta(days=999), retention=timedelta(0)) == 0
    return error.value.code


def test_a_receipt_for_another_record_deletes_nothing(authority: Authority, device: Appliance) -> None:
    device.verify()
    device.verify()
    envelope, receipt = receipt_through(authority, device, 2, sha256=b"x" * 32)
    assert refused_receipt(device, envelope, receipt) == "RECEIPT_FORK"


def test_a_receipt_for_another_device_deletes_nothing(authority: Authority, device: Appliance) -> None:
    record = device.verify()
    envelope = authority.receipt("device-2", ChainHead(1, 1, record.sha256))
    receipt = check_receipt(envelope, certificates=authority.receipt_chain, roots=[authority.root])
    assert refused_receipt(device, envelope, receipt) == "RECEIPT_OTHER_DEVICE"


@pytest.mark.parametrize(("epoch", "seq"), [(1, 2), (2, 1)])
def test_a_receipt_beyond_our_chain_deletes_nothing(
    authority: Authority, device: Appliance, epoch: int, seq: int
) -> None:
    record = device.verify()
    envelope = authority.receipt("device-1", ChainHead(epoch, seq, record.sha256))
    receipt = check_receipt(envelope, certificates=authority.receipt_chain, roots=[authority.root])
    assert refused_receipt(device, envelope, receipt) == "RECEIPT_AHEAD"


def test_only_confirmed_records_past_their_time_are_deleted(authority: Authority, device: Appliance) -> None:
    retention = timedelta(days=30)
    records = [device.verify_person() for _ in range(4)]
    apply(device, receipt_through(authority, device, 2))
    device.outbox.mark_delivered(places(3))
    assert device.outbox.purge(now=NOW + retention - timedelta(microseconds=1), retention=retention) == 0
    assert device.outbox.purge(now=NOW + retention, retention=retention) == 2
    assert states(device) == [RecordState.DELIVERED, RecordState.PENDING]
    assert device.outbox.oldest() == Position(1, 3)
    opens = [bool(device.outbox.private(record.attestation_id)) for record in records]
    assert opens == [False, False, True, True]


def test_the_chain_goes_on_after_everything_was_deleted(authority: Authority, device: Appliance) -> None:
    last = [device.verify() for _ in range(2)][-1]
    apply(device, receipt_through(authority, device, 2))
    device.outbox.purge(now=NOW, retention=timedelta(0))
    device.restart()
    assert device.outbox.newest(limit=9) == []
    assert device.outbox.head() == ChainHead(1, 2, last.sha256)
    assert device.outbox.digest_at(Position(1, 2)) == last.sha256
    assert device.outbox.digest_at(Position(1, 1)) is None
    assert device.outbox.oldest() is None
    assert device.verify().seq == 3
    assert device.outbox.digest_at(Position(1, 2)) == last.sha256  # the receipt still knows it
    again = receipt_through(authority, device, 2, sha256=b"x" * 32)
    with pytest.raises(StorageError):
        apply(device, again)


def test_a_refused_record_stays_visible_and_stops_nothing(device: Appliance) -> None:
    for _ in range(3):
        device.verify()
    device.outbox.mark_delivered(places(1))
    device.outbox.mark_refused(Position(1, 2), "MALFORMED")
    assert [record.position for record in device.outbox.refused()] == places(2)
    assert [record.position for record in device.outbox.pending(after=None, **ALL)] == places(1, 3)
    assert device.outbox.newest(limit=9)[1].reason == "MALFORMED"
    device.recorder().record_tombstone(Position(1, 2), "MALFORMED")
    assert device.outbox.refused() == []
    assert device.outbox.holes(after=None) == []
    assert states(device)[1] is RecordState.INVALID


def test_what_is_confirmed_stays_confirmed(authority: Authority, device: Appliance) -> None:
    device.verify()
    apply(device, receipt_through(authority, device, 1))
    device.outbox.mark_refused(Position(1, 1), "LATE")
    device.outbox.mark_delivered(places(1))
    assert states(device) == [RecordState.CONFIRMED]


def test_figures_of_the_store(authority: Authority, device: Appliance) -> None:
    empty = device.outbox.stats()
    assert (empty.head, empty.pending, empty.pending_bytes, empty.oldest_pending) == (None, 0, 0, None)
    records = [device.verify() for _ in range(5)]
    apply(device, receipt_through(authority, device, 1))
    device.outbox.mark_delivered(places(2))
    device.outbox.mark_refused(Position(1, 3), "MALFORMED")
    stats = device.outbox.stats()
    assert (stats.pending, stats.delivered, stats.confirmed, stats.invalid) == (2, 1, 1, 1)
    assert stats.pending_bytes == sum(len(record.envelope) for record in records[3:])
    assert stats.oldest_pending == records[3].created_at
    assert stats.oldest_delivered == records[1].created_at
    assert (empty.oldest_delivered, empty.oldest_media, stats.oldest_media) == (None, None, None)
    assert stats.last_receipt_time == NOW
    assert stats.head == device.outbox.head()


def test_a_store_of_another_device_is_refused(device: Appliance) -> None:
    device.verify()
    with pytest.raises(StorageError) as error:
        open_outbox(device.path, device_id="device-2")
    assert error.value.code == "OUTBOX_OTHER_DEVICE"


def test_a_full_disk_is_said_and_the_record_is_not_there_at_all(device: Appliance) -> None:
    device.verify()
    head = device.outbox.head()
    connection = device.outbox._store.db.conn
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    code = ""
    while not code:
        head = device.outbox.head()
        try:
            device.verify_person()
        except StorageError as error:
            code = error.code
    assert code == "OUTBOX_FULL"
    assert device.outbox.head() == head
    newest = device.outbox.newest(limit=1)[0]
    assert head == ChainHead(newest.epoch, newest.seq, newest.sha256)
    connection.execute("PRAGMA max_page_count = 1000000")
    assert device.verify_person().seq == newest.seq + 1


def test_a_disk_that_became_read_only_is_said(device: Appliance) -> None:
    device.verify()
    device.outbox._store.db.conn.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError) as error:
        device.verify()
    assert error.value.code == "OUTBOX_READONLY"
    assert device.outbox.newest(limit=9)[0].seq == 1


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "OUTBOX_FULL"),
        (errno.EROFS, "OUTBOX_READONLY"),
        (errno.EACCES, "OUTBOX_READONLY"),
        (errno.EIO, "OUTBOX_IO"),
    ],
)
def test_what_the_system_says_of_the_disk_is_passed_on(number: int, code: str) -> None:
    with pytest.raises(StorageError) as error, storage_errors():
        raise OSError(number, os.strerror(number))
    assert error.value.code == code


def test_an_index_that_cannot_grow_is_a_full_disk() -> None:
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    with pytest.raises(StorageError) as error, storage_errors():
        raise fault
    assert error.value.code == "OUTBOX_FULL"


def test_a_store_held_by_another_process_is_said(device: Appliance) -> None:
    other = raw(device.path)
    other.execute("BEGIN IMMEDIATE")
    device.outbox._store.db.conn.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(StorageError) as error:
        device.verify()
    assert error.value.code == "OUTBOX_BUSY"
    other.close()
    assert device.verify().seq == 1


def test_a_file_that_is_no_database_is_said_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"no database" * 400)
    (tmp_path / "outbox.db.key").write_bytes(bytes(32))
    (tmp_path / "outbox.db.key").chmod(0o600)
    with pytest.raises(StorageError) as error:
        open_outbox(path)
    assert error.value.code == "OUTBOX_CORRUPT"
    assert path.read_bytes() == b"no database" * 400


def restart_and_verify(device: Appliance) -> None:
    device.restart()
    device.verify()


def test_a_damaged_page_is_said(device: Appliance) -> None:
    for _ in range(60):
        device.verify()
    device.outbox.close()
    data = bytearray(device.path.read_bytes())
    page = 4096
    data[page:] = b"\xff" * (len(data) - page)
    device.path.write_bytes(data)
    with pytest.raises(StorageError) as error:
        restart_and_verify(device)
    assert error.value.code == "OUTBOX_CORRUPT"


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        open_outbox(tmp_path / "file" / "outbox.db")


def test_times_sort_as_texts_whatever_their_fraction(authority: Authority, device: Appliance) -> None:
    device.verify()
    moment = datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
    apply(device, receipt_through(authority, device, 1, at=moment))
    assert device.outbox.purge(now=moment.replace(microsecond=0), retention=timedelta(0)) == 0
    assert device.outbox.purge(now=moment, retention=timedelta(0)) == 1
