"""Enrolment: a join token and a proof of possession against certificates, once per device.

1. The root that the operator handed over is pinned; it also authenticates the server.
2. Two keys are made: one signs attestations, one speaks mutual TLS.
3. Both requests go to the cloud with the token, which is spent by that.
4. What comes back is kept only if it leads to the pinned root and names our keys.
5. The complete identity appears in one step.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from edge.attest.csr import build_csr
from edge.attest.identity import ATTESTATION_KEY, CURRENT, TLS_KEY, DeviceIdentity, publish, save_identity
from edge.attest.keys import SoftwareSigner, open_or_create_secret
from edge.errors import CloudError, SetupError
from edge.files import make_private_folder
from edge.model import KeyProtection
from edge.ports import Signer
from edge.rpc import FailureKind, channel_options, error_reason, judge_failure
from verifield.certificates import Purpose, check_chain, load_roots, parse_certificate
from verifield.errors import Untrusted, VerifieldError
from verifield.profile import device_id_of
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.enrollment_service_pb2 import EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

ENROLL_TIMEOUT_S = 30.0
"""Two certificates are issued in milliseconds; the rest is for a bad link."""

_STAGING_PREFIX = ".enrolling-"


def enroll(
    *,
    endpoint: str,
    root_pem: bytes,
    join_token: str,
    folder: Path,
    key_protection: KeyProtection = KeyProtection.SOFTWARE,
    replace: bool = False,
) -> DeviceIdentity:
    """Enrol this device at ``endpoint`` (host:port) and keep its identity in ``folder``.

    Raises:
        SetupError: ALREADY_ENROLLED (unless ``replace``), ROOT_UNREADABLE, IDENTITY_UNWRITABLE, or a
            key's error.
        CloudError: CLOUD_AWAY, ENROLL_REFUSED (with the cloud's reason) or ROOT_MISMATCH.
    """
    if (folder / CURRENT).is_symlink() and not replace:
        raise SetupError(
            "ALREADY_ENROLLED",
            "This device is enrolled already.",
            hint="Enrol again only to make it a new device, with a new token and --replace.",
        )
    roots = _load_roots(root_pem)
    try:
        return _enroll(
            endpoint=endpoint,
            root_pem=root_pem,
            roots=roots,
            join_token=join_token,
            folder=folder,
            key_protection=key_protection,
        )
    except OSError as error:
        raise SetupError(
            "IDENTITY_UNWRITABLE",
            f"The folder {folder} cannot be written: {error.strerror or error}.",
            hint="Check that it belongs to you and has space; a token that was used is spent.",
        ) from None


def resolve_endpoint(endpoint: str, *, called: str) -> str:
    """Return the mutual-TLS endpoint; an empty host means the host that was called."""
    host, separator, port = endpoint.rpartition(":")
    if not separator or not port.isdigit():
        raise CloudError(
            "ENROLL_ANSWER",
            "The cloud's answer names no usable device endpoint.",
            hint="Ask the operator of the cloud to check its configuration.",
        )
    return f"{host or called.rpartition(':')[0]}:{port}"


def _enroll(
    *,
    endpoint: str,
    root_pem: bytes,
    roots: list[x509.Certificate],
    join_token: str,
    folder: Path,
    key_protection: KeyProtection,
) -> DeviceIdentity:
    make_private_folder(folder)
    secret = open_or_create_secret(folder, environ=os.environ)
    _remove_leftovers(folder)
    staged = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
    try:
        attestation = SoftwareSigner.create(staged / ATTESTATION_KEY, secret=secret)
        tls = SoftwareSigner.create(staged / TLS_KEY, secret=secret)
        request = EnrollRequest(
            join_token=join_token,
            attestation_csr=build_csr(attestation),
            tls_csr=build_csr(tls),
            key_protection=pb.KeyProtection.Value(f"KEY_PROTECTION_{key_protection.value}"),
        )
        response = _call(endpoint, root_pem, request)
        _check(response, roots=roots, attestation=attestation, tls=tls)
        save_identity(
            DeviceIdentity(
                device_id=response.device_id,
                site_id=response.site_id,
                key_protection=key_protection,
                enrollment_endpoint=endpoint,
                device_endpoint=resolve_endpoint(response.device_endpoint, called=endpoint),
                root_pem=root_pem,
                attestation_certificates=tuple(response.attestation_certificates),
                tls_certificates=tuple(response.tls_certificates),
                folder=staged,
                secret_folder=folder,
            )
        )
        publish(folder, staged=staged, device_id=response.device_id)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return DeviceIdentity.open(folder)


def _load_roots(root_pem: bytes) -> list[x509.Certificate]:
    try:
        return load_roots(root_pem)
    except VerifieldError as error:
        raise SetupError(
            "ROOT_UNREADABLE",
            error.message,
            hint="Give the root.pem file that the operator of the cloud handed out.",
        ) from None


def _call(endpoint: str, root_pem: bytes, request: EnrollRequest) -> EnrollResponse:
    credentials = grpc.ssl_channel_credentials(root_certificates=root_pem)
    with grpc.secure_channel(endpoint, credentials, options=channel_options()) as channel:
        try:
            return EnrollmentServiceStub(channel).Enroll(request, timeout=ENROLL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise _to_cloud_error(endpoint, error) from None


def _to_cloud_error(endpoint: str, error: grpc.RpcError) -> CloudError:
    failure = judge_failure(error)
    if failure.code == "ROOT_MISMATCH":
        return _root_mismatch(failure.message)
    if failure.kind is FailureKind.TRANSIENT and not error_reason(error):
        return CloudError(
            "CLOUD_AWAY",
            f"The cloud at {endpoint} does not answer.",
            hint="Check the address, the port and the network, then try again with the same token.",
        )
    return CloudError(
        "ENROLL_REFUSED",
        f"The cloud refused to enrol this device: {failure.code}.",
        hint="A token works once and for a limited time: ask the operator for a new one.",
    )


def _check(
    response: EnrollResponse, *, roots: list[x509.Certificate], attestation: Signer, tls: Signer
) -> None:
    """Check both chains against the root, our keys, and each other.

    The certificates are judged at their own beginning: the clock of a new device may be anything.
    """
    try:
        leaf = parse_certificate(response.attestation_certificates[0])
        check_chain(
            response.attestation_certificates,
            roots=roots,
            at=leaf.not_valid_before_utc,
            purpose=Purpose.ATTESTATION,
        )
        tls_chain = [parse_certificate(der) for der in response.tls_certificates]
        _check_issued(tls_chain, roots)
        for certificate, signer in ((leaf, attestation), (tls_chain[0], tls)):
            if _key_of(certificate) != signer.public_key_der():
                raise _root_mismatch("A certificate in the cloud's answer is for another key.")
            if device_id_of(certificate) != response.device_id:
                raise _root_mismatch("A certificate in the cloud's answer is for another device.")
    except (VerifieldError, IndexError) as error:
        raise _root_mismatch(f"The certificates in the cloud's answer cannot be trusted: {error}") from None


def _check_issued(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> None:
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


def _root_mismatch(message: str) -> CloudError:
    return CloudError(
        "ROOT_MISMATCH",
        message,
        hint="Check with the operator of the cloud that the root file and the address belong together.",
    )


def _remove_leftovers(folder: Path) -> None:
    """An enrolment that was cut off leaves keys that no certificate names."""
    for path in folder.glob(f"{_STAGING_PREFIX}*"):
        with suppress(OSError):
            shutil.rmtree(path)
