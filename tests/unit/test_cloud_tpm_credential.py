"""Evidence of a TPM, made wrong in one place at a time; and the key derivations against the standard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from cloud.devices.tpm_credential import (
    ENDORSEMENT_USAGE,
    MAX_EK_CERTIFICATE_BYTES,
    MAX_EK_CERTIFICATES,
    MAX_TPM_ROOTS,
    SECRET_BYTES,
    check_evidence,
    kdfa,
    kdfe,
    load_tpm_roots,
    make_credential,
)
from cloud.devices.tpm_structures import (
    MAX_STRUCTURE_BYTES,
    Attributes,
    TpmFormatError,
    parse_certified_name,
    parse_public,
    parse_signature,
)
from cloud.errors import Reason, ServiceError
from tests.support.tpm_paper import (
    AK_ATTRIBUTES,
    BOUND,
    EK_ATTRIBUTES,
    KEY_ATTRIBUTES,
    PaperTpm,
    certificate,
    certification,
    ecc_public,
    name_of,
    rsa_public,
    sign,
    u16,
)
from verifield.v1.enrollment_service_pb2 import TpmEvidence

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TPM = PaperTpm()
ROOTS = [TPM.root]


def check(evidence: TpmEvidence, *, roots: list[x509.Certificate] | None = None) -> bytes:
    enrolled = TPM.key.public_key()
    return check_evidence(
        evidence, enrolled=enrolled, roots=ROOTS if roots is None else roots, now=NOW
    ).identity_name


def why_refused(evidence: TpmEvidence, **options: list[x509.Certificate]) -> str:
    with pytest.raises(ServiceError) as caught:
        check(evidence, **options)
    assert caught.value.reason is Reason.KEY_PROTECTION_UNPROVEN
    assert caught.value.hint
    return caught.value.message


def test_good_evidence_names_the_key_to_ask() -> None:
    assert check(TPM.evidence()) == name_of(ecc_public(TPM.ak, AK_ATTRIBUTES))


def test_without_makers_no_tpm_is_believed() -> None:
    assert "no maker" in why_refused(TPM.evidence(), roots=[])


def test_a_maker_that_is_not_trusted_is_refused() -> None:
    assert "maker" in why_refused(TPM.evidence(), roots=[PaperTpm().root])


def test_an_intermediate_of_the_maker_may_come_along_or_be_trusted_itself() -> None:
    between = ec.generate_private_key(ec.SECP256R1())
    issuing = certificate(between, issuer=("Maker", TPM.maker_key), name="Between", ca=True)
    leaf = certificate(TPM.ek, issuer=("Between", between), name="TPM", ca=False)
    chain = [item.public_bytes(Encoding.DER) for item in (leaf, issuing)]
    check(TPM.evidence(ek_certificates=chain))
    check(TPM.evidence(ek_certificates=chain[:1]), roots=[issuing])
    assert "maker" in why_refused(TPM.evidence(ek_certificates=chain[:1]))


@pytest.mark.parametrize(("ca", "may_issue"), [(False, False), (True, False)])
def test_who_may_not_issue_makes_no_tpm(ca: bool, may_issue: bool) -> None:
    """An endorsement key's own certificate, for example, must not vouch for further ones."""
    between = ec.generate_private_key(ec.SECP256R1())
    issuing = certificate(
        between, issuer=("Maker", TPM.maker_key), name="Between", ca=ca, may_issue=may_issue
    )
    leaf = certificate(TPM.ek, issuer=("Between", between), name="TPM", ca=False)
    chain = [item.public_bytes(Encoding.DER) for item in (leaf, issuing)]
    assert "maker" in why_refused(TPM.evidence(ek_certificates=chain))


def test_the_makers_certificate_must_not_have_expired() -> None:
    ended = TPM.ek_certificate(end=NOW - timedelta(seconds=1))
    assert "maker" in why_refused(TPM.evidence(ek_certificates=[ended]))
    check(TPM.evidence(ek_certificates=[TPM.ek_certificate(end=NOW + timedelta(days=1))]))


