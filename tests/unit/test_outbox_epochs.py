"""New epochs: what may begin one, what stays deliverable, and which receipts settle what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge.contact import Arrival, ClockMark
from edge.errors import StorageError
from edge.model import Position, ResetReason
from edge.outbox.records import RecordState, SignedRecord
from tests.support.appliance import BOOT_ID, WALL, Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.outbox import ALL, apply, places, receipt_through, states
from verifield.chain import ChainBreak, ChainHead
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

CLOUD_HEAD = ChainHead(1, 9, b"c" * 32)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def test_a_reset_begins_the_next_epoch_and_cites_both_heads(device: Appliance) -> None:
    last = [device.verify() for _ in range(3)][-1]
    reset = device.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_BEHIND)
    statement = parse_statement(parse_envelope(reset.envelope).payload)
    assert (statement.chain_epoch, statement.seq, statement.previous_envelope_sha256) == (2, 1, b"")
    event = statement.device_event.reset
    assert (event.device_head.chain_epoch, event.device_head.seq) == (1, 3)
    assert event.device_head.envelope_sha256 == last.sha256
    assert (event.cloud_head.seq, event.cloud_head.envelope_sha256) == (9, CLOUD_HEAD.sha256)
    assert event.reason == "STORE_BEHIND"
    device.restart()
    assert device.outbox.head() == ChainHead(2, 1, reset.sha256)
    following = device.verify()
    assert following.position == Position(2, 2)
    assert [record.position for record in device.outbox.pending(after=None, **ALL)] == [
        *places(1, 2, 3),
        *places(1, 2, epoch=2),
    ]


def test_a_reset_goes_past_the_newest_epoch_of_either_side(device: Appliance) -> None:
    device.verify()
    reset = device.recorder().record_reset(ChainHead(5, 1, b"c" * 32), ResetReason.FORK)
    assert reset.position == Position(6, 1)
    assert device.recorder().record_reset(ChainHead(1, 1, b"c" * 32), ResetReason.FORK).epoch == 7


def test_a_device_that_lost_everything_begins_with_a_reset_that_cites_nothing(device: Appliance) -> None:
    reset = device.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_LOST)
    event = parse_statement(parse_envelope(reset.envelope).payload).device_event.reset
    assert reset.position == Position(2, 1)
    assert not event.HasField("device_head")


def test_a_reset_that_does_not_cite_our_head_is_refused(device: Appliance) -> None:
    device.verify()
    other = Appliance(device.path.with_name("other.db"), MemorySigner())
    reset = other.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_LOST)
    other.outbox.close()
    with pytest.raises(ChainBreak):
        device.outbox.append(lambda _head, _cited: SignedRecord(reset.envelope))
    assert device.outbox.head() == ChainHead(1, 1, device.outbox.newest(limit=1)[0].sha256)


def test_branched_off_records_are_settled_by_the_receipt_that_covers_the_reset(
    authority: Authority, device: Appliance
) -> None:
    for _ in range(4):
        device.verify()
    apply(device, receipt_through(authority, device, 1))
    device.recorder().record_reset(CLOUD_HEAD, ResetReason.FORK)
    assert states(device) == [RecordState.PENDING] * 5  # nobody knows what the cloud still has
    device.outbox.mark_delivered(places(1, 2))
    device.outbox.mark_branch(places(3))
    device.verify()
    later = NOW + timedelta(hours=1)
    confirmed = apply(device, receipt_through(authority, device, 1, epoch=2, at=later))
    assert confirmed == 4  # delivered, branched off, and the reset itself
    assert states(device) == [
        *[RecordState.CONFIRMED] * 3,
        RecordState.PENDING,  # of the old epoch: still to be delivered
        RecordState.CONFIRMED,
        RecordState.PENDING,
    ]
    assert device.outbox.confirmed() == Position(2, 1)
    assert device.outbox.first_pending() == Position(1, 4)
    assert device.outbox.first_pending(after=Position(1, 4)) == Position(2, 2)


def test_a_receipt_never_settles_a_branch_of_its_own_epoch(authority: Authority, device: Appliance) -> None:
    for _ in range(4):
        device.verify()
    device.outbox.mark_branch(places(2))
    device.outbox.mark_refused(Position(1, 3), "MALFORMED")
    assert apply(device, receipt_through(authority, device, 4)) == 2
    assert states(device) == [
        RecordState.CONFIRMED,
        RecordState.BRANCH,
        RecordState.INVALID,
        RecordState.CONFIRMED,
    ]


def test_a_late_receipt_of_an_older_epoch_confirms_but_is_not_cited(
    authority: Authority, device: Appliance
) -> None:
    for _ in range(2):
        device.verify()
    old = receipt_through(authority, device, 2)
    device.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_BEHIND)
    apply(device, receipt_through(authority, device, 1, epoch=2, at=NOW + timedelta(hours=1)))
    cited = device.outbox.cited()
    assert apply(device, old) == 2
    assert device.outbox.cited() == cited
    assert device.outbox.confirmed() == Position(2, 1)
    assert not device.outbox.has_unconfirmed()


def test_the_newest_receipt_of_a_place_is_cited_with_its_arrival(
    authority: Authority, device: Appliance
) -> None:
    device.verify()
    early = receipt_through(authority, device, 1)
    late = receipt_through(authority, device, 1, at=NOW + timedelta(hours=1))
    apply(device, late, arrival=Arrival(BOOT_ID, 2))
    apply(device, early, arrival=Arrival(BOOT_ID, 3))  # an old answer, from a stick for example
    cited = device.outbox.cited()
    assert (cited.server_time, cited.arrival) == (NOW + timedelta(hours=1), Arrival(BOOT_ID, 2))


def test_the_witnessed_tree_only_grows(authority: Authority, device: Appliance) -> None:
    record = device.verify()
    assert device.outbox.witnessed() is None
    for tree_size in (3, 7, 5):
        authority.append(record.envelope, authority.receipt_chain[0])
        apply(device, receipt_through(authority, device, 1), tree_size=tree_size)
    device.restart()
    seen = device.outbox.witnessed()
    assert seen is not None
    assert seen.tree_size == 7


def test_clocks_that_can_be_believed_are_remembered(authority: Authority, device: Appliance) -> None:
    def verify(quality: pb.TimeQuality.ValueType) -> None:
        device.quality = quality
        device.verify()

    verify(pb.TIME_QUALITY_SUSPECT)
    assert device.outbox.cited().last_clock is None
    verify(pb.TIME_QUALITY_BOUNDED)
    device.restart()
    assert device.outbox.cited().last_clock == ClockMark(BOOT_ID, 1_000_000_007, WALL)


def test_only_a_reset_mends_what_needs_one(device: Appliance) -> None:
    device.verify()
    outbox = device.outbox
    outbox._store.write(lambda: outbox._chain.need_reset(ResetReason.STORE_LOST))
    assert outbox.reset_needed() is ResetReason.STORE_LOST
    for refused in (device.verify, outbox.check_ready):
        with pytest.raises(StorageError) as error:
            refused()
        assert error.value.code == "EPOCH_NEEDED"
    device.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_LOST)
    assert outbox.reset_needed() is None
    assert device.verify().position == Position(2, 2)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_receipt_for_an_epoch_that_we_do_not_have_confirms_nothing(
    authority: Authority, device: Appliance, epoch: int
) -> None:
    device.recorder().record_reset(CLOUD_HEAD, ResetReason.STORE_LOST)
    with pytest.raises(StorageError) as error:
        apply(device, receipt_through(authority, device, 1, epoch=epoch, sha256=b"x" * 32))
    assert error.value.code == "RECEIPT_AHEAD"
