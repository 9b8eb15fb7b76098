"""The chain of one device, commitments, and the log's leaf."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import SALT, Authority, Device, device_event, verification
from verifield.chain import ChainBreak, ChainHead, check_link, envelope_sha256, next_head
from verifield.commitments import check_disclosure, commit
from verifield.dsse import pae, parse_envelope
from verifield.errors import Forged, Malformed
from verifield.leaf import log_leaf
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1 import attestation_pb2 as pb


@pytest.fixture
def device() -> Device:
    return Authority.create().enroll("device-1")


@pytest.mark.req("E043")
def test_a_chain_links_record_to_record(device: Device) -> None:
    head: ChainHead | None = None
    for number in range(1, 6):
        statement = device_event(device) if number == 1 else verification(device)
        check_link(statement, head)
        envelope = device.sign(statement)
        head = next_head(statement, envelope)
        assert head == ChainHead(1, number, hashlib.sha256(envelope).digest()) == device.head


def test_gaps_repetitions_and_other_predecessors_break_the_chain(device: Device) -> None:
    first = device_event(device)
    head = next_head(first, device.sign(first))
    good = verification(device)
    check_link(good, head)
    for field, value in (
        ("seq", 1),
        ("seq", 3),
        ("chain_epoch", 2),
        ("previous_envelope_sha256", bytes(32)),
        ("previous_envelope_sha256", b""),
    ):
        broken = pb.Statement()
        broken.CopyFrom(good)
        setattr(broken, field, value)
        with pytest.raises(ChainBreak) as caught:
            check_link(broken, head)
        assert caught.value.code == "CHAIN_BREAK"
        assert isinstance(caught.value, Forged)


def test_a_chain_begins_at_epoch_one_and_seq_one(device: Device) -> None:
    first = device_event(device)
    check_link(first, None)
    for field, value in (("seq", 2), ("chain_epoch", 2), ("previous_envelope_sha256", bytes(32))):
        broken = pb.Statement()
        broken.CopyFrom(first)
        setattr(broken, field, value)
        with pytest.raises(ChainBreak):
            check_link(broken, None)


def test_the_digest_is_of_the_bytes_as_they_are_not_of_what_they_mean(device: Device) -> None:
    envelope = device.sign(device_event(device))
    same_meaning = envelope + b"\x12\x31" + STATEMENT_TYPE.encode()  # the payload type once more
    assert parse_envelope(same_meaning) == parse_envelope(envelope)
    assert envelope_sha256(same_meaning) != envelope_sha256(envelope) == hashlib.sha256(envelope).digest()


@pytest.mark.req("E043")
def test_a_commitment_is_hmac_over_field_and_value() -> None:
    digest = commit(field="document.name", value="测试".encode(), salt=SALT)
    assert digest == hmac.new(SALT, b"document.name\0" + "测试".encode(), hashlib.sha256).digest()


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_commitments_differ_where_values_differ(value: bytes, other: bytes) -> None:
    same = commit(field="f", value=value, salt=SALT) == commit(field="f", value=other, salt=SALT)
    assert same == (value == other)


def test_a_field_is_disclosed_by_its_salt_and_value_alone(device: Device) -> None:
    statement = parse_statement(parse_envelope(device.sign(verification(device))).payload)
    check_disclosure(statement, field="document.number", value=b"specimen", salt=SALT)
    for field, value, salt in (
        ("document.number", b"specimeN", SALT),
        ("document.number", b"specimen", bytes(32)),
        ("document.name", b"specimen", SALT),
        ("document.absent", b"specimen", SALT),
    ):
        with pytest.raises(Forged) as caught:
            check_disclosure(statement, field=field, value=value, salt=salt)
        assert "specime" not in str(caught.value)


@pytest.mark.parametrize("length", [31, 33])
def test_a_salt_has_32_bytes(length: int) -> None:
    with pytest.raises(Malformed):
        commit(field="f", value=b"", salt=bytes(length))


@pytest.mark.parametrize("field", ["", "a\0b", "a\nb", "a\ud800"])
def test_a_field_name_cannot_shift_into_the_value_and_can_be_printed(field: str) -> None:
    with pytest.raises(Malformed):
        commit(field=field, value=b"", salt=SALT)


def test_the_leaf_binds_content_signature_and_certificate(device: Device) -> None:
    envelope = parse_envelope(device.sign(device_event(device)))
    leaf = log_leaf(envelope, device.chain[0])
    parts = (pae(envelope.payload_type, envelope.payload), envelope.signatures[0].sig, device.chain[0])
    assert leaf == b"verifield-leaf-v1\0" + b"".join(hashlib.sha256(part).digest() for part in parts)
    assert leaf != log_leaf(envelope, device.chain[1])
    assert envelope.payload not in leaf
