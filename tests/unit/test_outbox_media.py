"""Files of records: there before the record is, gone only after it is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.model import Position
from edge.outbox import stats as outbox_stats
from edge.outbox.layout import MEDIA_SUFFIX, beside
from edge.outbox.media import Media, MediaState
from edge.outbox.records import Cited, RecordState, SignedRecord, StoredRecord
from tests.support.appliance import Appliance, MemorySigner, open_outbox
from tests.support.authority import NOW, Authority
from tests.support.outbox import apply, places, raw, receipt_through, states
from verifield.chain import ChainHead

PICTURE, PHOTO = b"picture" * 1000, b"photo" * 1000


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def verify_with(device: Appliance, *files: bytes) -> StoredRecord:
    return device.outbox.append(lambda head, cited: device.make(head, cited, media=files))


def folder(device: Appliance) -> Path:
    return beside(device.path, MEDIA_SUFFIX)


def names(device: Appliance) -> set[str]:
    return {path.name for path in folder(device).iterdir()}


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_files_are_delivered_after_their_records_oldest_first(device: Appliance) -> None:
    verify_with(device, PICTURE, PHOTO)
    verify_with(device, b"later")
    assert device.outbox.media_pending() == []
    device.outbox.mark_delivered(places(2))
    assert [item.sha256 for item in device.outbox.media_pending()] == [sha256(b"later")]
    device.outbox.mark_branch(places(1))
    found = device.outbox.media_pending()
    assert {item.sha256 for item in found[:2]} == {sha256(PICTURE), sha256(PHOTO)}
    assert found[2].sha256 == sha256(b"later")
    for item in found:
        assert sha256(item.path.read_bytes()) == item.sha256
        assert item.path.name == item.sha256.hex()
        assert item.size == item.path.stat().st_size
    stats = device.outbox.stats()
    assert (stats.media_pending, stats.media_pending_bytes) == (3, len(PICTURE) + len(PHOTO) + 5)
    first = device.outbox.at(Position(1, 1))
    assert first is not None
    assert stats.oldest_media == first.created_at
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox_stats, "MANY_FILES", 0)
        assert device.outbox.stats().oldest_media == first.created_at, "by the other way to it"
    for item in found:
        device.outbox.media_done(item.sha256)
    assert device.outbox.stats().oldest_media is None
    device.restart()
    assert device.outbox.media_pending() == []
    assert [state for _, state in device.outbox.media_of(Position(1, 1))] == [MediaState.DELIVERED] * 2


def test_a_record_stays_until_its_files_are_delivered_too(authority: Authority, device: Appliance) -> None:
    verify_with(device, PICTURE, PHOTO)
    device.verify()
    apply(device, receipt_through(authority, device, 2))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    device.outbox.media_done(sha256(PICTURE))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 0
    assert states(device) == [RecordState.CONFIRMED]
    assert len(names(device)) == 2
    device.outbox.media_done(sha256(PHOTO))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    assert names(device) == set()
    assert device.outbox.stats().media_pending == 0


def test_a_delivered_file_stays_until_retention_is_over(authority: Authority, device: Appliance) -> None:
    verify_with(device, PICTURE)
    device.outbox.mark_delivered(places(1))
    device.outbox.media_done(sha256(PICTURE))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 0  # no receipt
    apply(device, receipt_through(authority, device, 1))
    retention = timedelta(days=1)
    assert device.outbox.purge(now=NOW + retention / 2, retention=retention) == 0
    assert names(device) == {sha256(PICTURE).hex()}
    assert device.outbox.purge(now=NOW + retention, retention=retention) == 1
    assert names(device) == set()


def test_a_file_of_two_records_goes_with_the_last(authority: Authority, device: Appliance) -> None:
    verify_with(device, PICTURE)
    verify_with(device, PICTURE)
    device.outbox.mark_delivered(places(1, 2))
    device.outbox.media_done(sha256(PICTURE))
    apply(device, receipt_through(authority, device, 1))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    assert names(device) == {sha256(PICTURE).hex()}
    apply(device, receipt_through(authority, device, 2))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    assert names(device) == set()


def test_what_a_cut_left_in_the_folder_is_removed_at_the_next_opening(device: Appliance) -> None:
    verify_with(device, PICTURE)
    (folder(device) / sha256(b"orphan").hex()).write_bytes(b"orphan")
    (folder(device) / ".half-written.0011").write_bytes(b"half")
    device.restart()
    assert names(device) == {sha256(PICTURE).hex()}


def test_a_record_that_is_not_stored_leaves_files_only_until_the_next_opening(device: Appliance) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("the transaction does not commit")

    store = device.outbox._store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device.outbox._chain, "advance", fail)
        with pytest.raises(RuntimeError):
            verify_with(device, PICTURE)
    assert store.all("SELECT * FROM media") == []
    assert names(device) == {sha256(PICTURE).hex()}
    device.restart()
    assert names(device) == set()


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other")])
def test_a_file_that_is_gone_or_broken_is_said_and_blocks_nothing(
    authority: Authority, device: Appliance, spoil: object
) -> None:
    assert callable(spoil)
    verify_with(device, PICTURE, PHOTO)
    device.outbox.mark_delivered(places(1))
    spoil(folder(device) / sha256(PICTURE).hex())
    assert [item.sha256 for item in device.outbox.media_pending()] == [sha256(PHOTO)]
    assert device.outbox.stats().media_lost == 1
    device.outbox.media_done(sha256(PHOTO))
    apply(device, receipt_through(authority, device, 1))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1


def test_a_file_that_cannot_be_read_for_a_while_waits_and_holds_up_no_other(
    authority: Authority, device: Appliance
) -> None:
    verify_with(device, PICTURE)
    verify_with(device, PHOTO)
    apply(device, receipt_through(authority, device, 2))
    path = folder(device) / sha256(PICTURE).hex()
    content = path.rename(device.path.parent / "aside")
    path.symlink_to(path.name)  # ELOOP stands for whatever may keep somebody from reading it now
    assert [item.sha256 for item in device.outbox.media_pending(limit=1)] == [sha256(PHOTO)]
    device.outbox.media_done(sha256(PHOTO))
    assert device.outbox.media_pending() == []
    stats = device.outbox.stats()
    assert (stats.media_pending, stats.media_lost) == (1, 0)
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1  # of the other
    content.rename(path)
    assert [item.sha256 for item in device.outbox.media_pending()] == [sha256(PICTURE)]


def test_a_lost_file_that_is_back_is_delivered_and_not_deleted(
    authority: Authority, device: Appliance
) -> None:
    verify_with(device, PICTURE)
    apply(device, receipt_through(authority, device, 1))
    path = folder(device) / sha256(PICTURE).hex()
    content = path.rename(device.path.parent / "aside")
    assert device.outbox.media_pending() == []
    assert device.outbox.stats().media_lost == 1
    content.rename(path)
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 0
    path.rename(content)
    assert device.outbox.media_pending() == []
    content.rename(path)
    assert [item.sha256 for item in device.outbox.media_pending()] == [sha256(PICTURE)]
    device.outbox.media_done(sha256(PICTURE))
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 1
    assert names(device) == set()


def test_a_leftover_that_a_record_is_just_taking_up_is_not_deleted(
    device: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a full disk: the first try's file lies there, and the second try keeps it."""
    verify_with(device, PHOTO)
    (folder(device) / sha256(PICTURE).hex()).write_bytes(PICTURE)
    delete = Media.delete_files

    def delete_late(media: Media, paths: Sequence[Path]) -> int:
        verify_with(device, PICTURE)
        return delete(media, paths)

    monkeypatch.setattr(Media, "delete_files", delete_late)
    open_outbox(device.path).close()  # another process
    assert names(device) == {sha256(PHOTO).hex(), sha256(PICTURE).hex()}


def test_a_damaged_list_of_files_deletes_none(device: Appliance) -> None:
    verify_with(device, PICTURE)
    with closing(raw(device.path)) as connection:
        connection.execute("UPDATE media SET sha256 = 'x'")
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "OUTBOX_CORRUPT"
    assert names(device) == {sha256(PICTURE).hex()}


def test_files_that_the_statement_does_not_name_are_refused(device: Appliance) -> None:
    def other_file(head: ChainHead | None, cited: Cited) -> SignedRecord:
        return dataclasses.replace(device.make(head, cited, media=(PICTURE,)), media=(PHOTO,))

    with pytest.raises(ValueError, match="files"):
        device.outbox.append(other_file)
    assert device.outbox.head() is None


def test_a_folder_that_cannot_be_written_stores_no_record(device: Appliance) -> None:
    folder(device).write_text("in the way")
    with pytest.raises(StorageError):
        verify_with(device, PICTURE)
    assert device.outbox.head() is None
