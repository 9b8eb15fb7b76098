"""EnrollmentService: a join token and two proofs of possession become a device with certificates.

1  both requests are well-formed PKCS#10 of P-256 keys, and their signatures hold
2  the key protection claimed is one that needs no proof
3  the join token is known, unused and in time
4  no other device has the attestation key
5  the device is written and the token is used up, in one transaction
6  certificates are issued for the two keys under the new device id
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices.tokens import parse_join_token
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import devices as rows
from cloud.store.database import Store
from verifield.certificates import Purpose
from verifield.chain import GENESIS_EPOCH
from verifield.v1 import attestation_pb2
from verifield.v1 import enrollment_service_pb2 as pb
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceServicer

MAX_CSR_BYTES = 4096
"""A P-256 request has about 300 bytes; the rest is room for attributes that are ignored."""


class EnrollmentService(EnrollmentServiceServicer):
    """``device_endpoint``: told to the device, host:port of the mutual-TLS port."""

    def __init__(self, store: Store, authority: Authority, sources: Sources, *, device_endpoint: str) -> None:
        self._store = store
        self._authority = authority
        self._sources = sources
        self._device_endpoint = device_endpoint

    async def Enroll(
        self, request: pb.EnrollRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.EnrollResponse:
        attestation_key = parse_csr(request.attestation_csr, what="attestation")  # step 1
        tls_key = parse_csr(request.tls_csr, what="TLS")
        if request.key_protection != attestation_pb2.KEY_PROTECTION_SOFTWARE:  # step 2
            raise ServiceError(
                Reason.KEY_PROTECTION_UNPROVEN,
                "This key protection is claimed without a proof that can be checked.",
            )
        token_sha256 = parse_join_token(request.join_token)
        now = self._sources.now()
        applicant = Applicant(
            device_id=str(uuid.UUID(bytes=self._sources.random_bytes(16), version=4)),
            key_protection=request.key_protection,
            key_sha256=hashlib.sha256(_spki(attestation_key)).digest(),
        )
        site_id = await asyncio.to_thread(self._write, applicant, token_sha256, to_us(now))
        issue = self._authority.issue_device  # step 6
        return pb.EnrollResponse(
            device_id=applicant.device_id,
            site_id=site_id,
            attestation_certificates=issue(
                attestation_key, device_id=applicant.device_id, usage=Purpose.ATTESTATION, now=now
            ),
            tls_certificates=issue(tls_key, device_id=applicant.device_id, usage="tls_client", now=now),
            device_endpoint=self._device_endpoint,
        )

    def _write(self, applicant: Applicant, token_sha256: bytes, now_us: int) -> str:
        with self._store.reading() as connection:
            check_token(connection, token_sha256, now_us=now_us)  # strangers never hold up the writers
        with self._store.writing() as connection:
            return admit(connection, applicant, token_sha256=token_sha256, now_us=now_us)


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks to become a device; ``key_sha256`` is the digest of the attestation key (SPKI)."""

    device_id: str
    key_protection: int
    key_sha256: bytes


def admit(connection: Connection, applicant: Applicant, *, token_sha256: bytes, now_us: int) -> str:
    """Write the device and use up its token; return the token's site (steps 3 to 5).

    Raises:
        ServiceError: the token is unknown, used or expired, or the key belongs to a device already.
    """
    token = check_token(connection, token_sha256, now_us=now_us)
    if rows.has_attestation_key(connection, applicant.key_sha256):
        raise ServiceError(Reason.KEY_ALREADY_ENROLLED, "A device with this attestation key exists already.")
    rows.add_device(
        connection,
        device_id=applicant.device_id,
        site_id=token.site_id,
        key_protection=applicant.key_protection,
        attestation_key_sha256=applicant.key_sha256,
        enrolled_us=now_us,
        chain_epoch=GENESIS_EPOCH,
    )
    if not rows.use_join_token(connection, token_sha256, device_id=applicant.device_id, used_us=now_us):
        raise ServiceError(Reason.JOIN_TOKEN_USED, "The join token has enrolled a device already.")
    return token.site_id


def check_token(connection: Connection, token_sha256: bytes, *, now_us: int) -> rows.JoinTokenRow:
    """Return the token if it can enrol a device now (step 3).

    Raises:
        ServiceError: it is unknown, used or expired.
    """
    token = rows.get_join_token(connection, token_sha256)
    if token is None:
        raise ServiceError(Reason.JOIN_TOKEN_UNKNOWN, "There is no such join token.")
    if token.used_us is not None:
        raise ServiceError(Reason.JOIN_TOKEN_USED, "The join token has enrolled a device already.")
    if now_us >= token.expires_us:
        raise ServiceError(Reason.JOIN_TOKEN_EXPIRED, "The join token has expired.")
    return token


def parse_csr(der: bytes, *, what: str) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key whose possession the request proves; nothing else of it is used.

    Raises:
        ServiceError: not such a request, or its signature does not hold.
    """
    if not 0 < len(der) <= MAX_CSR_BYTES:
        raise _bad_csr(what, f"must have 1 to {MAX_CSR_BYTES} bytes")
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


def _bad_csr(what: str, why: str) -> ServiceError:
    return ServiceError(Reason.CSR_INVALID, f"The {what} certificate request {why}.", {"request": what})


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
