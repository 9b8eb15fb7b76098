"""Assertions of passkeys, checked without the library that made them; and the one form of a report."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import CoseKey
from hypothesis import given, settings
from hypothesis import strategies as st

from verifield.errors import VerifieldError
from verifield.passkeys import MAX_ASSERTION_BYTES, check_assertion
from verifield.report_facts import (
    MAX_REPORT_BYTES,
    ContractFacts,
    Identity,
    PartyFacts,
    ReportFacts,
    encode_report,
    parse_report,
)

CHALLENGE = bytes(range(32))
PRESENT, VERIFIED = 0x01, 0x04
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)


def websafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def es256() -> tuple[bytes, Callable[[bytes], bytes]]:
    key = ec.generate_private_key(ec.SECP256R1())
    return cose(key.public_key()), lambda data: key.sign(data, ec.ECDSA(SHA256()))


def eddsa() -> tuple[bytes, Callable[[bytes], bytes]]:
    key = ed25519.Ed25519PrivateKey.generate()
    return cose(key.public_key()), key.sign


def rs256() -> tuple[bytes, Callable[[bytes], bytes]]:
    key = rsa.generate_private_key(65537, 2048)
    return cose(key.public_key()), lambda data: key.sign(data, padding.PKCS1v15(), SHA256())


def cose(key: Any) -> bytes:
    """As authenticators give it: written by another library."""
    kinds = {
        ec.EllipticCurvePublicKey: -7,
        ed25519.Ed25519PublicKey: -8,
        rsa.RSAPublicKey: -257,
    }
    number = next(number for kind, number in kinds.items() if isinstance(key, kind))
    return cbor.encode(dict(CoseKey.for_alg(number).from_cryptography_key(key)))


def assertion(
    make: Callable[[], tuple[bytes, Callable[[bytes], bytes]]] = es256,
    *,
    challenge: bytes = CHALLENGE,
    kind: str = "webauthn.get",
    flags: int = PRESENT | VERIFIED,
    **changes: str,
) -> bytes:
    key, sign = make()
    data = sha256(b"sign.example.org").digest() + bytes([flags]) + (7).to_bytes(4, "big")
    client = json.dumps({"type": kind, "challenge": websafe(challenge), "origin": "https://a"}).encode()
    found = {
        "authenticatorData": websafe(data),
        "clientDataJSON": websafe(client),
        "publicKey": websafe(key),
        "signature": websafe(sign(data + sha256(client).digest())),
    }
    return json.dumps(found | changes).encode()


def code_of(content: bytes, challenge: bytes = CHALLENGE) -> str:
    with pytest.raises(VerifieldError) as error:
        check_assertion(content, challenge=challenge)
    return error.value.code


@pytest.mark.parametrize("make", [es256, eddsa, rs256])
def test_an_assertion_over_the_challenge_holds(make: Callable[[], Any]) -> None:
    check_assertion(assertion(make), challenge=CHALLENGE)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (assertion(challenge=bytes(32)), "ASSERTION_CHALLENGE"),
        (assertion(kind="webauthn.create"), "ASSERTION_CHALLENGE"),
        (assertion(flags=PRESENT), "ASSERTION_USER"),
        (assertion(flags=VERIFIED), "ASSERTION_USER"),
        (assertion(signature=websafe(b"x" * 70)), "ASSERTION_SIGNATURE"),
        (assertion(publicKey=websafe(es256()[0])), "ASSERTION_SIGNATURE"),
        (
            assertion(publicKey=websafe(cbor.encode({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}))),
            "ASSERTION",
        ),
        (assertion(publicKey=websafe(cbor.encode({1: 2, 3: -35, -1: 2}))), "ASSERTION_KEY"),
        (assertion(publicKey=websafe(cbor.encode([1]))), "ASSERTION"),
        (assertion(publicKey=websafe(es256()[0] + b"\0")), "ASSERTION"),
        (assertion(authenticatorData=websafe(b"short")), "ASSERTION"),
        (assertion(clientDataJSON=websafe(b"[]")), "ASSERTION"),
        (b"{}", "ASSERTION"),
        (b"no json", "ASSERTION"),
        (b" " * (MAX_ASSERTION_BYTES + 1), "ASSERTION"),
    ],
)
def test_what_is_none_or_for_something_else_is_refused(content: bytes, code: str) -> None:
    assert code_of(content) == code


@settings(max_examples=60)
@given(st.binary(max_size=80))
def test_no_bytes_of_a_key_break_the_check(key: bytes) -> None:
    assert code_of(assertion(publicKey=websafe(key))).startswith("ASSERTION")


def facts() -> ReportFacts:
    contract = ContractFacts(
        contract_id="c",
        state="SENT",
        flow="SHORT",
        title="租赁合同",
        number="",
        category="",
        allowed_methods=("FACE",),
        page_count=1,
        created=NOW,
        sent=NOW,
        deadline=None,
        completed=None,
        upload_sha256=bytes(32),
        document_sha256=bytes(32),
        revision_number=0,
        revision_sha256=bytes(32),
    )
    person = Identity(name="试验", id_number="990*************90", method="FACE", verified=NOW)
    party = PartyFacts(
        number=1,
        party_id="p",
        kind="PERSON",
        role="SIGNER",
        state="NOTIFIED",
        sender=False,
        name="试验",
        uscc="",
        identity=person,
        notified=NOW,
        opened=None,
        read=None,
        read_sha256=b"",
        authenticated=None,
        acted=None,
    )
    return ReportFacts(
        type="verifield-evidence-report",
        version=1,
        report_id="r",
        made=NOW,
        root_sha256=bytes(32),
        contract=contract,
        parties=(party, replace(party, number=2, identity=None)),
        signatures=(),
        seal_uses=(),
        revisions=(),
        timeline=(),
    )


def test_a_report_has_one_form() -> None:
    content = encode_report(facts())
    assert parse_report(content) == facts()
    value = json.loads(content)
    for other, code in (
        (json.dumps(value).encode(), "REPORT_FORM"),
        (content + b"\n", "REPORT_FORM"),
        (content.replace(b"{", b"{ ", 1), "REPORT_FORM"),
        (content.replace(bytes(32).hex().encode(), (b"AB" * 32), 1), "REPORT_FORM"),
        (content.replace(b"123456Z", b"123Z", 1), "REPORT_FORM"),
        (encode({**value, "more": 1}), "REPORT_JSON"),
        (encode({name: one for name, one in value.items() if name != "timeline"}), "REPORT_JSON"),
        (encode({**value, "parties": "x"}), "REPORT_JSON"),
        (encode({**value, "made": 7}), "REPORT_JSON"),
        (encode({**value, "contract": {**value["contract"], "page_count": True}}), "REPORT_JSON"),
        (encode({**value, "version": 2}), "REPORT_VERSION"),
        (encode({**value, "type": "x"}), "REPORT_VERSION"),
        (b"[]", "REPORT_JSON"),
        (b"\xff", "REPORT_JSON"),
        (b"[" * 100_000, "REPORT_JSON"),
        (b" " * (MAX_REPORT_BYTES + 1), "REPORT_SIZE"),
    ):
        with pytest.raises(VerifieldError) as error:
            parse_report(other)
        assert error.value.code == code, other[:80]


def encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def test_names_and_numbers_do_not_stand_in_what_is_logged() -> None:
    assert "试验" not in repr(facts())
    assert "990*" not in repr(facts())