def test_a_certificate_for_something_else_is_none_of_an_endorsement_key() -> None:
    """Makers certify keys of servers and platforms too, which live wherever their owners want."""
    server = ExtendedKeyUsageOID.SERVER_AUTH
    for purposes in ([ENDORSEMENT_USAGE], [server, ENDORSEMENT_USAGE]):
        check(TPM.evidence(ek_certificates=[TPM.ek_certificate(purposes=purposes)]))
    other = TPM.ek_certificate(purposes=[server])
    assert "not one of an endorsement key" in why_refused(TPM.evidence(ek_certificates=[other]))


def test_the_number_and_size_of_certificates_are_limited() -> None:
    good = TPM.ek_certificate()
    spare = TPM.root.public_bytes(Encoding.DER)
    check(TPM.evidence(ek_certificates=[good, *[spare] * (MAX_EK_CERTIFICATES - 1)]))
    for chain in ([], [good, *[spare] * MAX_EK_CERTIFICATES], [good, bytes(MAX_EK_CERTIFICATE_BYTES + 1)]):
        assert "needs 1 to" in why_refused(TPM.evidence(ek_certificates=chain))
    for chain in ([b"junk"], [good, bytes(MAX_EK_CERTIFICATE_BYTES)]):
        assert "parsed" in why_refused(TPM.evidence(ek_certificates=chain))


def test_the_endorsement_key_is_the_one_in_its_certificate() -> None:
    evidence = TPM.evidence()
    evidence.ek_public = rsa_public(PaperTpm().ek, EK_ATTRIBUTES)
    assert "endorsement key is not" in why_refused(evidence)


ATTRIBUTES = [
    *[("ek_attributes", EK_ATTRIBUTES & ~bit) for bit in (*BOUND, Attributes.RESTRICTED, Attributes.DECRYPT)],
    ("ek_attributes", EK_ATTRIBUTES | Attributes.SIGN),
    *[("ak_attributes", AK_ATTRIBUTES & ~bit) for bit in (*BOUND, Attributes.RESTRICTED, Attributes.SIGN)],
    ("ak_attributes", AK_ATTRIBUTES | Attributes.DECRYPT),
    *[("key_attributes", KEY_ATTRIBUTES & ~bit) for bit in (*BOUND, Attributes.SIGN)],
    ("key_attributes", KEY_ATTRIBUTES | Attributes.RESTRICTED),
    ("key_attributes", KEY_ATTRIBUTES | Attributes.DECRYPT),
]


@pytest.mark.parametrize(("which", "attributes"), ATTRIBUTES)
def test_every_attribute_counts(which: str, attributes: Attributes) -> None:
    assert "attributes" in why_refused(TPM.evidence(**{which: attributes}))  # type: ignore[arg-type]


def test_a_certification_is_of_the_key_given() -> None:
    evidence = TPM.evidence()
    evidence.key_public = ecc_public(TPM.key, KEY_ATTRIBUTES | Attributes(1 << 10))  # noDA: another Name
    assert "another key" in why_refused(evidence)


def test_a_certification_is_by_the_identity_key() -> None:
    evidence = TPM.evidence()
    evidence.certify_signature = sign(TPM.key, evidence.certify_info)
    assert "not signed" in why_refused(evidence)
    evidence = TPM.evidence()
    evidence.certify_signature = u16(0x0014, 0x000B) + u16(256) + bytes(256)
    assert "another kind" in why_refused(evidence)


def test_only_a_tpm_makes_certifications_and_only_of_objects() -> None:
    for made in ({"magic": 0xFF544348}, {"kind": 0x8018}):
        evidence = TPM.evidence()
        evidence.certify_info = certification(name_of(evidence.key_public), **made)
        evidence.certify_signature = sign(TPM.ak, evidence.certify_info)
        assert "cannot be read" in why_refused(evidence)


def test_the_request_is_for_the_key_in_the_tpm() -> None:
    evidence = dataclasses.replace(TPM, key=ec.generate_private_key(ec.SECP256R1())).evidence()
    assert "certificate request" in why_refused(evidence)


