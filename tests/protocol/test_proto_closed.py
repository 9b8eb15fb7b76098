"""The quick look for what is unknown says the same as the slow one, for whatever bytes come."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from tests.support.authority import Authority, Device, verification
from verifield.closed import is_closed
from verifield.errors import Unknown
from verifield.v1 import (
    attestation_pb2,
    bundle_pb2,
    device_service_pb2,
    policy_pb2,
    sync_service_pb2,
    transfer_pb2,
)
from verifield.wire import check_all_known

ROUNDS = 400
FILES = (attestation_pb2, bundle_pb2, policy_pb2, transfer_pb2, sync_service_pb2, device_service_pb2)


MESSAGES = [getattr(file, name) for file in FILES for name in file.DESCRIPTOR.message_types_by_name]


@pytest.fixture(scope="module")
def device() -> Device:
    return Authority.create().enroll("device-1")


def slow_look(message: Message) -> bool:
    try:
        check_all_known(message, what="message")
    except Unknown:
        return False
    return True


def fill(message: Message, chance: random.Random, *, depth: int = 0) -> None:
    """Set fields at random; enums now and then to a number that nobody knows."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.4 or (depth > 3 and field.message_type is not None):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)["key"] = "value"
        elif field.message_type is not None:
            holder = getattr(message, field.name)
            child = holder.add() if field.is_repeated else holder
            child.SetInParent()
            fill(child, chance, depth=depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).append(value_of(field, chance))
        else:
            setattr(message, field.name, value_of(field, chance))
    if chance.random() < 0.02:
        message.MergeFromString(b"\xfa\xff\x01\x01x")  # field 4095


def value_of(field: Any, chance: random.Random) -> object:
    if field.enum_type is not None:
        known = list(field.enum_type.values_by_number)
        return chance.choice(known) if chance.random() < 0.98 else max(known) + chance.randint(1, 9)
    kinds = {
        FieldDescriptor.CPPTYPE_STRING: b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
        FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    }
    return kinds.get(field.cpp_type, 7)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.DESCRIPTOR.name)
def test_both_looks_agree_on_every_message_of_the_contract(kind: type[Message]) -> None:
    chance = random.Random(kind.DESCRIPTOR.full_name)
    for _ in range(ROUNDS // 10):
        message = kind()
        fill(message, chance)
        data = message.SerializeToString()
        assert is_closed(kind, data) == slow_look(kind.FromString(data))


def test_both_looks_are_asked_both_ways(device: Device) -> None:
    chance = random.Random(5)
    said = []
    for _ in range(ROUNDS):
        message = attestation_pb2.Statement()
        fill(message, chance)
        said.append(is_closed(attestation_pb2.Statement, message.SerializeToString()))
    assert min(said.count(True), said.count(False)) > ROUNDS // 20
    assert is_closed(attestation_pb2.Statement, verification(device).SerializeToString())


def test_what_the_quick_look_lets_through_the_slow_one_does_too(device: Device) -> None:
    data = verification(device).SerializeToString()
    chance = random.Random(7)
    for _ in range(ROUNDS):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        if is_closed(attestation_pb2.Statement, bytes(changed)):
            try:
                message = attestation_pb2.Statement.FromString(bytes(changed))
            except DecodeError:
                continue  # text that is not UTF-8, which is refused before
            assert slow_look(message)


def test_an_enum_of_a_list_and_one_in_the_depth_are_looked_at(device: Device) -> None:
    statement = verification(device)
    statement.operator.factors.append(99)  # type: ignore[arg-type]
    assert not is_closed(attestation_pb2.Statement, statement.SerializeToString())
    statement = verification(device)
    statement.clock.wall_time.MergeFromString(b"\x98\x06\x01")
    assert not is_closed(attestation_pb2.Statement, statement.SerializeToString())
    assert is_closed(timestamp_pb2.Timestamp, b"\x08\x01")
    assert not is_closed(timestamp_pb2.Timestamp, b"\x08")
