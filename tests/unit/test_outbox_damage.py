"""What a failing disk breaks is noticed, kept and given up by name; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from edge.attest.clock import arrival_now
from edge.errors import StorageError
from edge.model import Decision, Evidence, Hole, Outcome, Position, ResetReason
from edge.outbox.layout import MARK_SUFFIX, beside
from edge.outbox.records import RecordState, StoredRecord
from edge.outbox.rows import MAX_DAMAGED_BYTES, statement_of
from tests.support.appliance import Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.outbox import ALL, apply, places, raw, receipt_through, states
from verifield.chain import ChainHead

PAGE = 4096


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def change(device: Appliance, sql: str, *parameters: object) -> None:
    with closing(raw(device.path)) as connection:
        assert connection.execute(sql, parameters).rowcount == 1


def delivered(device: Appliance) -> list[int]:
    return [record.seq for record in device.outbox.pending(after=None, **ALL)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET envelope = x'00' || substr(envelope, 2) WHERE seq = 2",
        "UPDATE records SET envelope = 'text' WHERE seq = 2",
        "UPDATE records SET sha256 = zeroblob(32) WHERE seq = 2",
        "UPDATE records SET sha256 = 7 WHERE seq = 2",
        "UPDATE records SET envelope = (SELECT envelope FROM records WHERE seq = 3), "
        "sha256 = (SELECT sha256 FROM records WHERE seq = 3) WHERE seq = 2",
    ],
)
def test_a_record_that_is_not_what_was_signed_is_never_delivered(device: Appliance, damage: str) -> None:
    stored = [device.verify() for _ in range(4)]
    change(device, damage)
    assert delivered(device) == [1, 3, 4]
    assert states(device) == [RecordState.PENDING, RecordState.DAMAGED, *[RecordState.PENDING] * 2]
    assert device.outbox.at(Position(1, 2)) is None
    assert device.outbox.get(stored[1].attestation_id) is None
    assert device.outbox.holes(after=None) == [Hole(1, 2, 2, stored[1].sha256, "DAMAGED")]


def test_what_is_left_of_it_is_given_to_the_cloud_once(device: Appliance) -> None:
    for _ in range(3):
        device.verify()
    change(device, "UPDATE records SET envelope = ? WHERE seq = 2", b"rest" * MAX_DAMAGED_BYTES)
    assert device.outbox.damaged_rows() == []  # nobody has looked yet
    assert device.outbox.check().damaged == (Position(1, 2),)
    [row] = device.outbox.damaged_rows()
    assert row.position == Position(1, 2)
    assert row.content == b"rest" * (MAX_DAMAGED_BYTES // 4)
    device.outbox.mark_damaged_sent([row.position])
    device.restart()
    assert device.outbox.damaged_rows() == []
    assert device.outbox.check().damaged == ()  # known
    with closing(raw(device.path)) as connection:
        [(length,)] = connection.execute("SELECT length(envelope) FROM records WHERE seq = 2")
    assert length == 4 * MAX_DAMAGED_BYTES  # the row itself stays as it is


def test_a_gap_gives_up_what_is_lost_and_the_chain_goes_on(device: Appliance) -> None:
    stored = [device.verify() for _ in range(6)]
    change(device, "UPDATE records SET envelope = x'00' WHERE seq = 2")
    change(device, "DELETE FROM records WHERE seq = 3")
    change(device, "DELETE FROM records WHERE seq = 5")
    device.outbox.check()
    holes = device.outbox.holes(after=None)
    assert holes == [
        Hole(1, 2, 3, stored[2].sha256, "DAMAGED"),
        Hole(1, 5, 5, stored[4].sha256, "LOST"),
    ]
    assert device.outbox.holes(after=Position(1, 3)) == holes[1:]
    assert device.outbox.stats().missing == 3
    for hole in holes:
        device.recorder().record_gap(hole)
    device.restart()
    assert device.outbox.holes(after=None) == []
    assert delivered(device) == [1, 4, 6, 7, 8]
    stats = device.outbox.stats()
    assert (stats.pending, stats.damaged, stats.missing) == (5, 1, 0)


def test_the_newest_record_may_be_broken_too(device: Appliance) -> None:
    stored = [device.verify() for _ in range(3)]
    change(device, "UPDATE records SET envelope = x'00' WHERE seq = 3")
    device.restart()
    assert delivered(device) == [1, 2]
    [hole] = device.outbox.holes(after=None)
    assert hole == Hole(1, 3, 3, stored[2].sha256, "DAMAGED")
    gap = device.recorder().record_gap(hole)
    assert gap.seq == 4
    assert delivered(device) == [1, 2, 4]


def test_damage_found_only_while_looking_for_holes_is_in_them(device: Appliance) -> None:
    stored = [device.verify() for _ in range(5)]
    change(device, "DELETE FROM records WHERE seq = 2")
    change(device, "UPDATE records SET envelope = x'00' WHERE seq = 3")
    assert device.outbox.holes(after=None) == [Hole(1, 2, 3, stored[2].sha256, "DAMAGED")]


def test_what_was_deleted_after_a_receipt_and_is_wanted_again_is_a_hole(
    authority: Authority, device: Appliance
) -> None:
    stored = [device.verify() for _ in range(5)]
    apply(device, receipt_through(authority, device, 4))
    device.outbox.purge(now=NOW, retention=timedelta(0))
    assert device.outbox.holes(after=Position(1, 4)) == []
    assert device.outbox.holes(after=Position(1, 2)) == [Hole(1, 3, 4, stored[3].sha256, "PURGED")]
    assert device.outbox.holes(after=None) == [Hole(1, 1, 4, stored[3].sha256, "PURGED")]
    assert device.outbox.stats().missing == 0  # unless somebody wants them


def test_a_gap_that_is_broken_itself_gives_up_nothing(device: Appliance) -> None:
    stored = [device.verify() for _ in range(3)]
    change(device, "DELETE FROM records WHERE seq = 2")
    lost = Hole(1, 2, 2, stored[1].sha256, "LOST")
    gap = device.recorder().record_gap(lost)
    device.verify()
    change(device, "UPDATE records SET envelope = x'00' WHERE seq = 4")
    device.outbox.check()
    assert device.outbox.holes(after=None) == [lost, Hole(1, 4, 4, gap.sha256, "DAMAGED")]


def test_a_tombstone_that_was_purged_and_is_wanted_again_becomes_a_gap(
    authority: Authority, device: Appliance
) -> None:
    for _ in range(3):
        device.verify()
    device.outbox.mark_refused(Position(1, 2), "MALFORMED")
    last = device.recorder().record_tombstone(Position(1, 2), "MALFORMED")
    apply(device, receipt_through(authority, device, 4))
    assert device.outbox.holes(after=Position(1, 1)) == []
    device.outbox.purge(now=NOW, retention=timedelta(0))
    assert states(device) == [RecordState.INVALID]
    assert device.outbox.refused() == []  # the cloud has closed its place
    assert device.outbox.holes(after=Position(1, 1)) == [Hole(1, 2, 4, last.sha256, "PURGED")]


def test_holes_of_an_epoch_that_is_over_need_no_gap(device: Appliance) -> None:
    for _ in range(3):
        device.verify()
    change(device, "DELETE FROM records WHERE seq = 2")
    device.outbox.mark_refused(Position(1, 3), "MALFORMED")
    device.recorder().record_reset(None, ResetReason.FORK)
    assert device.outbox.holes(after=None) == []
    assert device.outbox.refused() == []
    assert device.outbox.holes(after=Position(9, 1)) == []


def test_receipts_and_purges_work_around_broken_rows(authority: Authority, device: Appliance) -> None:
    for _ in range(5):
        device.verify()
    change(device, "UPDATE records SET envelope = x'00' WHERE seq = 3")
    device.outbox.check()
    assert apply(device, receipt_through(authority, device, 5)) == 4
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) == 4
    assert states(device) == [RecordState.DAMAGED]
    assert not device.outbox.has_unconfirmed()
    assert device.outbox.damaged_rows() == []  # the cloud has the record itself


@pytest.mark.parametrize("column", ["attestation_id", "state", "reason", "created_at"])
def test_what_was_signed_is_believed_whatever_its_row_says(device: Appliance, column: str) -> None:
    stored = [device.verify() for _ in range(3)]
    table = "delivery" if column in ("state", "reason") else "records"
    change(device, f"UPDATE {table} SET {column} = CAST(x'ff00fe' AS TEXT) WHERE seq = 2")
    found = device.outbox.pending(after=None, **ALL)
    assert [record.envelope for record in found] == [record.envelope for record in stored]
    assert found[1].state is RecordState.PENDING
    assert found[1].attestation_id == stored[1].attestation_id
    assert found[1].created_at == stored[1].created_at


def pages_with(path: Path, content: bytes) -> list[int]:
    data = path.read_bytes()
    return [number for number in range(len(data) // PAGE) if content in data[number * PAGE :][:PAGE]]


def spoil_page(path: Path, number: int) -> None:
    data = bytearray(path.read_bytes())
    data[number * PAGE : (number + 1) * PAGE] = b"\xee" * PAGE
    path.write_bytes(data)


def test_a_broken_page_costs_the_rows_on_it_and_no_others(device: Appliance) -> None:
    stored = [device.verify() for _ in range(60)]
    device.outbox.close()
    [page] = pages_with(device.path, stored[20].envelope)
    spoil_page(device.path, page)
    device.restart()
    left = delivered(device)
    assert 50 <= len(left) < 60
    assert 21 not in left
    assert device.outbox.pending(after=None, **ALL) == [stored[seq - 1] for seq in left]
    lost = sorted(set(range(1, 61)) - set(left))
    [hole] = device.outbox.holes(after=None)
    assert (hole.first_seq, hole.last_seq) == (lost[0], lost[-1])
    assert hole.last_sha256 == stored[lost[-1] - 1].sha256
    assert [row.content for row in device.outbox.damaged_rows()] == [b""] * len(lost)
    listed = device.outbox.newest(limit=100)
    assert [record.seq for record in listed] == list(range(60, 0, -1))
    stats = device.outbox.stats()
    assert (stats.pending, stats.damaged) == (len(left), len(lost))
    assert device.verify().seq == 61
    assert not device.outbox.check().sound


def test_a_broken_page_does_not_stop_acknowledgements(authority: Authority, device: Appliance) -> None:
    stored = [device.verify() for _ in range(60)]
    device.outbox.close()
    [page] = pages_with(device.path, stored[20].envelope)
    spoil_page(device.path, page)
    device.restart()
    device.outbox.mark_delivered(places(*range(1, 61)))
    left = delivered(device)
    assert apply(device, receipt_through(authority, device, 60)) == len(left)
    assert device.outbox.confirmed() == Position(1, 60)
    assert device.outbox.purge(now=NOW, retention=timedelta(0)) in (0, len(left))


def test_an_index_that_lost_rows_is_made_anew(device: Appliance) -> None:
    stored = [device.verify() for _ in range(60)]
    device.outbox.close()
    with closing(raw(device.path)) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'idx_records_epoch_seq'"
        ).fetchone()[0]
    spoil_page(device.path, root - 1)
    device.restart()
    assert device.outbox.pending(after=None, **ALL) == stored
    assert device.outbox.holes(after=None) == []
    assert device.verify().seq == 61
    device.restart()
    assert len(delivered(device)) == 61


def test_rows_that_only_the_index_forgot_are_not_given_up(device: Appliance) -> None:
    for _ in range(5):
        device.verify()
    with closing(raw(device.path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        sql = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'idx_records_epoch_seq'"
        ).fetchone()[0]
        connection.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = 'idx_records_epoch_seq'",
            (sql + " WHERE seq <> 3",),
        )
    with closing(raw(device.path)) as connection:
        connection.execute("REINDEX idx_records_epoch_seq")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'idx_records_epoch_seq'", (sql,))
    device.restart()
    assert delivered(device) == [1, 2, 4, 5]
    assert device.outbox.holes(after=None) == []
    assert delivered(device) == [1, 2, 3, 4, 5]


def test_a_mark_that_is_ahead_shows_what_the_store_lost(device: Appliance) -> None:
    stored = [device.verify() for _ in range(3)]
    device.outbox.close()
    with closing(raw(device.path)) as connection:
        kept = connection.execute("SELECT seq, sha256 FROM epochs").fetchone()
    device.restart()
    lost = [device.verify() for _ in range(2)]
    device.outbox.close()
    with closing(raw(device.path)) as connection:  # as if the write-ahead log had been cut short
        connection.execute("DELETE FROM records WHERE seq > 3")
        connection.execute("UPDATE epochs SET seq = ?, sha256 = ?", kept)
    device.restart()
    assert device.outbox.holes(after=None) == [Hole(1, 4, 5, lost[-1].sha256, "LOST")]
    assert device.verify().seq == 6
    assert delivered(device) == [1, 2, 3, 6]
    assert stored[2].sha256 == kept[1]


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:-1], lambda data: b"\xff" + data[1:]])
def test_a_mark_that_is_torn_says_nothing(device: Appliance, spoil: Callable[[bytes], bytes]) -> None:
    device.verify()
    device.outbox.close()
    mark = beside(device.path, MARK_SUFFIX)
    mark.write_bytes(spoil(mark.read_bytes()))
    device.restart()
    assert device.verify().seq == 2
    assert device.outbox.holes(after=None) == []


def test_a_broken_head_is_mended_by_the_mark(device: Appliance) -> None:
    stored = [device.verify() for _ in range(3)]
    change(device, "UPDATE epochs SET sha256 = zeroblob(32)")
    device.restart()
    assert device.outbox.head() == head_of(stored[-1])
    change(device, "UPDATE epochs SET seq = 2")
    device.restart()
    assert device.outbox.head() == head_of(stored[-1])
    assert device.outbox.holes(after=None) == []


def head_of(record: StoredRecord) -> ChainHead:
    return ChainHead(record.epoch, record.seq, record.sha256)


def test_a_broken_receipt_is_not_cited(authority: Authority, device: Appliance) -> None:
    device.verify()
    apply(device, receipt_through(authority, device, 1))
    change(device, "UPDATE receipt SET envelope = x'00' || substr(envelope, 2)")
    change(device, "UPDATE witness SET note = 'x'")
    cited = device.outbox.cited()
    assert (cited.receipt_sha256, cited.checkpoint_sha256, cited.server_time) == (b"", b"", None)
    assert device.outbox.witnessed() is None
    assert device.outbox.confirmed() == Position(1, 1)
    apply(device, receipt_through(authority, device, 1))
    assert device.outbox.cited().server_time == NOW


@pytest.mark.parametrize("arrived", ["-1", "'x'", "9223372036854775807"])
def test_an_arrival_that_cannot_be_stops_no_record(
    authority: Authority, device: Appliance, arrived: str
) -> None:
    recorder = device.recorder()
    begun = recorder.ensure_enrolled()
    assert begun is not None
    apply(device, receipt_through(authority, device, 1), arrival=arrival_now(recorder.clock))
    change(device, f"UPDATE receipt SET arrival_ns = {arrived}")
    statement = statement_of(
        recorder.record(Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))
    )
    assert statement.last_receipt_sha256
    assert not statement.clock.HasField("since_receipt_ns")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE epochs SET seq = 'x'",
        "UPDATE epochs SET seq = -1",
        "UPDATE epochs SET sha256 = x'00'",
        "UPDATE epochs SET seq = 1.5",
    ],
)
def test_numbers_that_are_none_are_said(device: Appliance, damage: str) -> None:
    device.verify()
    change(device, damage)
    with pytest.raises(StorageError) as error:
        device.restart()
    assert error.value.code == "OUTBOX_CORRUPT"
