"""Enrolment: a join token and a proof of the key against certificates, once per device.

1. The root that the operator handed over is pinned; it also authenticates the server.
2. Two keys are made: one signs attestations, in the key store; one speaks mutual TLS. Both are on disk
   before anybody hears of them.
3. Both requests go to the cloud with the token, which is bound to the attestation key by that.
4. A TPM proves that it holds the key, and is let in; else a person compares the key's fingerprint on
   this device's screen with the one that the cloud shows, and the device asks again until then.
5. What comes back is kept only if it leads to the pinned root and names our keys.
6. The complete identity appears in one step.

Cut off anywhere, the next run goes on where this one was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509

from edge.attest import pending as pending_rules
from edge.attest.csr import build_csr
from edge.attest.identity import (
    CHANGING_LOCK,
    CURRENT,
    TLS_KEY,
    DeviceIdentity,
    attestation_key_of,
    current_folder,
    publish,
    save_identity,
    stage_folder,
)
from edge.attest.issued import check_issued, root_mismatch
from edge.attest.keystore_tpm import TpmKeyStore
from edge.attest.pending import Application, Pending, only_enrolment
from edge.attest.tpm_evidence import activate, gather_evidence
from edge.errors import CloudError, SetupError
from edge.files import locked, write_private
from edge.ports import KeyStore, Signer
from edge.rpc import FailureKind, channel_options, error_reason, judge_failure
from verifield.certificates import load_roots
from verifield.errors import VerifieldError
from verifield.rules import check_device_id
from verifield.v1 import attestation_pb2 as pb
from verifield.v1 import enrollment_service_pb2 as enrollment_pb
from verifield.v1.enrollment_service_pb2 import ActivateCredentialRequest, EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

ENROLL_TIMEOUT_S = 30.0
"""Two certificates are issued in milliseconds; the rest is for a bad link."""

MAX_CHALLENGES = 3
"""The first one is answered, unless it expired on the way."""

_FINAL = frozenset(
    {
        "JOIN_TOKEN_UNKNOWN",
        "JOIN_TOKEN_USED",
        "JOIN_TOKEN_EXPIRED",
        "KEY_ALREADY_ENROLLED",
        "KEY_PROTECTION_UNPROVEN",
        "CSR_INVALID",
        "DEVICE_REVOKED",
    }
)
"""Refusals of the token or the key: with these two it will never be otherwise."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the enrolment has come; ``identity`` once it is complete.

    ``key_sha256``: the fingerprint of our own attestation key (SubjectPublicKeyInfo), for people to compare.
    """

    device_id: str
    key_sha256: bytes
    identity: DeviceIdentity | None


class Enrolment:
    """One enrolment, from :func:`open_enrolment`; :meth:`advance` may be called again and again."""

    def __init__(self, folder: Path, *, key_store: KeyStore, pending: Pending) -> None:
        self._folder = folder
        self._key_store = key_store
        self._pending = pending

    def advance(self) -> Progress:
        """Ask the cloud once, and complete the enrolment if it lets the device in.

        Raises:
            SetupError: the key store is away or refuses, IDENTITY_UNWRITABLE.
            CloudError: CLOUD_AWAY, CLOCK_OR_CERTIFICATE, ENROLL_REFUSED (with the cloud's reason),
                ENROLL_ANSWER or ROOT_MISMATCH.
        """
        try:
            return self._advance()
        except _RefusedForGoodError as error:
            self._pending.drop(self._key_store)
            raise error.refusal from None
        except OSError as error:
            raise _unwritable(self._folder, error) from None

    def _advance(self) -> Progress:
        application = self._pending.application
        roots = _load_roots(application.root_pem)
        attestation = self._pending.open_attestation_key(self._key_store)
        tls = self._pending.open_tls_key(self._key_store)
        request = EnrollRequest(
            join_token=application.join_token,
            attestation_csr=build_csr(attestation),
            tls_csr=build_csr(tls),
            key_protection=pb.KeyProtection.Value(f"KEY_PROTECTION_{attestation.protection.value}"),
        )
        if isinstance(self._key_store, TpmKeyStore):
            request.tpm.CopyFrom(gather_evidence(self._key_store, self._pending.attestation_key))
        with _calling(application) as service:
            response = self._ask(service, request)
        key_sha256 = hashlib.sha256(attestation.public_key_der()).digest()
        _check_answer(response, key_sha256=key_sha256)
        if response.state == enrollment_pb.ENROLLMENT_STATE_PENDING_APPROVAL:
            return Progress(response.device_id, key_sha256, None)
        check_issued(
            response.attestation_certificates,
            response.tls_certificates,
            roots=roots,
            device_id=response.device_id,
            attestation_key=attestation.public_key_der(),
            tls_key=tls.public_key_der(),
        )
        return Progress(response.device_id, key_sha256, self._complete(response, attestation))

    def _ask(self, service: EnrollmentServiceStub, request: EnrollRequest) -> EnrollResponse:
        """Enrol, and answer what the cloud asks of the TPM."""
        for _ in range(MAX_CHALLENGES):
            response = service.Enroll(request, timeout=ENROLL_TIMEOUT_S)
            if response.state != enrollment_pb.ENROLLMENT_STATE_CHALLENGED:
                return response
            if not isinstance(self._key_store, TpmKeyStore):
                break
            answer = ActivateCredentialRequest(
                join_token=request.join_token,
                device_id=response.device_id,
                secret=activate(self._key_store, response.tpm_challenge),
            )
            service.ActivateCredential(answer, timeout=ENROLL_TIMEOUT_S)
        raise _bad_answer("The cloud goes on asking for a proof that this device has given, or cannot give.")

    def _complete(self, response: EnrollResponse, attestation: Signer) -> DeviceIdentity:
        application = self._pending.application
        staged = stage_folder(self._folder, prefix=pending_rules.STAGING_PREFIX)
        write_private(staged / TLS_KEY, (self._pending.folder / TLS_KEY).read_bytes())
        save_identity(
            DeviceIdentity(
                device_id=response.device_id,
                site_id=response.site_id,
                predecessor_id=response.predecessor_id,
                key_protection=attestation.protection,
                attestation_key=self._pending.attestation_key,
                enrollment_endpoint=application.endpoint,
                device_endpoint=resolve_endpoint(response.device_endpoint, called=application.endpoint),
                root_pem=application.root_pem,
                attestation_certificates=tuple(response.attestation_certificates),
                tls_certificates=tuple(response.tls_certificates),
                folder=staged,
                key_store=self._key_store,
            )
        )
        with locked(self._folder / CHANGING_LOCK):
            publish(self._folder, staged=staged, device_id=response.device_id)
        identity = DeviceIdentity.open(self._folder, key_store=self._key_store)
        self._pending.drop(self._key_store)
        return identity


@contextmanager
def open_enrolment(
    folder: Path, *, key_store: KeyStore, application: Application | None = None, replace: bool = False
) -> Iterator[Enrolment]:
    """Begin an enrolment in ``folder``, or go on with the one under way; no other may run meanwhile.

    Without an application, or with the same token, the one under way goes on; another token gives it up.

    Raises:
        SetupError: ALREADY_ENROLLED (unless ``replace``), NO_ENROLMENT, ENROLMENT_RUNNING, ROOT_UNREADABLE,
            IDENTITY_UNWRITABLE, KEY_PROTECTION_FALLEN or KEY_STORE_OTHER.
    """
    if application is not None:
        _load_roots(application.root_pem)
    if not replace and _is_enrolled(folder):
        raise _already_enrolled()
    with ExitStack() as stack:
        try:
            stack.enter_context(only_enrolment(folder))
            if not replace and _is_enrolled(folder):  # by the one that ran until now
                raise _already_enrolled()
            pending = _find_or_begin(folder, key_store=key_store, application=application)
        except OSError as error:
            raise _unwritable(folder, error) from None
        yield Enrolment(folder, key_store=key_store, pending=pending)


def enroll(
    *,
    endpoint: str,
    root_pem: bytes,
    join_token: str,
    folder: Path,
    key_store: KeyStore,
    replace: bool = False,
) -> Progress:
    """Ask the cloud at ``endpoint`` (host:port) once; errors as :func:`open_enrolment` and ``advance``."""
    application = Application(endpoint, root_pem, join_token)
    with open_enrolment(folder, key_store=key_store, application=application, replace=replace) as enrolment:
        return enrolment.advance()


def is_under_way(folder: Path) -> bool:
    """Whether an enrolment was begun in ``folder`` that the next run goes on with.

    Raises:
        SetupError: IDENTITY_UNWRITABLE.
    """
    try:
        return _unfinished(folder) is not None
    except OSError as error:
        raise _unwritable(folder, error) from None


def resolve_endpoint(endpoint: str, *, called: str) -> str:
    """Return the mutual-TLS endpoint; an empty host means the host that was called."""
    host, separator, port = endpoint.rpartition(":")
    if not separator or not port.isdigit():
        raise _bad_answer("The cloud's answer names no usable device endpoint.")
    return f"{host or called.rpartition(':')[0]}:{port}"


class _RefusedForGoodError(Exception):
    def __init__(self, refusal: CloudError) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def _is_enrolled(folder: Path) -> bool:
    return (folder / CURRENT).is_symlink()


def _unfinished(folder: Path) -> Pending | None:
    """The enrolment under way; not one whose identity is in use already, where only tidying was cut off."""
    pending = pending_rules.find_pending(folder)
    current = current_folder(folder)
    if pending and current and attestation_key_of(current) == pending.attestation_key:
        return None
    return pending


def _find_or_begin(folder: Path, *, key_store: KeyStore, application: Application | None) -> Pending:
    pending = _unfinished(folder)
    if application is None:
        if pending is None:
            raise SetupError(
                "NO_ENROLMENT",
                "No enrolment is under way on this device.",
                hint="Name the cloud, its root and the token: see verifield-edge enroll --help",
            )
        return pending
    if pending is not None:
        if application.join_token == pending.application.join_token:
            return pending_rules.change_address(pending, application)
        pending.drop(key_store)
    return pending_rules.begin(folder, application, protection=key_store.protection)


@contextmanager
def _calling(application: Application) -> Iterator[EnrollmentServiceStub]:
    credentials = grpc.ssl_channel_credentials(root_certificates=application.root_pem)
    with grpc.secure_channel(application.endpoint, credentials, options=channel_options()) as channel:
        try:
            yield EnrollmentServiceStub(channel)
        except grpc.RpcError as error:
            refusal = _to_cloud_error(application.endpoint, error)
            if error_reason(error) in _FINAL:
                raise _RefusedForGoodError(refusal) from None
            raise refusal from None


def _check_answer(response: EnrollResponse, *, key_sha256: bytes) -> None:
    states = {enrollment_pb.ENROLLMENT_STATE_ACTIVE, enrollment_pb.ENROLLMENT_STATE_PENDING_APPROVAL}
    if response.state not in states:
        raise _bad_answer("The cloud answers in a way that this version does not know.")
    if response.key_sha256 != key_sha256:
        raise _bad_answer("The cloud has another key on file than this device sent.")
    try:
        check_device_id(response.device_id)
        if response.predecessor_id:
            check_device_id(response.predecessor_id)
    except VerifieldError:
        raise _bad_answer("The cloud gives this device a name that cannot be used.") from None


def _load_roots(root_pem: bytes) -> list[x509.Certificate]:
    try:
        return load_roots(root_pem)
    except VerifieldError as error:
        raise SetupError(
            "ROOT_UNREADABLE",
            error.message,
            hint="Give the root.pem file that the operator of the cloud handed out.",
        ) from None


def _to_cloud_error(endpoint: str, error: grpc.RpcError) -> CloudError:
    failure = judge_failure(error)
    if failure.code == "ROOT_MISMATCH":
        return root_mismatch(failure.message)
    if failure.code == "CLOCK_OR_CERTIFICATE":
        return CloudError(
            failure.code,
            failure.message,
            hint="Set the date and time, then run the command again. If they are right, ask the operator of "
            "the cloud.",
        )
    if failure.kind is FailureKind.TRANSIENT:
        reason = error_reason(error)
        what = f"cannot answer now: {reason}" if reason else "does not answer"
        return CloudError(
            "CLOUD_AWAY",
            f"The cloud at {endpoint} {what}.",
            hint="Check the address, the port and the network, then run the command again.",
        )
    return CloudError(
        "ENROLL_REFUSED",
        f"The cloud refused to enrol this device: {failure.code}.",
        hint=_HINTS.get(failure.code, "Ask the operator of the cloud what is wrong, then try again."),
    )


_HINTS = {
    "KEY_PROTECTION_UNPROVEN": "The operator must name the maker of this TPM in the cloud's tpm_roots; or "
    "use another key_store, whose key a person approves. Then ask for a new token.",
    "PREDECESSOR_INVALID": "Another device has taken the place that this one was to take: ask the operator "
    "which of the two it is to be.",
    "DEVICE_REVOKED": "The operator refused this key. Enrol again with a new token, which makes new keys.",
    **dict.fromkeys(
        ("JOIN_TOKEN_UNKNOWN", "JOIN_TOKEN_USED", "JOIN_TOKEN_EXPIRED"),
        "A token works for one device and a limited time: ask the operator for a new one.",
    ),
}


def _already_enrolled() -> SetupError:
    return SetupError(
        "ALREADY_ENROLLED",
        "This device is enrolled already.",
        hint="Enrol again only to make it a new device, with a new token and --replace.",
    )


def _bad_answer(message: str) -> CloudError:
    return CloudError(
        "ENROLL_ANSWER", message, hint="Ask the operator of the cloud to check its configuration and version."
    )


def _unwritable(folder: Path, error: OSError) -> SetupError:
    return SetupError(
        "IDENTITY_UNWRITABLE",
        f"The folder {folder} cannot be written: {error.strerror or error}.",
        hint="Check that it belongs to you and has space, then run the command again with the same token.",
    )
