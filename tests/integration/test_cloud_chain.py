"""A device's chain in a real database: holes, branches, resets, clones, and what a person has to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import uuid_utils

from cloud.attestations.intake import missing_places
from tests.support.authority import Device, verification
from tests.support.chains import Chain
from tests.support.events import reset_event
from tests.support.intake import Desk, open_desk, receipt_of, statuses
from verifield.chain import ChainHead, envelope_sha256
from verifield.v1.attestation_pb2 import OUTCOME_MANUAL, Statement
from verifield.v1.device_service_pb2 import (
    ALARM_KIND_CLONE,
    ALARM_KIND_FORK,
    ALARM_KIND_GAP,
    ALARM_KIND_PERIPHERAL,
    ALARM_KIND_REFUSED,
    ALARM_KIND_RESET,
    DEVICE_STATE_ACTIVE,
    DEVICE_STATE_SUSPENDED,
    SIDE_RECORD_KIND_BRANCH,
    SIDE_RECORD_KIND_REFUSED,
)

WRITER = "cloud.attestations.chain_writer"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("intake"), database=module_database_url) as opened:
        yield opened


@pytest.fixture
def chain(desk: Desk) -> Chain:
    return Chain(desk.enroll())


def other_chain(chain: Chain) -> Chain:
    """The same key once more: a copy of the device, at its beginning."""
    return Chain(Device(chain.device.device_id, chain.device.key, chain.device.chain))


def kinds(rows: list[tuple[int, int, int, str]]) -> list[tuple[int, int, int]]:
    return [row[:3] for row in rows]


# Holes


def test_a_lost_record_is_passed_once_a_gap_gives_it_up(desk: Desk, chain: Chain) -> None:
    first, lost, third = chain.add(), chain.add(), chain.add()
    delivery = desk.take(chain.device, [first, third])
    assert statuses(delivery) == ["ACCEPTED", "STAGED"]
    assert delivery.missing == [(2, 2)]
    gap = chain.gap(2, 2, reason="DAMAGED")
    delivery = desk.take(chain.device, [gap])
    assert (statuses(delivery), delivery.missing) == (["ACCEPTED"], [])
    assert desk.stored(chain.device) == [first, third, gap]
    receipt = receipt_of(delivery)
    assert receipt is not None
    assert (receipt.through_seq, receipt.head_sha256) == (4, envelope_sha256(gap))
    assert desk.alarms(chain.device) == [(ALARM_KIND_GAP, 1, 4, "DAMAGED")]
    # It turns up after all: kept, and nothing that the device has to act on.
    assert statuses(desk.take(chain.device, [lost])) == ["STAGED"]
    assert desk.asides(chain.device) == [(SIDE_RECORD_KIND_BRANCH, 1, 2, "GIVEN_UP")]
    assert desk.stored(chain.device) == [first, third, gap]


def test_a_gap_that_names_other_bytes_than_the_next_record_is_of_no_use(desk: Desk, chain: Chain) -> None:
    first, _, third = chain.add(), chain.add(), chain.add()
    chain.by_place[1, 2] = b"something else"
    gap = chain.gap(2, 2)
    assert statuses(desk.take(chain.device, [first, third, gap])) == ["ACCEPTED", "FORK", "STAGED"]
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_FORK, 1, 3)]


def test_a_tombstone_counts_only_for_bytes_that_were_refused(desk: Desk, chain: Chain) -> None:
    first, bad, third = chain.add(), chain.add(site="elsewhere"), chain.add()
    stone = chain.tombstone(2)
    assert statuses(desk.take(chain.device, [stone, third, first])) == ["STAGED", "STAGED", "ACCEPTED"]
    assert desk.head(chain.device).seq == 1
    delivery = desk.take(chain.device, [bad])
    assert statuses(delivery) == ["INVALID"]
    assert receipt_of(delivery) is not None, "the batch brought the chain further"
    assert desk.stored(chain.device) == [first, third, stone]
    assert desk.asides(chain.device) == [(SIDE_RECORD_KIND_REFUSED, 1, 2, "OTHER_SITE")]
    assert desk.alarms(chain.device) == [(ALARM_KIND_REFUSED, 1, 2, "OTHER_SITE")]
    assert statuses(desk.take(chain.device, [bad])) == ["INVALID"]


def test_refused_bytes_and_their_tombstone_may_come_in_one_batch(desk: Desk, chain: Chain) -> None:
    batch = [chain.add(), chain.add(site="elsewhere"), chain.add(), chain.tombstone(2)]
    delivery = desk.take(chain.device, batch)
    assert statuses(delivery) == ["ACCEPTED", "INVALID", "ACCEPTED", "ACCEPTED"]


def test_a_bit_that_fell_over_on_the_way_costs_nothing(desk: Desk, chain: Chain) -> None:
    first, second, third = chain.add(), chain.add(), chain.add()
    broken = bytearray(second)
    broken[-10] ^= 1
    assert statuses(desk.take(chain.device, [first, bytes(broken), third])) == [
        "ACCEPTED",
        "INVALID",
        "STAGED",
    ]
    assert statuses(desk.take(chain.device, [second])) == ["ACCEPTED"]
    assert desk.stored(chain.device) == [first, second, third]


def test_the_waiting_record_with_a_used_id_is_found_when_its_turn_comes(desk: Desk, chain: Chain) -> None:
    first = verification(chain.device)
    first.attestation_id = "019ca5a0-0000-7000-8000-00000000aaaa"
    one, two = chain.device.sign(first), chain.device.sign(verification(chain.device))
    again = verification(chain.device)
    again.attestation_id = first.attestation_id
    three = chain.device.sign(again)
    assert statuses(desk.take(chain.device, [three])) == ["STAGED"]
    assert statuses(desk.take(chain.device, [one, two])) == ["ACCEPTED", "ACCEPTED"]
    assert desk.waiting(chain.device) == []
    assert desk.asides(chain.device) == [(SIDE_RECORD_KIND_REFUSED, 1, 3, "ATTESTATION_ID_USED")]
    assert statuses(desk.take(chain.device, [three])) == ["INVALID"]


def test_an_id_that_another_device_used_meanwhile_is_found_too(desk: Desk, chain: Chain) -> None:
    first = verification(chain.device)
    first.attestation_id = "019ca5a0-0000-7000-8000-00000000bbb1"
    one = chain.device.sign(first)
    mine = verification(chain.device)
    mine.attestation_id = "019ca5a0-0000-7000-8000-00000000bbb2"
    two = chain.device.sign(mine)
    assert statuses(desk.take(chain.device, [two])) == ["STAGED"]
    other = desk.enroll()
    theirs = verification(other)
    theirs.attestation_id = mine.attestation_id
    assert statuses(desk.take(other, [other.sign(theirs)])) == ["ACCEPTED"]
    assert statuses(desk.take(chain.device, [one])) == ["ACCEPTED"]
    assert desk.stored(chain.device) == [one]
    assert desk.asides(chain.device) == [(SIDE_RECORD_KIND_REFUSED, 1, 2, "ATTESTATION_ID_USED")]


def test_what_waits_is_taken_further_in_pieces(
    desk: Desk, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WRITER}.MAX_ADVANCE", 4)
    envelopes = [chain.add() for _ in range(10)]
    desk.take(chain.device, envelopes[1:])
    delivery = desk.take(chain.device, envelopes[:1])
    assert (delivery.more, desk.head(chain.device).seq) == (True, 4)
    assert (desk.resume(chain.device).more, desk.head(chain.device).seq) == (True, 8)
    last = desk.resume(chain.device)
    assert (last.more, desk.head(chain.device).seq) == (False, 10)
    assert desk.stored(chain.device) == envelopes


def test_missing_places_are_told_in_ranges(desk: Desk, chain: Chain) -> None:
    envelopes = [chain.add() for _ in range(9)]
    delivery = desk.take(chain.device, [envelopes[0], envelopes[3], envelopes[8]])
    assert delivery.missing == [(2, 3), (5, 8)]
    with desk.store.reading() as connection:
        found = missing_places(connection, chain.device.device_id, desk.head(chain.device))
    assert found == (9, [(2, 3), (5, 8)])


# Branches, resets, clones


def test_after_a_fork_the_device_goes_on_in_a_new_epoch(desk: Desk, chain: Chain) -> None:
    twin = other_chain(chain)
    ours = [twin.add(), twin.add()]
    desk.take(chain.device, ours)
    theirs = [chain.add(), chain.add(), chain.add()]
    assert statuses(desk.take(chain.device, theirs)) == ["FORK", "FORK", "FORK"]
    assert kinds(desk.asides(chain.device)) == [(SIDE_RECORD_KIND_BRANCH, 1, seq) for seq in (1, 2, 3)]
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_FORK, 1, 1)], "one, until a person has looked"
    reset = chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)
    after = chain.add()
    assert statuses(desk.take(chain.device, [after, reset])) == ["ACCEPTED", "ACCEPTED"]
    assert desk.stored(chain.device) == [*ours, reset, after]
    assert kinds(desk.alarms(chain.device))[1:] == [(ALARM_KIND_RESET, 2, 1)]
    [epoch] = desk.ask("SELECT * FROM epochs WHERE device_id = :device", chain.device)
    assert epoch[3:] == (1, 2, envelope_sha256(ours[1]), 1, 3, envelope_sha256(theirs[2]))
    # Its own older branch is told of by the reset: kept, and no clone.
    assert statuses(desk.take(chain.device, theirs)) == ["FORK"] * 3
    assert statuses(desk.take(chain.device, ours)) == ["ALREADY_HAVE"] * 2
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE


def test_a_fork_is_told_again_after_a_person_has_looked(desk: Desk, chain: Chain) -> None:
    twin = other_chain(chain)
    desk.take(chain.device, [twin.add(), twin.add()])
    desk.take(chain.device, [chain.add()])
    desk.acknowledge(chain.device)
    desk.take(chain.device, [chain.envelopes[0]])
    assert len(desk.alarms(chain.device)) == 1, "known already"
    desk.take(chain.device, [chain.add()])
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_FORK, 1, 1), (ALARM_KIND_FORK, 1, 2)]


def test_a_closed_epoch_that_goes_on_is_a_clone(desk: Desk, chain: Chain) -> None:
    first, second = chain.add(), chain.add()
    desk.take(chain.device, [first])
    copy = Chain(Device(chain.device.device_id, chain.device.key, chain.device.chain, chain.head))
    reset = chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)
    desk.take(chain.device, [reset])
    desk.acknowledge(chain.device)
    assert statuses(desk.take(chain.device, [second])) == ["FORK"], "the device's own, told by the reset"
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE
    foreign = copy.add()
    own = chain.add()
    assert statuses(desk.take(chain.device, [foreign, own])) == ["FORK", "STAGED"]
    assert kinds(desk.alarms(chain.device))[1:] == [(ALARM_KIND_CLONE, 1, 3)]
    assert desk.row(chain.device).state == DEVICE_STATE_SUSPENDED
    assert statuses(desk.take(chain.device, [own, chain.add()])) == ["STAGED", "STAGED"]
    assert desk.stored(chain.device) == [first, reset]
    # A person has looked: the chain goes on, and the same record is no second clone.
    desk.acknowledge(chain.device)
    desk.set_state(chain.device, DEVICE_STATE_ACTIVE)
    desk.resume(chain.device)
    assert desk.stored(chain.device) == [first, reset, *chain.envelopes[-2:]]
    assert statuses(desk.take(chain.device, [foreign])) == ["FORK"]
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE


def test_a_second_reset_waits_for_a_person(desk: Desk, chain: Chain) -> None:
    desk.take(chain.device, [chain.add()])
    desk.take(chain.device, [chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)])
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE
    second = chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)
    after = chain.add()
    delivery = desk.take(chain.device, [second, after])
    assert (statuses(delivery), delivery.receipt) == (["STAGED", "STAGED"], b"")
    assert desk.row(chain.device).state == DEVICE_STATE_SUSPENDED
    told = [(ALARM_KIND_RESET, 2, 1), (ALARM_KIND_RESET, 3, 1)]
    assert kinds(desk.alarms(chain.device)) == told
    desk.acknowledge(chain.device)
    desk.set_state(chain.device, DEVICE_STATE_ACTIVE)
    assert receipt_of(desk.resume(chain.device)) is not None
    assert desk.head(chain.device) == chain.head
    assert kinds(desk.alarms(chain.device)) == told, "it was told already"


def test_of_two_resets_that_wait_the_newest_counts(desk: Desk, chain: Chain) -> None:
    """With the second the device gave up the first, and what stood behind it."""
    first = chain.add()
    head = chain.head
    given_up, behind = chain.reset(cloud_head=head, device_head=head), chain.add()
    newest = chain.reset(cloud_head=head, device_head=chain.head)
    assert statuses(desk.take(chain.device, [given_up, behind, newest])) == ["STAGED"] * 3
    assert statuses(desk.take(chain.device, [first])) == ["ACCEPTED"]
    assert desk.stored(chain.device) == [first, newest]
    assert kinds(desk.asides(chain.device)) == [
        (SIDE_RECORD_KIND_BRANCH, 2, 1),
        (SIDE_RECORD_KIND_BRANCH, 2, 2),
    ]
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_RESET, 3, 1)]


def test_records_of_an_epoch_that_was_left_unseen_are_branches_and_no_clones(
    desk: Desk, chain: Chain
) -> None:
    """The RESET that led from epoch 1 to 2 never arrived; the one to epoch 3 says where epoch 2 ended."""
    first, own = chain.add(), chain.add()
    head = ChainHead(1, 1, envelope_sha256(first))
    chain.reset(cloud_head=head, device_head=chain.head)
    middle = chain.add()
    reset = chain.reset(cloud_head=head, device_head=chain.head)
    assert statuses(desk.take(chain.device, [first, reset])) == ["ACCEPTED", "ACCEPTED"]
    assert statuses(desk.take(chain.device, [middle, own])) == ["FORK", "FORK"]
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_RESET, 3, 1), (ALARM_KIND_FORK, 1, 2)]
    clone = Chain(
        Device(chain.device.device_id, chain.device.key, chain.device.chain, ChainHead(2, 2, bytes(32)))
    )
    desk.take(chain.device, [clone.add()])
    assert kinds(desk.alarms(chain.device))[2:] == [(ALARM_KIND_CLONE, 2, 3)]


def with_id(chain: Chain, statement: Statement, attestation_id: str) -> bytes:
    statement.attestation_id = attestation_id
    return chain.device.sign(statement)


def test_the_id_of_a_record_serves_no_reset_and_the_other_way_round(desk: Desk, chain: Chain) -> None:
    """Ids are one for all: two records with one id would stop the whole transaction."""
    ids = [str(uuid_utils.uuid7()) for _ in range(2)]
    first = with_id(chain, verification(chain.device), ids[0])
    bad = with_id(chain, reset_event(chain.device, cloud_head=chain.head), ids[0])
    assert statuses(desk.take(chain.device, [bad])) == ["STAGED"], "the head that it cites may come"
    assert statuses(desk.take(chain.device, [first])) == ["ACCEPTED"]
    assert desk.head(chain.device).epoch == 1
    assert statuses(desk.take(chain.device, [bad])) == ["INVALID"]
    head = desk.head(chain.device)
    chain.device.head = head
    good = with_id(chain, reset_event(chain.device, cloud_head=head), ids[1])
    reused = with_id(chain, verification(chain.device), ids[1])
    assert statuses(desk.take(chain.device, [good, reused])) == ["ACCEPTED", "INVALID"]
    assert [reason for *_, reason in desk.asides(chain.device)] == ["ATTESTATION_ID_USED"] * 2


def test_another_device_does_not_sign_as_the_second_person(desk: Desk, chain: Chain) -> None:
    """Two devices in one hand are not two people."""
    person = verification(chain.device, outcome=OUTCOME_MANUAL)
    assert statuses(desk.take(chain.device, [chain.sign(person)])) == ["ACCEPTED"]
    chain.device.supervisor = desk.enroll().key
    machine = verification(chain.device, outcome=OUTCOME_MANUAL)
    assert statuses(desk.take(chain.device, [chain.sign(machine)])) == ["INVALID"]
    assert [reason for *_, reason in desk.asides(chain.device)] == ["COSIGNER_IS_DEVICE"]


def test_a_reset_of_a_device_without_records(desk: Desk, chain: Chain) -> None:
    lost = [chain.add(), chain.add()]
    reset = chain.reset(cloud_head=None, device_head=None, reason="STORE_LOST")
    assert statuses(desk.take(chain.device, [reset])) == ["ACCEPTED"]
    desk.acknowledge(chain.device)
    assert statuses(desk.take(chain.device, lost[:1])) == ["FORK"]
    assert kinds(desk.alarms(chain.device))[1:] == [(ALARM_KIND_CLONE, 1, 1)]


def test_a_reset_that_cites_another_head_is_a_fork_and_the_next_one_helps(desk: Desk, chain: Chain) -> None:
    first = chain.add()
    desk.take(chain.device, [first, chain.add()])
    stale = chain.reset(cloud_head=ChainHead(1, 1, envelope_sha256(first)), device_head=chain.head)
    assert statuses(desk.take(chain.device, [stale])) == ["FORK"]
    assert desk.asides(chain.device) == [(SIDE_RECORD_KIND_BRANCH, 2, 1, "OTHER_CLOUD_HEAD")]
    branch = chain.add()
    assert statuses(desk.take(chain.device, [branch])) == ["STAGED"]
    good = chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)
    assert statuses(desk.take(chain.device, [good])) == ["ACCEPTED"]
    assert desk.head(chain.device).epoch == 3
    # What waited for the epoch that never began is kept beside the chain.
    assert desk.waiting(chain.device) == []
    assert kinds(desk.asides(chain.device))[1:] == [(SIDE_RECORD_KIND_BRANCH, 2, 2)]
    assert statuses(desk.take(chain.device, [branch])) == ["FORK"]
    assert desk.row(chain.device).state == DEVICE_STATE_ACTIVE


def test_a_reset_waits_for_the_head_that_it_cites(desk: Desk, chain: Chain) -> None:
    """As after the service was restored from a backup."""
    envelopes = [chain.add(), chain.add()]
    reset = chain.reset(cloud_head=chain.head, device_head=chain.head)
    assert statuses(desk.take(chain.device, [reset])) == ["STAGED"]
    assert statuses(desk.take(chain.device, envelopes[1:])) == ["STAGED"]
    assert statuses(desk.take(chain.device, envelopes[:1])) == ["ACCEPTED"]
    assert desk.stored(chain.device) == [*envelopes, reset]


def test_a_waiting_reset_whose_head_can_never_come_is_told(desk: Desk, chain: Chain) -> None:
    twin = other_chain(chain)
    chain.add()
    reset = chain.reset(cloud_head=chain.head, device_head=chain.head)
    assert statuses(desk.take(chain.device, [reset])) == ["STAGED"]
    assert statuses(desk.take(chain.device, [twin.add()])) == ["ACCEPTED"]
    assert desk.waiting(chain.device) == []
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_FORK, 2, 1)]
    assert statuses(desk.take(chain.device, [reset])) == ["FORK"]


def test_what_waits_in_an_epoch_that_a_reset_closes_is_kept_beside(desk: Desk, chain: Chain) -> None:
    envelopes = [chain.add() for _ in range(5)]
    desk.take(chain.device, [envelopes[0], *envelopes[2:]])
    reset = chain.reset(cloud_head=desk.head(chain.device), device_head=chain.head)
    late = envelopes[1]
    assert statuses(desk.take(chain.device, [reset, late])) == ["ACCEPTED", "FORK"]
    assert desk.stored(chain.device) == [envelopes[0], reset]
    assert desk.waiting(chain.device) == []
    assert sorted(kinds(desk.asides(chain.device))) == [
        (SIDE_RECORD_KIND_BRANCH, 1, seq) for seq in (2, 3, 4, 5)
    ]
    assert kinds(desk.alarms(chain.device)) == [(ALARM_KIND_RESET, 2, 1)], "they came before the reset"


def test_a_waiting_gap_that_turns_out_a_branch_gives_nothing_up(desk: Desk, chain: Chain) -> None:
    twin = other_chain(chain)
    chain.add(), chain.add()
    gap = chain.gap(1, 1)
    desk.take(chain.device, [gap])
    ours = [twin.add(), twin.add(), twin.add()]
    assert statuses(desk.take(chain.device, ours)) == ["ACCEPTED", "ACCEPTED", "FORK"]
    assert desk.waiting(chain.device) == []
    assert desk.ask("SELECT by_seq FROM excuses WHERE device_id = :device", chain.device) == []
    assert statuses(desk.take(chain.device, [ours[2]])) == ["ACCEPTED"]


def test_another_camera_is_told_and_the_first_is_not(desk: Desk, chain: Chain) -> None:
    assert statuses(desk.take(chain.device, [chain.peripheral(previous="")])) == ["ACCEPTED"]
    assert desk.alarms(chain.device) == []
    assert statuses(desk.take(chain.device, [chain.peripheral()])) == ["ACCEPTED"]
    assert desk.alarms(chain.device) == [(ALARM_KIND_PERIPHERAL, 1, 2, "CAMERA")]
