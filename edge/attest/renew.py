"""Renewal of both certificates, by a proof of the identity key: it works long after they have expired.

1. The cloud gives a challenge, on its public port.
2. A new mutual-TLS key is made; the attestation key signs the challenge and the new key's request.
3. What comes back is kept only if it leads to the pinned root and names our keys.
4. The new version of the identity takes the old one's place in one step; until then the old one stands.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime

import grpc

from edge.attest.clock import TimeBounds
from edge.attest.csr import build_csr
from edge.attest.identity import (
    CHANGING_LOCK,
    TLS_KEY,
    DeviceIdentity,
    publish,
    save_identity,
    stage_folder,
)
from edge.attest.issued import check_issued
from edge.attest.keys import SoftwareSigner
from edge.attest.tls_key import create_tls_key
from edge.errors import CloudError, SetupError
from edge.files import locked
from edge.ports import Signer
from edge.rpc import FailureKind, RpcFailure, channel_options, judge_failure
from verifield.certificates import load_roots, parse_certificate
from verifield.dsse import encode_envelope, pae
from verifield.errors import VerifieldError
from verifield.renewal import RENEWAL_TYPE, encode_proof
from verifield.v1.enrollment_service_pb2 import (
    CreateRenewalChallengeRequest,
    RenewalProof,
    RenewCertificatesRequest,
    RenewCertificatesResponse,
)
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

RENEW_TIMEOUT_S = 30.0
"""For each of two short calls."""

_STAGING_PREFIX = ".renewing-"


class RenewalError(CloudError):
    """No new certificates came; the old ones stand. ``failure`` says whether to try again."""

    def __init__(self, failure: RpcFailure) -> None:
        super().__init__(
            failure.code,
            f"The certificates could not be renewed: {failure.message}",
            hint="Records are kept meanwhile. If it stays so, ask the operator of the cloud what is wrong.",
        )
        self.failure = failure


def renewal_due(identity: DeviceIdentity, bounds: TimeBounds) -> bool:
    """Whether one of the certificates has passed half of its life by now, as far as the device knows."""
    return any(
        bounds.likely >= _half_life(chain[0])
        for chain in (identity.tls_certificates, identity.attestation_certificates)
    )


def renew(identity: DeviceIdentity) -> DeviceIdentity:
    """Renew both certificates and return the new version of the identity, which is current then.

    Where another process has renewed them since ``identity`` was opened, that version is returned.

    Raises:
        RenewalError: the cloud is away, refuses, or its answer does not fit.
        SetupError: the key store is away; IDENTITY_REPLACED; IDENTITY_UNWRITABLE.
    """
    folder = identity.folder.parent
    try:
        with locked(folder / CHANGING_LOCK):
            current = DeviceIdentity.open(folder, key_store=identity.key_store)
            if current.device_id != identity.device_id:
                raise SetupError(
                    "IDENTITY_REPLACED",
                    "This device has become a new one meanwhile.",
                    hint="Start the program again: it goes on as the new device.",
                )
            if current.folder != identity.folder:
                return current
            return _renew(current)
    except OSError as error:
        raise SetupError(
            "IDENTITY_UNWRITABLE",
            f"The folder {folder} cannot be written: {error.strerror or error}.",
            hint="Check that it belongs to you and has space.",
        ) from None


def _half_life(der: bytes) -> datetime:
    certificate = parse_certificate(der)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) / 2


def _renew(identity: DeviceIdentity) -> DeviceIdentity:
    folder = identity.folder.parent
    attestation = identity.open_signer()
    staged = stage_folder(folder, prefix=_STAGING_PREFIX)
    try:
        tls = SoftwareSigner(create_tls_key(staged / TLS_KEY, key_store=identity.key_store))
        response = _call(identity, attestation=attestation, tls=tls)
        save_identity(
            DeviceIdentity(
                device_id=identity.device_id,
                site_id=identity.site_id,
                predecessor_id=identity.predecessor_id,
                key_protection=identity.key_protection,
                attestation_key=identity.attestation_key,
                enrollment_endpoint=identity.enrollment_endpoint,
                device_endpoint=identity.device_endpoint,
                root_pem=identity.root_pem,
                attestation_certificates=tuple(response.attestation_certificates),
                tls_certificates=tuple(response.tls_certificates),
                folder=staged,
                key_store=identity.key_store,
            )
        )
        publish(folder, staged=staged, device_id=identity.device_id)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return DeviceIdentity.open(folder, key_store=identity.key_store)


def _call(identity: DeviceIdentity, *, attestation: Signer, tls: Signer) -> RenewCertificatesResponse:
    tls_csr = build_csr(tls)
    credentials = grpc.ssl_channel_credentials(root_certificates=identity.root_pem)
    endpoint = identity.enrollment_endpoint
    with grpc.secure_channel(endpoint, credentials, options=channel_options()) as channel:
        service = EnrollmentServiceStub(channel)
        try:
            challenge = service.CreateRenewalChallenge(
                CreateRenewalChallengeRequest(device_id=identity.device_id), timeout=RENEW_TIMEOUT_S
            ).challenge
            proof = _prove(identity.device_id, challenge, tls_csr=tls_csr, signer=attestation)
            response = service.RenewCertificates(
                RenewCertificatesRequest(proof=proof, tls_csr=tls_csr), timeout=RENEW_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise RenewalError(judge_failure(error)) from None
    try:
        check_issued(
            response.attestation_certificates,
            response.tls_certificates,
            roots=load_roots(identity.root_pem),
            device_id=identity.device_id,
            attestation_key=attestation.public_key_der(),
            tls_key=tls.public_key_der(),
        )
    except CloudError as error:
        raise RenewalError(RpcFailure(FailureKind.PERMANENT, error.code, error.message)) from None
    return response


def _prove(device_id: str, challenge: bytes, *, tls_csr: bytes, signer: Signer) -> bytes:
    """The envelope of the proof; raises ``RenewalError`` where the challenge is none."""
    proof = RenewalProof(
        device_id=device_id, challenge=challenge, tls_csr_sha256=hashlib.sha256(tls_csr).digest()
    )
    try:
        payload = encode_proof(proof)
    except VerifieldError as error:
        raise RenewalError(RpcFailure(FailureKind.PERMANENT, error.code, error.message)) from None
    return encode_envelope(
        payload_type=RENEWAL_TYPE, payload=payload, signatures=[signer.sign(pae(RENEWAL_TYPE, payload))]
    )
