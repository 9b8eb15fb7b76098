"""The second signature of a decision by people."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.authority import Authority, Device, new_key, verification
from verifield.cosign import check_cosignature, encode_cosigner_key, parse_cosigner_key
from verifield.dsse import check_signature, encode_envelope, pae, parse_envelope
from verifield.errors import Forged, Malformed, Unknown
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope


@pytest.fixture(scope="module")
def device() -> Device:
    return Authority.create().enroll("device-1")


def signed(statement: pb.Statement, *keys: ec.EllipticCurvePrivateKey) -> Envelope:
    payload = statement.SerializeToString(deterministic=True)
    signatures = [key.sign(pae(STATEMENT_TYPE, payload), ec.ECDSA(SHA256())) for key in keys]
    return parse_envelope(
        encode_envelope(payload_type=STATEMENT_TYPE, payload=payload, signatures=signatures)
    )


def test_two_signatures_hold_over_the_same_content(device: Device) -> None:
    statement = verification(device, outcome=pb.OUTCOME_MANUAL)
    envelope = signed(statement, device.key, device.supervisor)
    assert len(envelope.signatures) == 2
    check_signature(envelope, device.key.public_key())
    parsed = parse_statement(envelope.payload)
    check_cosignature(envelope, parsed, device_key=device.key.public_key())


@pytest.mark.req("E043")
def test_a_manual_decision_of_one_is_forged(device: Device) -> None:
    statement = verification(device, outcome=pb.OUTCOME_MANUAL)
    for keys in ((device.key,), (device.key, device.key), (device.key, new_key())):
        with pytest.raises(Forged) as caught:
            check_cosignature(signed(statement, *keys), statement, device_key=device.key.public_key())
        assert caught.value.code == "COSIGNATURE"


def test_the_device_cannot_be_the_second_person(device: Device) -> None:
    statement = verification(device, outcome=pb.OUTCOME_MANUAL)
    statement.manual.cosigner_key = encode_cosigner_key(device.key.public_key())
    with pytest.raises(Forged) as caught:
        check_cosignature(
            signed(statement, device.key, device.key), statement, device_key=device.key.public_key()
        )
    assert caught.value.code == "COSIGNATURE"


def test_other_outcomes_need_no_second_signature(device: Device) -> None:
    statement = verification(device)
    check_cosignature(signed(statement, device.key), statement, device_key=device.key.public_key())


def test_a_key_has_one_form_only() -> None:
    key = new_key().public_key()
    der = encode_cosigner_key(key)
    assert parse_cosigner_key(der) == key
    compressed = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    # SEQUENCE { AlgorithmIdentifier, BIT STRING } with the point in its short form
    short = b"\x30" + bytes([2 + 19 + 2 + 34 - 2]) + der[2:23] + b"\x03\x22\x00" + compressed
    for other in (short, der + b"\0", der[:-1], b"", b"key"):
        with pytest.raises(Malformed):
            parse_cosigner_key(other)


def test_keys_of_other_kinds_are_unknown() -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), Ed25519PrivateKey.generate()):
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(Unknown):
            parse_cosigner_key(der)
