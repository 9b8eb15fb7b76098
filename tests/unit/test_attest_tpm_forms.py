"""The bytes of a TPM, by hand from the specification (Library, Part 2)."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from edge.attest.tpm_forms import (
    MAX_SIZED_BYTES,
    KeyBlob,
    NvSlot,
    TpmFormError,
    encode_credential,
    encode_key,
    encode_slot,
    parse_key,
    parse_signing_key,
    parse_sized,
    parse_slot,
    sized,
    split_certificates,
    take_sized,
)
from edge.attest.tpm_tools import judge_code

SLOT = NvSlot(0x01851234, "0123456789abcdef0123456789abcdef")
KEY = ec.derive_private_key(7, ec.SECP256R1()).public_key()
NUMBERS = KEY.public_numbers()
ATTRIBUTES = 0x00040472  # sign, noDA, userWithAuth, sensitiveDataOrigin, fixedParent, fixedTPM
RESTRICTED = 0x00010000


def public_area(
    *,
    kind: int = 0x0023,
    name_alg: int = 0x000B,
    attributes: int = ATTRIBUTES,
    policy: bytes = b"",
    symmetric: int = 0x0010,
    scheme: int = 0x0018,
    scheme_hash: int = 0x000B,
    curve: int = 0x0003,
    kdf: int = 0x0010,
    x: bytes = NUMBERS.x.to_bytes(32),
    y: bytes = NUMBERS.y.to_bytes(32),
) -> bytes:
    return (
        struct.pack(">HHI", kind, name_alg, attributes)
        + sized(policy)
        + struct.pack(">HHHHH", symmetric, scheme, scheme_hash, curve, kdf)
        + sized(x)
        + sized(y)
    )


def der() -> bytes:
    return KEY.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_signing_key_is_read() -> None:
    assert parse_signing_key(public_area(), restricted=False) == der()
    assert parse_signing_key(public_area(policy=bytes(32)), restricted=False) == der()
    restricted = public_area(attributes=ATTRIBUTES | RESTRICTED)
    assert parse_signing_key(restricted, restricted=True) == der()


def test_a_coordinate_that_begins_with_zeros_may_be_short() -> None:
    for scalar in range(1, 2000):
        numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        if numbers.x < 2**248:
            short = public_area(x=numbers.x.to_bytes(31), y=numbers.y.to_bytes(32))
            key = serialization.load_der_public_key(parse_signing_key(short, restricted=False))
            assert isinstance(key, ec.EllipticCurvePublicKey)
            assert key.public_numbers() == numbers
            return
    raise AssertionError("no short coordinate found")


@pytest.mark.parametrize(
    "area",
    [
        public_area(kind=0x0001),
        public_area(name_alg=0x0004),
        public_area(symmetric=0x0006),
        public_area(scheme=0x0010),
        public_area(scheme_hash=0x0004),
        public_area(curve=0x0004),
        public_area(kdf=0x0020),
        public_area(y=bytes(32)),
        public_area(x=bytes(1) + NUMBERS.x.to_bytes(32)),
        public_area() + b"\0",
        public_area(attributes=ATTRIBUTES & ~0x00000002),  # fixedTPM
        public_area(attributes=ATTRIBUTES & ~0x00000010),  # fixedParent
        public_area(attributes=ATTRIBUTES & ~0x00000020),  # sensitiveDataOrigin
        public_area(attributes=ATTRIBUTES & ~0x00040000),  # sign
        public_area(attributes=ATTRIBUTES | RESTRICTED),
    ],
)
def test_a_key_that_is_not_as_it_should_be_is_refused(area: bytes) -> None:
    with pytest.raises(TpmFormError):
        parse_signing_key(area, restricted=False)


def test_a_free_key_is_no_restricted_one() -> None:
    with pytest.raises(TpmFormError):
        parse_signing_key(public_area(), restricted=True)


@given(st.integers(0, len(public_area()) - 1))
def test_a_public_area_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(TpmFormError):
        parse_signing_key(public_area()[:length], restricted=False)


def test_files_of_the_store_are_read_back() -> None:
    blob = KeyBlob(SLOT, sized(public_area()), sized(bytes(126)))
    assert parse_key(encode_key(blob)) == blob
    assert parse_slot(encode_slot(SLOT)) == SLOT
    assert SLOT.auth not in repr(blob)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_files_of_the_store(data: bytes) -> None:
    whole = encode_key(KeyBlob(SLOT, sized(b"public"), sized(b"private")))
    for candidate in (data, whole + data[:1] + b"x", whole[: len(data)] if len(data) < len(whole) else b""):
        with pytest.raises(TpmFormError):
            parse_key(candidate)
    with pytest.raises(TpmFormError):
        parse_slot(data)
    with pytest.raises(TpmFormError):
        parse_slot(encode_slot(SLOT) + b"x")
    with pytest.raises(TpmFormError):
        parse_slot(b"VTN1" + bytes(4) + b"\xff" * 32)


def test_sized_structures_have_limits() -> None:
    assert take_sized(sized(b"ab") + b"c") == (b"ab", b"c")
    assert parse_sized(sized(bytes(MAX_SIZED_BYTES))) == bytes(MAX_SIZED_BYTES)
    for data in (b"", b"\0", b"\0\x02a", sized(bytes(MAX_SIZED_BYTES + 1))):
        with pytest.raises(TpmFormError):
            take_sized(data)
    with pytest.raises(TpmFormError):
        parse_sized(sized(b"a") + b"b")


def test_a_credential_file() -> None:
    data = encode_credential(b"blob", b"secret")
    assert data == bytes.fromhex("badcc0de00000001 0004") + b"blob" + b"\0\x06secret"


def test_certificates_one_behind_the_other() -> None:
    small, large = b"\x30\x81\x85" + bytes(0x85), b"\x30\x82\x03\xe8" + bytes(1000)
    assert split_certificates(small + large + bytes(50), limit=8) == [small, large]
    assert split_certificates(small + large, limit=1) == [small]
    assert split_certificates(b"\xff" * 100, limit=8) == []
    assert split_certificates(large[:-1], limit=8) == []
    assert split_certificates(b"\x30\x82\x03", limit=8) == []
    assert split_certificates(b"", limit=8) == []


@pytest.mark.parametrize(
    ("code", "base"),
    [(0x9A2, 0x0A2), (0x1DF, 0x09F), (0x18B, 0x08B), (0x902, 0x902), (0x14C, 0x14C), (0x14A, 0x14A)],
)
def test_response_codes_without_what_they_are_about(code: int, base: int) -> None:
    assert judge_code(code) == base
