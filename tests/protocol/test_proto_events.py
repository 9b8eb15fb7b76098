"""Device events: each has its own part and place, and says in words what happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.authority import Authority, Device, device_event, verification
from tests.support.events import (
    DIGEST,
    gap_event,
    peripheral_event,
    place,
    reset_event,
    tombstone_event,
)
from verifield.chain import ChainHead
from verifield.describe import describe_event
from verifield.errors import Malformed, Unknown
from verifield.rules import MAX_PATH_CHARS
from verifield.statement import encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb

Change = Callable[[pb.Statement], object]


@pytest.fixture
def device() -> Device:
    """A device with four records in its first epoch."""
    device = Authority.create().enroll("device-1")
    device.sign(device_event(device))
    for _ in range(3):
        device.sign(verification(device, outcome=pb.OUTCOME_ABORTED))
    return device


def enrolment(device: Device) -> pb.Statement:
    """Return the first record of ``device``, once more."""
    return device_event(Device(device.device_id, device.key, device.chain))


def check(statement: pb.Statement) -> str:
    """Pass the statement through both sides and return its words."""
    assert parse_statement(encode_statement(statement)) == statement
    return describe_event(statement)


def refuse(statement: pb.Statement) -> None:
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())
    with pytest.raises(Malformed):
        encode_statement(statement)


@pytest.mark.req("E043")
def test_every_event_passes_and_has_its_words(device: Device) -> None:
    successor = enrolment(device)
    successor.device_event.predecessor_id = "device-0"
    assert "was enrolled in the place of device device-0" in check(successor)
    assert check(gap_event(device, first=2, last=4)) == (
        "Records 2 to 4 of epoch 1 are lost for ever (DAMAGED)."
    )
    assert check(gap_event(device, first=4, last=4, reason="LOST")) == (
        "Record 4 of epoch 1 is lost for ever (LOST)."
    )
    assert check(tombstone_event(device, seq=4)) == (
        "Record 4 of epoch 1 was refused by the service for ever (MALFORMED)."
    )
    assert check(peripheral_event(device)) == "The camera is usb-2 from now on, where it was usb-1 before."
    assert check(peripheral_event(device, previous="")) == "The camera is usb-2 from now on."
    assert check(reset_event(device, cloud_head=ChainHead(1, 9, DIGEST), reason="FORK")) == (
        "The chain was begun anew as epoch 2 (FORK): the device had record 4 of epoch 1, the service "
        "record 9 of epoch 1."
    )
    fork = reset_event(device, cloud_head=ChainHead(1, 4, DIGEST), reason="FORK")
    assert "had record 4 of epoch 1, the service another one in its place." in check(fork)
    agreed = reset_event(device, cloud_head=device.head, reason="COUNTER_AHEAD")
    assert "the service record 4 of epoch 1." in check(agreed)
    lost = reset_event(device, epoch=3, reason="STORE_LOST")
    lost.device_event.reset.ClearField("device_head")
    assert "the device had no record any more, the service none." in check(lost)
    assert describe_event(verification(device)) == ""


def event(device: Device, name: str) -> pb.Statement:
    made = {
        "enrolled": enrolment,
        "reset": lambda device: reset_event(device, cloud_head=device.head),
        "gap": lambda device: gap_event(device, first=2, last=3),
        "tombstone": lambda device: tombstone_event(device, seq=4),
        "peripheral": peripheral_event,
    }
    return made[name](device)


PARTS = {
    "enrolled": "certificate_serial",
    "reset": "reset",
    "gap": "gap",
    "tombstone": "tombstone",
    "peripheral": "peripheral",
}


@pytest.mark.parametrize("name", PARTS)
def test_exactly_the_part_of_the_type_is_there(device: Device, name: str) -> None:
    check(event(device, name))
    without = event(device, name)
    without.device_event.ClearField(PARTS[name])
    refuse(without)
    for other in PARTS:
        if other == name:
            continue
        both = event(device, name)
        kept = both.device_event.type
        both.device_event.MergeFrom(event(device, other).device_event)
        both.device_event.type = kept
        refuse(both)
    if name != "enrolled":
        foreign = event(device, name)
        foreign.device_event.predecessor_id = "device-0"
        refuse(foreign)


@pytest.mark.parametrize(("epoch", "seq"), [(1, 2), (2, 1), (2, 2)])
def test_only_the_first_record_of_all_is_an_enrolment(device: Device, epoch: int, seq: int) -> None:
    later = enrolment(device)
    later.chain_epoch, later.seq = epoch, seq
    later.previous_envelope_sha256 = DIGEST if seq > 1 else b""
    refuse(later)


def changed(statement: pb.Statement, change: Change) -> pb.Statement:
    change(statement)
    return statement


def own_predecessor(statement: pb.Statement) -> None:
    statement.device_event.predecessor_id = statement.device_id


@pytest.mark.parametrize("name", ["device 0", "", "x" * 65])
def test_a_predecessor_is_another_device(device: Device, name: str) -> None:
    refuse(changed(device_event(device), own_predecessor))
    if name:
        refuse(changed(device_event(device), lambda s: setattr(s.device_event, "predecessor_id", name)))


BROKEN_RESETS: dict[str, Change] = {
    "not the first": lambda s: (setattr(s, "seq", 2), setattr(s, "previous_envelope_sha256", DIGEST)),
    "in the first epoch": lambda s: (
        setattr(s, "chain_epoch", 1),
        s.device_event.reset.ClearField("device_head"),
        s.device_event.reset.ClearField("cloud_head"),
    ),
    "with a predecessor": lambda s: setattr(s, "previous_envelope_sha256", DIGEST),
    "device head of its own epoch": lambda s: setattr(s.device_event.reset.device_head, "chain_epoch", 2),
    "cloud head of its own epoch": lambda s: setattr(s.device_event.reset.cloud_head, "chain_epoch", 2),
    "device head of no epoch": lambda s: s.device_event.reset.device_head.ClearField("chain_epoch"),
    "cloud head of no seq": lambda s: s.device_event.reset.cloud_head.ClearField("seq"),
    "cloud head without digest": lambda s: s.device_event.reset.cloud_head.ClearField("envelope_sha256"),
    "no reason": lambda s: s.device_event.reset.ClearField("reason"),
}


@pytest.mark.req("E043")
@pytest.mark.parametrize("change", BROKEN_RESETS.values(), ids=BROKEN_RESETS)
def test_a_broken_reset_is_malformed(device: Device, change: Change) -> None:
    refuse(changed(event(device, "reset"), change))


@pytest.mark.req("E043")
def test_a_later_epoch_begins_with_a_reset_and_with_nothing_else(device: Device) -> None:
    for statement in (verification(device), peripheral_event(device), device_event(device)):
        statement.chain_epoch, statement.seq, statement.previous_envelope_sha256 = 2, 1, b""
        refuse(statement)
    first = verification(Device("device-1", device.key, device.chain))
    assert (first.chain_epoch, first.seq) == (1, 1)
    check(first)  # the first epoch may begin with any record


@pytest.mark.parametrize(
    ("first", "last", "sound"),
    [(1, 4, True), (4, 4, True), (0, 4, False), (3, 2, False), (5, 5, False), (1, 5, False)],
)
def test_a_gap_lies_before_its_record(device: Device, first: int, last: int, sound: bool) -> None:
    """The device's next record is number 5."""
    statement = gap_event(device, first=first, last=last)
    if sound:
        check(statement)
    else:
        refuse(statement)


