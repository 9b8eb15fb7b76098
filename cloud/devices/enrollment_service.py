"""EnrollmentService: the calls by which devices get certificates.

1  both requests are well-formed PKCS#10 of P-256 keys, and their signatures hold
2  the key protection claimed is a known one; for a TPM the evidence is good (cloud.devices.tpm_credential)
3  the join token is known and in time, or this key's own (cloud.devices.enrollment)
4  the device is written and the token used up, or found where it was, in one transaction
5  a device that is let in gets certificates; a TPM is asked; others wait for a person
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices import enrollment, renewal
from cloud.devices.certificates import Pair, encode_key, issue_pair, parse_csr
from cloud.devices.enrollment import Admission, Applicant, Standing
from cloud.devices.tokens import parse_join_token
from cloud.devices.tpm_credential import SECRET_BYTES, Checked, check_evidence, make_credential
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store.database import Store
from verifield.v1 import attestation_pb2
from verifield.v1 import enrollment_service_pb2 as pb
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceServicer

_STATES = {
    Standing.CHALLENGED: pb.ENROLLMENT_STATE_CHALLENGED,
    Standing.PENDING_APPROVAL: pb.ENROLLMENT_STATE_PENDING_APPROVAL,
    Standing.ACTIVE: pb.ENROLLMENT_STATE_ACTIVE,
}

Context = grpc.aio.ServicerContext[Any, Any]


class EnrollmentService(EnrollmentServiceServicer):
    """``device_endpoint``: told to the device, host:port of the mutual-TLS port.

    ``tpm_roots``: CA certificates of the makers whose TPMs are believed; none, and no TPM is.
    """

    def __init__(
        self,
        store: Store,
        authority: Authority,
        sources: Sources,
        *,
        device_endpoint: str,
        tpm_roots: Sequence[x509.Certificate] = (),
    ) -> None:
        self._store = store
        self._authority = authority
        self._sources = sources
        self._device_endpoint = device_endpoint
        self._tpm_roots = tuple(tpm_roots)

    async def Enroll(self, request: pb.EnrollRequest, context: Context) -> pb.EnrollResponse:
        return await asyncio.to_thread(self._enroll, request)

    async def ActivateCredential(
        self, request: pb.ActivateCredentialRequest, context: Context
    ) -> pb.ActivateCredentialResponse:
        await asyncio.to_thread(self._activate_credential, request)
        return pb.ActivateCredentialResponse()

    async def CreateRenewalChallenge(
        self, request: pb.CreateRenewalChallengeRequest, context: Context
    ) -> pb.CreateRenewalChallengeResponse:
        challenge, expires = renewal.make_challenge(
            self._authority.renewal_secret,
            request.device_id,
            nonce=self._sources.random_bytes(renewal.NONCE_BYTES),
            now=self._sources.now(),
        )
        answer = pb.CreateRenewalChallengeResponse(challenge=challenge)
        answer.expire_time.FromDatetime(expires)
        return answer

    async def RenewCertificates(
        self, request: pb.RenewCertificatesRequest, context: Context
    ) -> pb.RenewCertificatesResponse:
        pair = await asyncio.to_thread(self._renew, request)
        return pb.RenewCertificatesResponse(
            attestation_certificates=pair.attestation, tls_certificates=pair.tls
        )

    def _enroll(self, request: pb.EnrollRequest) -> pb.EnrollResponse:
        attestation_key = parse_csr(request.attestation_csr, what="attestation")  # step 1
        tls_key = parse_csr(request.tls_csr, what="TLS")
        token_sha256 = parse_join_token(request.join_token)
        now_us = to_us(self._sources.now())
        with self._store.reading() as connection:  # strangers never hold up the writers
            enrollment.check_token(connection, token_sha256, now_us=now_us)
        checked = self._check_protection(request, attestation_key)  # step 2
        applicant = Applicant(
            device_id=str(uuid.UUID(bytes=self._sources.random_bytes(16), version=4)),
            key_protection=request.key_protection,
            attestation_key=encode_key(attestation_key),
        )

        def enter(connection: Connection) -> pb.EnrollResponse:
            admission = enrollment.submit(
                connection, applicant, token_sha256=token_sha256, now_us=now_us
            )  # steps 3 and 4
            answer = self._describe(admission)
            if admission.standing is Standing.ACTIVE:  # step 5
                pair = self._issue(connection, admission, attestation_key=attestation_key, tls_key=tls_key)
                answer.attestation_certificates.extend(pair.attestation)
                answer.tls_certificates.extend(pair.tls)
            elif checked is not None:
                answer.tpm_challenge.CopyFrom(self._ask_tpm(connection, admission, checked))
            return answer

        return self._store.run(enter)

    def _check_protection(
        self, request: pb.EnrollRequest, attestation_key: ec.EllipticCurvePublicKey
    ) -> Checked | None:
        if request.key_protection != attestation_pb2.KEY_PROTECTION_TPM:
            return None
        return check_evidence(
            request.tpm, enrolled=attestation_key, roots=self._tpm_roots, now=self._sources.now()
        )

    def _issue(
        self,
        connection: Connection,
        admission: Admission,
        *,
        attestation_key: ec.EllipticCurvePublicKey,
        tls_key: ec.EllipticCurvePublicKey,
    ) -> Pair:
        device_id = admission.device.device_id
        enrollment.check_answers(connection, device_id)
        return issue_pair(
            connection,
            self._authority,
            device_id=device_id,
            attestation_key=attestation_key,
            tls_key=tls_key,
            now=self._sources.now(),
        )

    def _ask_tpm(self, connection: Connection, admission: Admission, checked: Checked) -> pb.TpmChallenge:
        secret = self._sources.random_bytes(SECRET_BYTES)
        enrollment.ask_tpm(
            connection, admission.device.device_id, secret=secret, now_us=to_us(self._sources.now())
        )
        return make_credential(checked, secret, random_bytes=self._sources.random_bytes)

    def _describe(self, admission: Admission) -> pb.EnrollResponse:
        device = admission.device
        return pb.EnrollResponse(
            device_id=device.device_id,
            site_id=device.site_id,
            device_endpoint=self._device_endpoint,
            state=_STATES[admission.standing],
            key_sha256=device.attestation_key_sha256,
            predecessor_id=device.predecessor_id or "",
        )

    def _activate_credential(self, request: pb.ActivateCredentialRequest) -> None:
        def release(connection: Connection) -> bool:
            return enrollment.release(
                connection,
                request.device_id,
                token_sha256=parse_join_token(request.join_token),
                secret=request.secret,
                now_us=to_us(self._sources.now()),
            )

        if not self._store.run(release):  # after the commit: the one try is used up
            raise ServiceError(Reason.TPM_SECRET_REFUSED, "This is not the secret that the TPM was sent.")

    def _renew(self, request: pb.RenewCertificatesRequest) -> Pair:
        tls_key = parse_csr(request.tls_csr, what="TLS")
        now = self._sources.now()
        with self._store.reading() as connection:
            device_id = renewal.check_renewal(
                connection,
                request.proof,
                secret=self._authority.renewal_secret,
                tls_csr=request.tls_csr,
                now=now,
            )

        def renew(connection: Connection) -> Pair:
            return renewal.renew(connection, self._authority, device_id, tls_key=tls_key, now=now)

        return self._store.run(renew)
