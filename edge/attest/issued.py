"""Certificates in the cloud's answers: kept only if they lead to the pinned root and name our keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from edge.errors import CloudError
from verifield.certificates import Purpose, check_chain, parse_certificate
from verifield.errors import Untrusted, VerifieldError
from verifield.profile import device_id_of


def check_issued(
    attestation_chain: Sequence[bytes],
    tls_chain: Sequence[bytes],
    *,
    roots: list[x509.Certificate],
    device_id: str,
    attestation_key: bytes,
    tls_key: bytes,
) -> None:
    """Check both chains (DER, leaf first) against the roots, our keys (SPKI, DER), and each other.

    The certificates are judged at their own beginning: the clock of a new device may be anything.

    Raises:
        CloudError: ROOT_MISMATCH.
    """
    try:
        leaf = parse_certificate(attestation_chain[0])
        check_chain(attestation_chain, roots=roots, at=leaf.not_valid_before_utc, purpose=Purpose.ATTESTATION)
        tls = [parse_certificate(der) for der in tls_chain]
        _check_leads(tls, roots)
        for certificate, key in ((leaf, attestation_key), (tls[0], tls_key)):
            if _key_of(certificate) != key:
                raise root_mismatch("A certificate in the cloud's answer is for another key.")
            if device_id_of(certificate) != device_id:
                raise root_mismatch("A certificate in the cloud's answer is for another device.")
    except (VerifieldError, IndexError) as error:
        raise root_mismatch(f"The certificates in the cloud's answer cannot be trusted: {error}") from None


def root_mismatch(message: str) -> CloudError:
    """What is not of our cloud is not believed."""
    return CloudError(
        "ROOT_MISMATCH",
        message,
        hint="Check with the operator of the cloud that the root file and the address belong together.",
    )


def _check_leads(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> None:
    """The TLS chain is judged by the cloud's servers; here only that it leads to our root."""
    for certificate, issuer in pairwise(chain):
        if not _issued_by(certificate, issuer):
            raise Untrusted("CHAIN", "The TLS certificates do not form a chain.")
    if not any(_issued_by(chain[-1], root) for root in roots):
        raise Untrusted("CHAIN", "The TLS certificates do not lead to the pinned root.")


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _key_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
