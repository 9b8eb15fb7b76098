"""How a chain goes on when it cannot go on: resets, gaps, tombstones."""

from __future__ import annotations

import pytest

from tests.support.authority import Authority, Device, device_event, verification
from tests.support.events import DIGEST, gap_event, peripheral_event, reset_event, tombstone_event
from verifield.chain import (
    ChainBreak,
    ChainHead,
    Excuse,
    check_link,
    check_reset,
    excuses_of,
    next_head,
)
from verifield.v1 import attestation_pb2 as pb


@pytest.fixture
def device() -> Device:
    device = Authority.create().enroll("device-1")
    device.sign(device_event(device))
    device.sign(verification(device))
    return device


@pytest.mark.req("E043")
@pytest.mark.parametrize("epoch", [2, 3, 40])
def test_a_device_goes_on_with_a_reset_in_any_later_epoch(device: Device, epoch: int) -> None:
    head = device.head
    reset = reset_event(device, epoch=epoch)
    check_link(reset, head)
    envelope = device.sign(reset)
    following = verification(device)
    assert (following.chain_epoch, following.seq) == (epoch, 2)
    check_link(following, next_head(reset, envelope))


@pytest.mark.parametrize(("epoch", "held"), [(2, 2), (2, 3), (1, 1)])
def test_a_reset_never_goes_back(device: Device, epoch: int, held: int) -> None:
    with pytest.raises(ChainBreak):
        check_link(reset_event(device, epoch=epoch), ChainHead(held, 5, DIGEST))


def test_a_reset_of_a_lost_store_begins_a_chain_but_not_in_the_first_epoch(device: Device) -> None:
    lost = Device("device-1", device.key, device.chain)
    reset = reset_event(lost, epoch=4, reason="STORE_LOST")
    assert not reset.device_event.reset.HasField("device_head")
    check_link(reset, None)
    check_link(reset, ChainHead(3, 9, DIGEST))
    reset.chain_epoch = 1
    with pytest.raises(ChainBreak):
        check_link(reset, None)


def test_a_reset_cites_the_devices_own_head(device: Device) -> None:
    reset = reset_event(device)
    for other in (ChainHead(1, 1, DIGEST), ChainHead(1, 2, DIGEST)):
        with pytest.raises(ChainBreak):
            check_link(reset, other)


@pytest.mark.req("E043")
def test_the_service_takes_a_later_epoch_only_and_wants_its_own_head_cited(device: Device) -> None:
    stands = ChainHead(1, 7, DIGEST)
    check_reset(reset_event(device, cloud_head=stands), stands)
    check_reset(reset_event(device, epoch=3, cloud_head=stands), stands)
    for statement, head in (
        (reset_event(device, cloud_head=stands), ChainHead(1, 6, DIGEST)),
        (reset_event(device, cloud_head=stands), ChainHead(1, 7, bytes(32))),
        (reset_event(device, cloud_head=stands), None),
        (reset_event(device), stands),
        (reset_event(device, cloud_head=stands), ChainHead(2, 7, DIGEST)),
        (verification(device), stands),
    ):
        with pytest.raises(ChainBreak):
            check_reset(statement, head)


def test_without_any_record_the_service_is_in_the_first_epoch(device: Device) -> None:
    check_reset(reset_event(device, epoch=2), None)
    with pytest.raises(ChainBreak):
        check_reset(reset_event(device, epoch=2, cloud_head=ChainHead(1, 1, DIGEST)), None)


@pytest.mark.req("E043")
def test_gaps_and_tombstones_excuse_their_places_and_nothing_else_does(device: Device) -> None:
    assert excuses_of(gap_event(device, first=1, last=2)) == Excuse(1, 2, DIGEST, refused=False)
    assert excuses_of(tombstone_event(device, seq=2)) == Excuse(2, 2, DIGEST, refused=True)
    for statement in (verification(device), peripheral_event(device), reset_event(device)):
        assert excuses_of(statement) is None


def test_the_record_behind_a_hole_names_the_digest_that_the_excuse_gives(device: Device) -> None:
    """Record 3 is lost; record 4 was written before anybody knew, and the gap is told in record 5."""
    device.sign(verification(device, outcome=pb.OUTCOME_ABORTED))
    lost = device.head
    assert lost is not None
    behind = verification(device)
    device.sign(behind)
    excuse = excuses_of(gap_event(device, first=3, last=3, last_sha256=lost.sha256))
    assert excuse is not None
    check_link(behind, ChainHead(1, excuse.last_seq, excuse.last_sha256))
    with pytest.raises(ChainBreak):
        check_link(behind, ChainHead(1, excuse.last_seq, DIGEST))