def test_a_curve_or_size_that_does_not_count_is_refused() -> None:
    small = dataclasses.replace(TPM, ek=rsa.generate_private_key(65537, 1024))
    evidence = TPM.evidence()
    evidence.ek_public = rsa_public(small.ek, EK_ATTRIBUTES)
    assert "cannot be read" in why_refused(evidence)
    evidence = TPM.evidence()
    evidence.key_public = evidence.key_public.replace(u16(0x0003, 0x0010), u16(0x0005, 0x0010), 1)
    assert "cannot be read" in why_refused(evidence)
    off = TPM.evidence()
    off.key_public = off.key_public[:-1] + bytes([off.key_public[-1] ^ 1])
    assert "cannot be read" in why_refused(off)
    sha1 = TPM.evidence()
    sha1.key_public = u16(0x0023, 0x0004) + sha1.key_public[4:]
    assert "cannot be read" in why_refused(sha1)


def test_structures_are_read_whole_or_not_at_all() -> None:
    evidence = TPM.evidence()
    parsers: list[tuple[Callable[[bytes], object], bytes]] = [
        (parse_public, evidence.ek_public),
        (parse_public, evidence.key_public),
        (parse_certified_name, evidence.certify_info),
        (parse_signature, evidence.certify_signature),
    ]
    for parse, data in parsers:
        parse(data)
        for end in range(len(data)):
            with pytest.raises(TpmFormatError):
                parse(data[:end])
        for wrong in (data + b"\0", data + bytes(MAX_STRUCTURE_BYTES)):
            with pytest.raises(TpmFormatError):
                parse(wrong)


@given(st.binary(max_size=400), st.sampled_from([parse_public, parse_certified_name, parse_signature]))
def test_no_bytes_bring_a_parser_down(data: bytes, parse: Callable[[bytes], object]) -> None:
    with suppress(TpmFormatError):
        parse(data)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_changed_byte_brings_a_parser_down(place: int, value: int) -> None:
    for parse, data in ((parse_public, EVIDENCE.ek_public), (parse_public, EVIDENCE.key_public)):
        changed = bytearray(data)
        changed[place % len(changed)] = value
        with suppress(TpmFormatError):
            parse(bytes(changed))


EVIDENCE = TPM.evidence()


def test_kdfa_is_the_counter_mode_of_sp_800_108() -> None:
    for bits in (128, 256, 640):
        reference = KBKDFHMAC(
            algorithm=hashes.SHA256(),
            mode=Mode.CounterMode,
            length=bits // 8,
            rlen=4,
            llen=4,
            location=CounterLocation.BeforeFixed,
            label=None,
            context=None,
            fixed=b"STORAGE\0" + b"u" + b"v" + bits.to_bytes(4),
        ).derive(b"k" * 32)
        assert (
            kdfa(hashes.SHA256(), b"k" * 32, "STORAGE", context_u=b"u", context_v=b"v", bits=bits)
            == reference
        )


def test_kdfe_is_the_concatenation_kdf_of_sp_800_56a() -> None:
    for bits in (256, 640):
        reference = ConcatKDFHash(hashes.SHA256(), bits // 8, otherinfo=b"IDENTITY\0uv").derive(b"z" * 32)
        assert (
            kdfe(hashes.SHA256(), b"z" * 32, "IDENTITY", party_u=b"u", party_v=b"v", bits=bits) == reference
        )


def test_a_secret_is_no_longer_than_a_tpm_takes() -> None:
    checked = check_evidence(TPM.evidence(), enrolled=TPM.key.public_key(), roots=ROOTS, now=NOW)
    make_credential(checked, bytes(SECRET_BYTES), random_bytes=bytes)
    for wrong in (b"", bytes(33)):
        with pytest.raises(ValueError, match="secrets"):
            make_credential(checked, wrong, random_bytes=bytes)


def test_roots_are_certificates_of_cas() -> None:
    pem = ROOTS[0].public_bytes(Encoding.PEM)
    assert load_tpm_roots(pem) == ROOTS
    leaf = x509.load_der_x509_certificate(TPM.ek_certificate()).public_bytes(Encoding.PEM)
    for wrong in (b"", b"junk", leaf, pem + leaf, pem * (MAX_TPM_ROOTS + 1), pem * 4000):
        with pytest.raises(ValueError):  # noqa: PT011 - each is told in the message of SetupError TPM_ROOTS
            load_tpm_roots(wrong)
    assert len(load_tpm_roots(pem * MAX_TPM_ROOTS)) == MAX_TPM_ROOTS
