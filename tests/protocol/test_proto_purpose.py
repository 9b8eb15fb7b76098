"""What a record was made for: the rules, and what verifiers that do not know it say."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from tests.support.authority import Device, device_event, verification
from tests.support.cases import build_case
from tests.support.model_cloud import new_authority
from verifield.closed import is_closed
from verifield.errors import Malformed, Unknown
from verifield.statement import encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.verify import verify_bundle
from verifield.wire import check_all_known

NONCE = bytes(range(32))
TASK = "019ca5a0-0000-7000-8000-000000000001"


@pytest.fixture
def device() -> Device:
    return new_authority().enroll("device-1")


@pytest.mark.parametrize(
    "purpose",
    [
        pb.Purpose(nonce=NONCE),
        pb.Purpose(nonce=NONCE, task_id=TASK),
        pb.Purpose(nonce=NONCE, task_id=TASK, number_digest=NONCE),
        pb.Purpose(nonce=NONCE, task_id=TASK, number_digest=NONCE, read_sha256=NONCE),
    ],
)
def test_a_purpose_passes_and_the_bytes_are_stable(device: Device, purpose: pb.Purpose) -> None:
    statement = verification(device)
    statement.purpose.CopyFrom(purpose)
    payload = encode_statement(statement)
    assert parse_statement(payload) == statement
    assert encode_statement(parse_statement(payload)) == payload
    assert is_closed(pb.Statement, payload)


@pytest.mark.parametrize(
    "purpose",
    [
        pb.Purpose(),
        pb.Purpose(nonce=NONCE[:31]),
        pb.Purpose(nonce=NONCE + b"x"),
        pb.Purpose(task_id=TASK),
        pb.Purpose(nonce=NONCE, task_id="no-uuid"),
        pb.Purpose(nonce=NONCE, task_id=TASK.replace("-7000-", "-4000-")),
        pb.Purpose(nonce=NONCE, task_id=TASK, number_digest=b"short"),
        pb.Purpose(nonce=NONCE, number_digest=NONCE),
        pb.Purpose(nonce=NONCE, task_id=TASK, read_sha256=b"short"),
        pb.Purpose(nonce=NONCE, read_sha256=NONCE),
    ],
)
def test_a_broken_purpose_is_malformed(device: Device, purpose: pb.Purpose) -> None:
    statement = verification(device)
    statement.purpose.CopyFrom(purpose)
    statement.purpose.SetInParent()
    with pytest.raises(Malformed):
        encode_statement(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString(deterministic=True))


def test_a_device_event_was_made_for_nothing(device: Device) -> None:
    statement = device_event(device)
    statement.purpose.nonce = NONCE
    with pytest.raises(Malformed):
        encode_statement(statement)


def test_a_bundle_of_a_record_with_a_purpose_is_verified() -> None:
    case = build_case()
    statement = verification(case.device)
    statement.purpose.nonce = NONCE
    envelope = case.device.sign(statement)
    report = verify_bundle(case.authority.bundle(case.device, envelope), roots=[case.authority.root])
    assert report.verdict == "verified"


def test_a_verifier_that_does_not_know_purposes_takes_records_without_and_calls_others_newer(
    device: Device,
) -> None:
    older = _statement_without_purpose()
    plain = encode_statement(verification(device))
    check_all_known(older.FromString(plain), what="statement")
    statement = verification(device)
    statement.purpose.nonce = NONCE
    with pytest.raises(Unknown) as caught:
        check_all_known(older.FromString(encode_statement(statement)), what="statement")
    assert caught.value.code == "UNKNOWN_FIELD"


def _statement_without_purpose() -> type:
    """The message as it was before the field was added."""
    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        if message.name == "Statement":
            del message.field[next(i for i, one in enumerate(message.field) if one.name == "purpose")]
    pool = DescriptorPool()
    stamp = FileDescriptorProto()
    pb.DESCRIPTOR.dependencies[0].CopyToProto(stamp)
    pool.Add(stamp)
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("verifield.v1.Statement"))
