"""Verifies a batch: a pure function of its bytes, which any process or thread may compute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from cloud.attestations.record import Record, Refused, verify_record
from cloud.attestations.signer import Signer, check_owner, check_signer


class Job(NamedTuple):
    """What a device delivered, and the attestation certificates that it sent (DER, leaf first)."""

    device_id: str
    certificates: tuple[bytes, ...]
    at: datetime
    envelopes: tuple[bytes, ...]


class Verified(NamedTuple):
    """Who signed, and in the order of the batch what is genuine and what is not."""

    signer: Signer
    records: list[Record | Refused]


def verify_batch(job: Job, *, root: x509.Certificate) -> Verified:
    """Check the certificates, and each envelope: steps 1 to 5 of ``cloud.attestations.ingest``.

    Raises:
        ServiceError: the device may not deliver with these certificates.
    """
    signer = check_signer(job.certificates, root=root, at=job.at)
    check_owner(signer, device_id=job.device_id)
    return Verified(signer, verify_records(signer, job.envelopes))


def verify_records(signer: Signer, envelopes: Sequence[bytes]) -> list[Record | Refused]:
    """Each envelope by itself, by the key of a ``signer`` that was checked."""
    key = load_der_public_key(signer.key_spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("a checked signer has a key on P-256")
    certificate = sha256(signer.chain[0]).digest()
    return [
        verify_record(envelope, key=key, certificate_sha256=certificate, device_id=signer.device_id)
        for envelope in envelopes
    ]
