"""Revocation lists: genuine, whole, by the right authority, and what they say of a certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CRLEntryExtensionOID

from tests.support.authority import CA_LIFETIME, NOW, Authority, Device
from verifield.errors import Forged, Malformed, Unknown, Untrusted
from verifield.profile import issuing_certificate
from verifield.revocation import MAX_REVOCATION_LIST_BYTES, parse_revocation_list

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def device(authority: Authority) -> Device:
    return authority.enroll("device-1")


def test_a_list_names_what_was_revoked_and_when(authority: Authority, device: Device) -> None:
    other = authority.enroll("device-2").certificate
    data = authority.revocation_list(device.certificate, at=NOW, issued=NOW + DAY)
    revocations = parse_revocation_list(data, issuers=device.chain[1:], roots=[authority.root])
    assert revocations.issued == NOW + DAY
    assert revocations.issuer == device.certificate.issuer
    assert revocations.revoked_at(device.certificate.serial_number) == NOW
    assert revocations.revoked_at(other.serial_number) is None


def test_a_key_that_was_lost_earlier_counts_from_then(authority: Authority, device: Device) -> None:
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(device.certificate.serial_number)
        .revocation_date(NOW)
        .add_extension(x509.InvalidityDate((NOW - DAY).replace(tzinfo=None)), critical=False)
        .build()
    )
    data = (
        x509.CertificateRevocationListBuilder(authority.issuing.subject, NOW, NOW + DAY)
        .add_revoked_certificate(entry)
        .sign(authority.issuing_key, SHA256())
        .public_bytes(Encoding.DER)
    )
    revocations = parse_revocation_list(data, issuers=device.chain[1:], roots=[authority.root])
    assert revocations.revoked_at(device.certificate.serial_number) == NOW - DAY


def test_a_damaged_entry_is_malformed_only_for_its_own_certificate(
    authority: Authority, device: Device
) -> None:
    garbage = x509.UnrecognizedExtension(CRLEntryExtensionOID.INVALIDITY_DATE, b"yesterday")
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(device.certificate.serial_number)
        .revocation_date(NOW)
        .add_extension(garbage, critical=False)
        .build()
    )
    data = (
        x509.CertificateRevocationListBuilder(authority.issuing.subject, NOW, NOW + DAY)
        .add_revoked_certificate(entry)
        .sign(authority.issuing_key, SHA256())
        .public_bytes(Encoding.DER)
    )
    revocations = parse_revocation_list(data, issuers=device.chain[1:], roots=[authority.root])
    assert revocations.revoked_at(1) is None
    with pytest.raises(Malformed):
        revocations.revoked_at(device.certificate.serial_number)


def test_every_flipped_bit_is_refused(authority: Authority, device: Device) -> None:
    data = authority.revocation_list(device.certificate)
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 1 << index % 8
        with pytest.raises((Malformed, Forged, Untrusted, Unknown)):
            parse_revocation_list(bytes(damaged), issuers=device.chain[1:], roots=[authority.root])


@pytest.mark.parametrize(
    "tag", [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x17, 0x18, 0x30, 0x31, 0xA0]
)
def test_no_other_type_of_a_part_passes_or_crashes(authority: Authority, device: Device, tag: int) -> None:
    data = authority.revocation_list(device.certificate)
    for index in range(len(data)):
        damaged = bytes([*data[:index], tag, *data[index + 1 :]])
        if damaged == data:
            continue
        with pytest.raises((Malformed, Forged, Untrusted, Unknown)):
            parse_revocation_list(damaged, issuers=device.chain[1:], roots=[authority.root])


def test_a_list_must_come_from_the_issuer_and_lead_to_the_root(authority: Authority, device: Device) -> None:
    other = Authority.create()
    roots = [authority.root]
    data = authority.revocation_list()
    with pytest.raises(Untrusted) as caught:
        parse_revocation_list(data, issuers=[], roots=roots)
    assert caught.value.code == "REVOCATION_ISSUER"
    with pytest.raises(Forged):  # the same name, another key
        parse_revocation_list(other.revocation_list(), issuers=device.chain[1:], roots=roots)
    with pytest.raises(Untrusted) as caught:
        parse_revocation_list(data, issuers=device.chain[1:], roots=[other.root])
    assert caught.value.code == "CHAIN"
    late = authority.revocation_list(issued=NOW + CA_LIFETIME + DAY)
    with pytest.raises(Untrusted):
        parse_revocation_list(late, issuers=device.chain[1:], roots=roots)
    with pytest.raises(ValueError, match="trust nobody"):
        parse_revocation_list(data, issuers=device.chain[1:], roots=[])


def test_a_device_cannot_revoke(authority: Authority, device: Device) -> None:
    data = (
        x509.CertificateRevocationListBuilder(device.certificate.subject, NOW, NOW + DAY)
        .sign(device.key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(Untrusted) as caught:
        parse_revocation_list(data, issuers=device.chain, roots=[authority.root])
    assert caught.value.code == "CHAIN"


def test_an_issuer_two_steps_below_the_root_needs_those_between() -> None:
    authority = Authority.create()
    foreign = Authority.create()
    below = issuing_certificate(
        issuer_cert=foreign.issuing,
        issuer_key=foreign.issuing_key,
        public_key=authority.issuing_key.public_key(),
        name="Below",
        now=NOW,
        lifetime=CA_LIFETIME,
    ).public_bytes(Encoding.DER)
    data = (
        x509.CertificateRevocationListBuilder(
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Below")]), NOW, NOW + DAY
        )
        .sign(authority.issuing_key, SHA256())
        .public_bytes(Encoding.DER)
    )
    between = foreign.issuing.public_bytes(Encoding.DER)
    parse_revocation_list(data, issuers=[below, between], roots=[foreign.root])
    for issuers in ([below], [between, below]):
        with pytest.raises(Untrusted):
            parse_revocation_list(data, issuers=issuers, roots=[foreign.root])


def test_partial_lists_are_unknown(authority: Authority, device: Device) -> None:
    partial = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    data = (
        x509.CertificateRevocationListBuilder(authority.issuing.subject, NOW, NOW + DAY)
        .add_extension(partial, critical=True)
        .sign(authority.issuing_key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(Unknown) as caught:
        parse_revocation_list(data, issuers=device.chain[1:], roots=[authority.root])
    assert caught.value.code == "REVOCATION_KIND"


@pytest.mark.parametrize("data", [b"", b"no list", bytes(MAX_REVOCATION_LIST_BYTES + 1)])
def test_other_bytes_are_malformed(authority: Authority, device: Device, data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_revocation_list(data, issuers=device.chain[1:], roots=[authority.root])
    assert caught.value.code == "REVOCATION_LIST"
