"""Envelopes: the encoding that is signed, limits on both sides, and whose key counts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import new_key, sign_envelope
from verifield import dsse
from verifield.errors import Forged, Malformed, Unknown, VerifieldError
from verifield.v1.bundle_pb2 import Envelope, EnvelopeSignature

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/attestation/pae.json").read_text(encoding="utf-8"))
TYPE = "application/vnd.example+protobuf"


@pytest.mark.req("E043")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_pae_equals_the_vector(vector: dict[str, str]) -> None:
    payload = bytes.fromhex(vector["payload_hex"])
    assert dsse.pae(vector["payload_type"], payload).hex() == vector["pae_hex"]


@given(st.text(), st.binary(), st.text(), st.binary())
def test_pae_is_injective(type_1: str, payload_1: bytes, type_2: str, payload_2: bytes) -> None:
    same = (type_1, payload_1) == (type_2, payload_2)
    assert (dsse.pae(type_1, payload_1) == dsse.pae(type_2, payload_2)) == same


@pytest.mark.parametrize("payload_type", [TYPE, "应用/证明", "typ/ä€𝄞"])
def test_a_signature_holds_for_its_type_and_payload_only(payload_type: str) -> None:
    key = new_key()
    envelope = dsse.parse_envelope(sign_envelope(b"payload", payload_type=payload_type, key=key))
    assert dsse.check_signature(envelope, key.public_key()) == b"payload"
    for changed in (
        Envelope(payload=b"payloae", payload_type=payload_type, signatures=envelope.signatures),
        Envelope(payload=b"payload", payload_type=payload_type + "x", signatures=envelope.signatures),
    ):
        with pytest.raises(Forged):
            dsse.check_signature(changed, key.public_key())


def test_one_good_signature_of_several_is_enough_and_a_foreign_key_is_not() -> None:
    key, supervisor = new_key(), new_key()
    message = dsse.pae(TYPE, b"x")
    signatures = [
        EnvelopeSignature(sig=signer.sign(message, ec.ECDSA(SHA256())), keyid="the same")
        for signer in (supervisor, key)
    ]
    envelope = Envelope(payload=b"x", payload_type=TYPE, signatures=signatures)
    assert dsse.check_signature(envelope, key.public_key()) == b"x"
    assert dsse.check_signature(envelope, supervisor.public_key()) == b"x"
    with pytest.raises(Forged) as caught:
        dsse.check_signature(envelope, new_key().public_key())
    assert caught.value.code == "SIGNATURE"


def test_keys_of_other_curves_are_refused_even_if_their_signature_holds() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    signature = key.sign(dsse.pae(TYPE, b"x"), ec.ECDSA(SHA256()))
    envelope = Envelope(payload=b"x", payload_type=TYPE, signatures=[EnvelopeSignature(sig=signature)])
    with pytest.raises(Unknown):
        dsse.check_signature(envelope, key.public_key())


def test_an_envelope_may_have_64_kib_and_not_one_byte_more() -> None:
    def encode(size: int) -> bytes:
        return dsse.encode_envelope(payload_type=TYPE, payload=bytes(size), signatures=[b"s"])

    overhead = len(encode(40_000)) - 40_000
    largest = encode(dsse.MAX_ENVELOPE_BYTES - overhead)
    assert len(largest) == dsse.MAX_ENVELOPE_BYTES
    dsse.parse_envelope(largest)
    with pytest.raises(Malformed) as caught:
        encode(dsse.MAX_ENVELOPE_BYTES - overhead + 1)
    assert caught.value.code == "TOO_LARGE"


@pytest.mark.parametrize(("count", "accepted"), [(0, False), (1, True), (8, True), (9, False)])
def test_an_envelope_has_one_to_eight_signatures(count: int, accepted: bool) -> None:
    signatures = [EnvelopeSignature(sig=b"s")] * count
    data = Envelope(payload=b"x", payload_type=TYPE, signatures=signatures).SerializeToString()
    if accepted:
        assert len(dsse.parse_envelope(data).signatures) == count
    else:
        with pytest.raises(Malformed):
            dsse.parse_envelope(data)


@pytest.mark.parametrize(("length", "accepted"), [(0, False), (1, True), (72, True), (73, False)])
def test_a_signature_has_one_to_72_bytes(length: int, accepted: bool) -> None:
    signatures = [EnvelopeSignature(sig=bytes(length))]
    data = Envelope(payload=b"x", payload_type=TYPE, signatures=signatures).SerializeToString()
    if accepted:
        dsse.parse_envelope(data)
    else:
        with pytest.raises(Malformed):
            dsse.parse_envelope(data)


@pytest.mark.parametrize(("chars", "accepted"), [(0, False), (85, True), (86, False)])
def test_a_payload_type_has_up_to_256_bytes_not_characters(chars: int, accepted: bool) -> None:
    envelope = Envelope(payload=b"x", payload_type="证" * chars, signatures=[EnvelopeSignature(sig=b"s")])
    if accepted:
        dsse.parse_envelope(envelope.SerializeToString())
    else:
        with pytest.raises(Malformed):
            dsse.parse_envelope(envelope.SerializeToString())


@pytest.mark.parametrize(
    ("data", "error", "code"),
    [
        (b"", Malformed, "EMPTY"),
        (b"\xff\xff\xff", Malformed, "NOT_PROTOBUF"),
        (b"\x12\x02\xff\xfe", Malformed, "NOT_PROTOBUF"),  # a payload type that is not UTF-8
        (b"\x7a\x01x", Unknown, "UNKNOWN_FIELD"),
        (b"\x0a\x01x\x12\x01t\x1a\x06\x0a\x01s\x7a\x01x", Unknown, "UNKNOWN_FIELD"),  # inside a signature
    ],
)
def test_other_bytes_are_told_apart(data: bytes, error: type[VerifieldError], code: str) -> None:
    with pytest.raises(error) as caught:
        dsse.parse_envelope(data)
    assert caught.value.code == code


@given(st.binary(max_size=200))
def test_random_bytes_never_escape_the_error_tree(data: bytes) -> None:
    with contextlib.suppress(Malformed, Unknown):
        dsse.parse_envelope(data)
