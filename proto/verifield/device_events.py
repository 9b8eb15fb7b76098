"""Rules of device events: each type has its own part, and no other."""

from __future__ import annotations

import re

from verifield.chain import GENESIS_EPOCH
from verifield.rules import (
    CODE,
    MAX_PATH_CHARS,
    check_counter,
    check_device_id,
    check_digest,
    check_names,
    check_position,
    require,
)
from verifield.v1 import attestation_pb2 as pb

_PARTS: dict[pb.DeviceEventType.ValueType, str] = {
    pb.DEVICE_EVENT_TYPE_ENROLLED: "certificate_serial",
    pb.DEVICE_EVENT_TYPE_RESET: "reset",
    pb.DEVICE_EVENT_TYPE_GAP: "gap",
    pb.DEVICE_EVENT_TYPE_TOMBSTONE: "tombstone",
    pb.DEVICE_EVENT_TYPE_PERIPHERAL: "peripheral",
}
_SERIAL = re.compile(r"[0-9a-f]{1,40}")


def check_device_event(statement: pb.Statement) -> None:
    """Check the event of ``statement`` and its place: a RESET begins a later epoch, an enrolment the first.

    Raises:
        Malformed: a rule is broken; the sentence says which.
    """
    event = statement.device_event
    require(statement.HasField("device_event"), "device_event is missing")
    require(bool(event.type), "device_event.type is missing")
    part = _PARTS[event.type]
    present = {descriptor.name for descriptor, _ in event.ListFields()} - {"type", "predecessor_id"}
    require(present <= {part}, "device_event has a part of another type")
    require(part in present, f"device_event.{part} is missing")
    if event.type == pb.DEVICE_EVENT_TYPE_ENROLLED:
        _check_enrolled(statement)
    else:
        require(not event.predecessor_id, "device_event has a part of another type")
    if event.type == pb.DEVICE_EVENT_TYPE_RESET:
        _check_reset(statement)
    elif event.type == pb.DEVICE_EVENT_TYPE_GAP:
        _check_gap(statement)
    elif event.type == pb.DEVICE_EVENT_TYPE_TOMBSTONE:
        _check_tombstone(statement)
    elif event.type == pb.DEVICE_EVENT_TYPE_PERIPHERAL:
        _check_peripheral(event.peripheral)


def begins_epoch(statement: pb.Statement) -> bool:
    """Whether this is the first record of an epoch after the first, which must be a RESET."""
    return statement.seq == 1 and statement.chain_epoch > GENESIS_EPOCH


def _check_enrolled(statement: pb.Statement) -> None:
    event = statement.device_event
    first = (statement.chain_epoch, statement.seq) == (GENESIS_EPOCH, 1)
    require(first, "an enrolment is not the first record of the first epoch")
    require(
        _SERIAL.fullmatch(event.certificate_serial) is not None,
        "device_event.certificate_serial is not lower-case hex",
    )
    if event.predecessor_id:
        check_device_id(event.predecessor_id, what="device_event.predecessor_id")
        require(event.predecessor_id != statement.device_id, "the device names itself as its predecessor")


def _check_reset(statement: pb.Statement) -> None:
    reset = statement.device_event.reset
    require(begins_epoch(statement), "a reset is not the first record of a later epoch")
    for name in ("device_head", "cloud_head"):
        if reset.HasField(name):
            head = reset.device_head if name == "device_head" else reset.cloud_head
            check_position(head, what=f"reset.{name}")
            require(head.chain_epoch < statement.chain_epoch, f"reset.{name} is not of an earlier epoch")
    _check_code(reset.reason, what="reset.reason")


def _check_gap(statement: pb.Statement) -> None:
    gap = statement.device_event.gap
    check_counter(gap.first_seq, what="gap.first_seq")
    require(gap.first_seq <= gap.last_seq, "the gap ends before it begins")
    require(gap.last_seq < statement.seq, "the gap does not lie before its record")
    check_digest(gap.last_sha256, what="gap.last_sha256")
    _check_code(gap.reason, what="gap.reason")


def _check_tombstone(statement: pb.Statement) -> None:
    tombstone = statement.device_event.tombstone
    check_counter(tombstone.seq, what="tombstone.seq")
    require(tombstone.seq < statement.seq, "the tombstone does not stand behind what it closes")
    check_digest(tombstone.envelope_sha256, what="tombstone.envelope_sha256")
    _check_code(tombstone.reason, what="tombstone.reason")


def _check_peripheral(peripheral: pb.Peripheral) -> None:
    require(bool(peripheral.kind), "peripheral.kind is missing")
    check_names(peripheral.current_id, what="peripheral.current_id", limit=MAX_PATH_CHARS)
    check_names(peripheral.previous_id, what="peripheral.previous_id", required=False, limit=MAX_PATH_CHARS)
    require(peripheral.current_id != peripheral.previous_id, "the peripheral is the one of before")


def _check_code(code: str, *, what: str) -> None:
    require(CODE.fullmatch(code) is not None, f"{what} is not a code")
