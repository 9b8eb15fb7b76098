"""The proof of a device's identity key with which it renews its certificates."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.authority import new_key, sign_envelope
from verifield.errors import Forged, Malformed, Unknown
from verifield.renewal import (
    MAX_CHALLENGE_BYTES,
    MIN_CHALLENGE_BYTES,
    RENEWAL_TYPE,
    check_proof,
    encode_proof,
)
from verifield.statement import STATEMENT_TYPE
from verifield.v1.enrollment_service_pb2 import RenewalProof


def proof() -> RenewalProof:
    return RenewalProof(
        device_id="device-1", challenge=bytes(32), tls_csr_sha256=hashlib.sha256(b"csr").digest()
    )


def test_only_the_known_key_proves_itself() -> None:
    key = new_key()
    envelope = sign_envelope(encode_proof(proof()), payload_type=RENEWAL_TYPE, key=key)
    assert check_proof(envelope, key=key.public_key()) == proof()
    with pytest.raises(Forged):
        check_proof(envelope, key=new_key().public_key())


def test_a_record_is_no_proof() -> None:
    key = new_key()
    envelope = sign_envelope(encode_proof(proof()), payload_type=STATEMENT_TYPE, key=key)
    with pytest.raises(Unknown) as caught:
        check_proof(envelope, key=key.public_key())
    assert caught.value.code == "RENEWAL_TYPE"


@pytest.mark.parametrize(
    ("field", "value", "sound"),
    [
        ("device_id", "", False),
        ("challenge", bytes(MIN_CHALLENGE_BYTES - 1), False),
        ("challenge", bytes(MIN_CHALLENGE_BYTES), True),
        ("challenge", bytes(MAX_CHALLENGE_BYTES), True),
        ("challenge", bytes(MAX_CHALLENGE_BYTES + 1), False),
        ("tls_csr_sha256", bytes(31), False),
    ],
)
def test_the_shape_is_checked_on_both_sides(field: str, value: object, sound: bool) -> None:
    key, changed = new_key(), proof()
    setattr(changed, field, value)
    envelope = sign_envelope(changed.SerializeToString(), payload_type=RENEWAL_TYPE, key=key)
    if sound:
        assert encode_proof(changed) == changed.SerializeToString(deterministic=True)
        check_proof(envelope, key=key.public_key())
        return
    with pytest.raises(Malformed):
        encode_proof(changed)
    with pytest.raises(Malformed):
        check_proof(envelope, key=key.public_key())


def test_fields_of_a_newer_version_are_unknown() -> None:
    key = new_key()
    payload = encode_proof(proof()) + b"\xf8\x7f\x01"
    with pytest.raises(Unknown):
        check_proof(sign_envelope(payload, payload_type=RENEWAL_TYPE, key=key), key=key.public_key())