@pytest.mark.parametrize(("seq", "sound"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_tombstone_stands_behind_what_it_closes(device: Device, seq: int, sound: bool) -> None:
    statement = tombstone_event(device, seq=seq)
    if sound:
        check(statement)
    else:
        refuse(statement)


def test_holes_have_digest_and_reason(device: Device) -> None:
    for statement in (
        gap_event(device, first=1, last=1, last_sha256=bytes(31)),
        gap_event(device, first=1, last=1, reason="lost"),
    ):
        refuse(statement)
    for statement in (
        tombstone_event(device, seq=1, envelope_sha256=b""),
        tombstone_event(device, seq=1, reason=""),
    ):
        refuse(statement)


def test_a_peripheral_is_another_one_than_before(device: Device) -> None:
    refuse(peripheral_event(device, previous="usb-1", current="usb-1"))
    refuse(peripheral_event(device, current=""))
    refuse(peripheral_event(device, current="a\x1b[2J"))
    check(peripheral_event(device, current="p" * MAX_PATH_CHARS))
    refuse(peripheral_event(device, current="p" * (MAX_PATH_CHARS + 1)))
    nameless = peripheral_event(device)
    nameless.device_event.peripheral.ClearField("kind")
    refuse(nameless)


def test_a_newer_type_of_event_is_unknown(device: Device) -> None:
    statement = peripheral_event(device)
    statement.device_event.ClearField("type")
    data = statement.SerializeToString()
    newer = pb.Statement.FromString(data)
    newer.device_event.MergeFromString(b"\x08\x63")  # type 99
    with pytest.raises(Unknown):
        parse_statement(newer.SerializeToString())
    refuse(pb.Statement.FromString(data))


def test_positions_cite_what_is_there(device: Device) -> None:
    assert device.head is not None
    assert reset_event(device).device_event.reset.device_head == place(device.head)
