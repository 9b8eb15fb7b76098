"""Certificates as this protocol wants them: root, issuing CA under it, leaves of one purpose each."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from verifield.certificates import OPERATOR_CLIENT, Purpose, common_name
from verifield.rules import check_device_id

BACKDATE = timedelta(minutes=5)
"""Certificates begin a little earlier than now, so that a clock slightly behind accepts them."""

Usage = Purpose | Literal["tls_client", "tls_operator", "tls_server"]
PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey
_Issuer = tuple[x509.Name, ec.EllipticCurvePublicKey]


def root_certificate(
    key: ec.EllipticCurvePrivateKey, *, name: str, now: datetime, lifetime: timedelta
) -> x509.Certificate:
    """Return a self-signed CA certificate that allows one level of issuing CAs."""
    subject = _name(name)
    issuer = (subject, key.public_key())
    builder = _builder(subject, key.public_key(), issuer=issuer, now=now, lifetime=lifetime)
    return _as_ca(builder, path_length=1).sign(key, SHA256())


def issuing_certificate(
    *,
    issuer_cert: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """Return the certificate of a CA that issues leaves and no further CAs."""
    issuer = (issuer_cert.subject, issuer_key.public_key())
    builder = _builder(_name(name), public_key, issuer=issuer, now=now, lifetime=lifetime)
    return _as_ca(builder, path_length=0).sign(issuer_key, SHA256())


def leaf_certificate(
    *,
    issuer_cert: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    public_key: PublicKey,
    common_name: str,
    purpose: Usage,
    now: datetime,
    lifetime: timedelta,
    san: Sequence[str] = (),
) -> x509.Certificate:
    """Return a leaf for ``purpose`` alone. ``san``: host names and IP addresses, for a TLS server.

    The common name of an ATTESTATION or tls_client certificate is the device id, that of a tls_operator
    certificate the user's id, that of a LOG certificate the log's origin.

    Raises:
        Malformed: the common name of a device's certificate is no device id.
    """
    if purpose in {Purpose.ATTESTATION, "tls_client"}:
        check_device_id(common_name)
    issuer = (issuer_cert.subject, issuer_key.public_key())
    builder = _builder(_name(common_name), public_key, issuer=issuer, now=now, lifetime=lifetime)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_usage_oids(purpose)), critical=False)
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_general_name, san)), critical=False)
    return builder.sign(issuer_key, SHA256())


def device_id_of(certificate: x509.Certificate) -> str:
    """Return the device id that an attestation or TLS client certificate names.

    Raises:
        Malformed: its common name is no device id.
    """
    device_id = common_name(certificate)
    check_device_id(device_id)
    return device_id


def _builder(
    subject: x509.Name, public_key: PublicKey, *, issuer: _Issuer, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    issuer_name, issuer_key = issuer
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(_key_usage(ca=True), critical=True)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _usage_oids(purpose: Usage) -> list[x509.ObjectIdentifier]:
    if isinstance(purpose, Purpose):
        return [purpose.oid]
    if purpose == "tls_operator":
        return [ExtendedKeyUsageOID.CLIENT_AUTH, OPERATOR_CLIENT]
    return [ExtendedKeyUsageOID.CLIENT_AUTH if purpose == "tls_client" else ExtendedKeyUsageOID.SERVER_AUTH]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
