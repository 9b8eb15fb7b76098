"""What a device asks certificates with, and the giving of them. Every one given out is kept on record.

A TLS certificate is issued anew each time. An attestation certificate lives for years, and every one ever
issued stands in the revocation list once its device is revoked: so a young one is given again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from cloud.authority import ATTESTATION_LIFETIME, Authority
from cloud.errors import Reason, ServiceError
from cloud.sources import to_us
from cloud.store import attestations, issued
from verifield.certificates import Purpose
from verifield.profile import BACKDATE

YOUNG = ATTESTATION_LIFETIME / 3
"""Devices ask from half of the life on: also one whose clock runs ahead by months then gets a new one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both chains of a device: DER, leaf first, root left out."""

    attestation: list[bytes]
    tls: list[bytes]


def issue_pair(
    connection: Connection,
    authority: Authority,
    *,
    device_id: str,
    attestation_key: ec.EllipticCurvePublicKey,
    tls_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> Pair:
    """Issue the certificates of a device, and record them in the transaction of ``connection``.

    The device's row is locked: what is issued while it is revoked would miss the list.
    """
    young = issued.valid_attestation(
        connection, device_id, at_us=to_us(now), until_us=to_us(now + ATTESTATION_LIFETIME - YOUNG)
    )
    if young is not None:
        attestation = attestations.get_chain(connection, young)
    else:
        attestation = authority.issue_device(
            attestation_key, device_id=device_id, usage=Purpose.ATTESTATION, now=now
        )
        record_attestation(connection, device_id, attestation)
    tls = authority.issue_device(tls_key, device_id=device_id, usage="tls_client", now=now)
    issued.add_issued(connection, _row(device_id, tls[0], purpose=issued.TLS_CLIENT))
    return Pair(attestation, tls)


def record_attestation(connection: Connection, device_id: str, chain: Sequence[bytes]) -> None:
    """Keep an attestation certificate (its chain, DER, leaf first), so that it can be revoked; once."""
    row = _row(device_id, chain[0], purpose=issued.ATTESTATION)
    if not issued.is_issued(connection, device_id, row.serial):
        sha256 = attestations.add_chain(connection, chain)
        issued.add_issued(connection, replace(row, certificate_sha256=sha256))


def parse_csr(der: bytes, *, what: str) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key whose possession the request proves; nothing else of it is used.

    Raises:
        ServiceError: not such a request, or its signature does not hold.
    """
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        signed = request.is_signature_valid and isinstance(request.signature_hash_algorithm, hashes.SHA256)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad_csr(what, "cannot be parsed") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _bad_csr(what, "is not for a P-256 key")
    if not signed:
        raise _bad_csr(what, "is not signed by its own key with SHA-256")
    return key


def encode_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def parse_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Return an attestation key that the store holds."""
    key = serialization.load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("a stored attestation key is of another kind")
    return key


def _row(device_id: str, leaf: bytes, *, purpose: str) -> issued.IssuedRow:
    certificate = x509.load_der_x509_certificate(leaf)
    return issued.IssuedRow(
        device_id=device_id,
        serial=f"{certificate.serial_number:x}",
        purpose=purpose,
        issued_us=to_us(certificate.not_valid_before_utc + BACKDATE),
        not_after_us=to_us(certificate.not_valid_after_utc),
    )


def _bad_csr(what: str, why: str) -> ServiceError:
    return ServiceError(Reason.CSR_INVALID, f"The {what} certificate request {why}.", {"request": what})
