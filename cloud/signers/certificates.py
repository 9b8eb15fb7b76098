"""Certificates of signers, of their issuing CA, and of the embedded time-stamping authority (RFC 5280).

What a signer's certificate says: who signed (common name as verified, with the organisation and its code
where the signature is an organisation's), that the key commits to content, and where the list of what was
revoked is found. Its purposes are the signing of documents (RFC 9336), and the protection of e-mail, which
older readers of PDF ask for in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from verifield.documents.identifiers import DOCUMENT_SIGNING, ORGANISATION_ID
from verifield.profile import BACKDATE

MAX_COMMON_NAME = 64
"""Bytes in UTF-8. ub-common-name of RFC 5280 means characters, and common programs count bytes; a longer
name stands whole in the attribute ``name``."""

_MORE = "…"

LIST_LIFETIME = timedelta(days=30)
"""Of a revocation list; who asks for one gets one that is new."""

_NAME = x509.ObjectIdentifier("2.5.4.41")  # id-at-name, which has room for 32768 characters
_PSEUDONYM_BYTES = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """Who signs: ``name`` as verified; ``organisation`` and ``uscc`` (18 characters) of a seal's owner.

    ``account_id`` tells two people of one name apart, and is not readable in the certificate.
    """

    name: str
    account_id: str
    organisation: str = ""
    uscc: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA: its certificate, and the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def signers_certificate(
    root: Issuer, key: ec.EllipticCurvePublicKey, *, name: str, now: datetime
) -> x509.Certificate:
    """The CA that issues to signers and to the time-stamping authority, and to no further CAs."""
    builder = _builder(_common_name(name), key, root, begin=now, end=root.certificate.not_valid_after_utc)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(root.key, SHA256())
    )


def stamping_certificate(
    issuer: Issuer,
    key: ec.EllipticCurvePublicKey,
    *,
    name: str,
    begin: datetime,
    end: datetime,
    list_url: str,
) -> x509.Certificate:
    """Of a time-stamping authority: RFC 3161 wants that purpose alone, and critical."""
    builder = _leaf(_common_name(name), key, issuer, begin=begin, end=end, list_url=list_url)
    return (
        builder.add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(issuer.key, SHA256())
    )


def signer_certificate(
    issuer: Issuer,
    key: ec.EllipticCurvePublicKey,
    subject: Subject,
    *,
    begin: datetime,
    lifetime: timedelta,
    list_url: str,
) -> x509.Certificate:
    """Of somebody who signs, for one act."""
    end = min(begin + lifetime, issuer.certificate.not_valid_after_utc)
    builder = _leaf(subject_name(subject), key, issuer, begin=begin, end=end, list_url=list_url)
    purposes = [x509.ObjectIdentifier(DOCUMENT_SIGNING), ExtendedKeyUsageOID.EMAIL_PROTECTION]
    return (
        builder.add_extension(_usage(digital_signature=True, content_commitment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(issuer.key, SHA256())
    )


def subject_name(subject: Subject) -> x509.Name:
    """The distinguished name of a signer: UTF-8, so that every script and the middle dot are as given."""
    short = _short(subject.name)
    attributes = []
    if subject.organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.organisation))
    if subject.uscc:
        # ETSI EN 319 412-1: a number of China's register of organisations.
        attributes.append(x509.NameAttribute(x509.ObjectIdentifier(ORGANISATION_ID), f"NTRCN-{subject.uscc}"))
    if short != subject.name:
        attributes.append(x509.NameAttribute(_NAME, subject.name))
    if subject.account_id:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, pseudonym(subject.account_id)))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, short))
    return x509.Name(attributes)


def _short(name: str) -> str:
    """As much of a name as a common name has room for, whole characters."""
    encoded = name.encode()
    if len(encoded) <= MAX_COMMON_NAME:
        return name
    return f"{encoded[: MAX_COMMON_NAME - len(_MORE.encode())].decode(errors='ignore')}{_MORE}"


def pseudonym(account_id: str) -> str:
    """What stands for an account in certificates: the same each time, and not the id."""
    digest = hashlib.sha256(b"verifield signer\0" + account_id.encode()).digest()
    return digest[:_PSEUDONYM_BYTES].hex()


@dataclass(frozen=True, slots=True)
class RevokedSigner:
    """One entry of a list. ``invalid_from``: what was signed since then counts for nothing; None: ``at``."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags
    invalid_from: datetime | None


def revocation_list(
    issuer: Issuer,
    revoked: Iterable[RevokedSigner],
    *,
    number: int,
    now: datetime,
    until: datetime | None = None,
) -> bytes:
    """What ``issuer`` has revoked (RFC 5280, DER); ``number`` is higher than that of every list before.

    ``until``: when the next one comes; None: after LIST_LIFETIME.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now)
        .next_update(until or now + LIST_LIFETIME)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    for entry in revoked:
        one = (
            x509.RevokedCertificateBuilder()
            .serial_number(entry.serial)
            .revocation_date(entry.at)
            .add_extension(x509.CRLReason(entry.reason), critical=False)
        )
        if entry.invalid_from is not None:
            one = one.add_extension(x509.InvalidityDate(_naive(entry.invalid_from)), critical=False)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(issuer.key, SHA256()).public_bytes(Encoding.DER)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _leaf(
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: Issuer,
    *,
    begin: datetime,
    end: datetime,
    list_url: str,
) -> x509.CertificateBuilder:
    builder = _builder(name, key, issuer, begin=begin, end=end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if list_url:
        builder = builder.add_extension(_distribution([list_url]), critical=False)
    return builder


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey, issuer: Issuer, *, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _distribution(urls: Sequence[str]) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(url) for url in urls], None, None, None)]
    )


def _usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
