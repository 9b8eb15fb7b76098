"""The operator's side of the gRPC port: where the service is, how to call it, what its refusals mean."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status

from cloud.devices.tokens import OPERATOR_PREFIX, is_token
from cloud.errors import ClientError, SetupError
from cloud.layout import ENDPOINT_FILE, ROOT_FILE, TOKEN_FILE

if TYPE_CHECKING:
    from verifield.v1.account_service_pb2_grpc import AccountServiceStub
    from verifield.v1.approval_service_pb2_grpc import ApprovalServiceStub
    from verifield.v1.archive_service_pb2_grpc import ArchiveServiceStub
    from verifield.v1.attestation_service_pb2_grpc import AttestationServiceStub
    from verifield.v1.audit_service_pb2_grpc import AuditServiceStub
    from verifield.v1.authority_service_pb2_grpc import AuthorityServiceStub
    from verifield.v1.bank_service_pb2_grpc import BankServiceStub
    from verifield.v1.business_service_pb2_grpc import BusinessServiceStub
    from verifield.v1.catalog_service_pb2_grpc import CatalogServiceStub
    from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub
    from verifield.v1.contract_service_pb2_grpc import ContractServiceStub
    from verifield.v1.customer_service_pb2_grpc import CustomerServiceStub
    from verifield.v1.device_service_pb2_grpc import DeviceServiceStub
    from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
    from verifield.v1.document_service_pb2_grpc import DocumentServiceStub
    from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub
    from verifield.v1.feedback_service_pb2_grpc import FeedbackServiceStub
    from verifield.v1.identity_service_pb2_grpc import IdentityServiceStub
    from verifield.v1.log_service_pb2_grpc import LogServiceStub
    from verifield.v1.media_service_pb2_grpc import MediaServiceStub
    from verifield.v1.message_service_pb2_grpc import MessageServiceStub
    from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
    from verifield.v1.otp_service_pb2_grpc import OtpServiceStub
    from verifield.v1.policy_service_pb2_grpc import PolicyServiceStub
    from verifield.v1.review_service_pb2_grpc import ReviewServiceStub
    from verifield.v1.rulebook_service_pb2_grpc import RulebookServiceStub
    from verifield.v1.seal_service_pb2_grpc import SealServiceStub
    from verifield.v1.signing_service_pb2_grpc import SigningServiceStub
    from verifield.v1.status_service_pb2_grpc import StatusServiceStub
    from verifield.v1.storage_service_pb2_grpc import StorageServiceStub
    from verifield.v1.transfer_service_pb2_grpc import TransferServiceStub
    from verifield.v1.user_service_pb2_grpc import UserServiceStub

CALL_TIMEOUT_S = 20.0
"""Longer than any single call takes, short enough to tell a person that nobody answers."""

_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"

DOWNLOAD_TIMEOUT_S = 300.0
"""The largest file, 16 MiB, over half a megabit per second."""

LANGUAGE_KEY = "accept-language"

_LOCALE = re.compile(r"[a-z]{2,3}(?=[_.@]|$)")

A = TypeVar("A")
S = TypeVar("S")


MAX_TOKEN_CHARS = 8192
"""Of a sign-in token; the service takes no longer one."""

_SIGN_IN_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM: the chain, leaf first, and its key, which is a secret."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "ClientCertificate()"


@dataclass(frozen=True, slots=True)
class Target:
    """``endpoint``: HOST:PORT. ``token`` is a secret: never printed; empty beside a certificate."""

    endpoint: str
    root_pem: bytes
    token: str
    certificate: ClientCertificate | None = None

    def __repr__(self) -> str:
        return f"Target({self.endpoint})"


class _Service(Generic[S]):
    """The stub of a service, made when it is asked for: loading all of them takes a quarter of a second.

    ``name`` as in verifield.v1: ``account`` for AccountService of account_service.proto.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._attribute = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._attribute = name

    @overload
    def __get__(self, client: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, client: OperatorClient, owner: type[object]) -> S: ...

    def __get__(self, client: OperatorClient | None, owner: type[object]) -> Self | S:
        if client is None:
            return self
        module = import_module(f"verifield.v1.{self._name}_service_pb2_grpc")
        stub: S = getattr(module, f"{self._name.capitalize()}ServiceStub")(client.channel)
        vars(client)[self._attribute] = stub  # found before this descriptor from now on
        return stub


class OperatorClient:
    """Stubs over one channel; :meth:`call` sends the token and turns failures into ClientError."""

    accounts: _Service[AccountServiceStub] = _Service("account")
    bank: _Service[BankServiceStub] = _Service("bank")
    customers: _Service[CustomerServiceStub] = _Service("customer")
    devices: _Service[DeviceServiceStub] = _Service("device")
    diagnostics: _Service[DiagnosticsServiceStub] = _Service("diagnostics")
    documents: _Service[DocumentServiceStub] = _Service("document")
    attestations: _Service[AttestationServiceStub] = _Service("attestation")
    archive: _Service[ArchiveServiceStub] = _Service("archive")
    certifications: _Service[CertificationServiceStub] = _Service("certification")
    contracts: _Service[ContractServiceStub] = _Service("contract")
    audit: _Service[AuditServiceStub] = _Service("audit")
    authorities: _Service[AuthorityServiceStub] = _Service("authority")
    identity: _Service[IdentityServiceStub] = _Service("identity")
    log: _Service[LogServiceStub] = _Service("log")
    media: _Service[MediaServiceStub] = _Service("media")
    messages: _Service[MessageServiceStub] = _Service("message")
    phones: _Service[OtpServiceStub] = _Service("otp")
    policies: _Service[PolicyServiceStub] = _Service("policy")
    rules: _Service[RulebookServiceStub] = _Service("rulebook")
    catalog: _Service[CatalogServiceStub] = _Service("catalog")
    business: _Service[BusinessServiceStub] = _Service("business")
    organisations: _Service[OrganisationServiceStub] = _Service("organisation")
    seals: _Service[SealServiceStub] = _Service("seal")
    approvals: _Service[ApprovalServiceStub] = _Service("approval")
    signing: _Service[SigningServiceStub] = _Service("signing")
    feedback: _Service[FeedbackServiceStub] = _Service("feedback")
    transfers: _Service[TransferServiceStub] = _Service("transfer")
    status: _Service[StatusServiceStub] = _Service("status")
    storage: _Service[StorageServiceStub] = _Service("storage")
    users: _Service[UserServiceStub] = _Service("user")
    reviews: _Service[ReviewServiceStub] = _Service("review")
    escalations: _Service[EscalationServiceStub] = _Service("escalation")

    def __init__(self, channel: grpc.Channel, target: Target) -> None:
        self.channel = channel
        self.health = HealthStub(channel)
        self._target = target

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        language = ((LANGUAGE_KEY, wanted_language(os.environ)),)
        token = self._target.token
        return (*language, ("authorization", f"Bearer {token}")) if token else language

    def call(self, method: Callable[..., A], request: object) -> A:
        """Call a unary method.

        Raises:
            ClientError: the service does not answer, or refused.
        """
        try:
            return method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise to_client_error(error, self._target.endpoint) from None

    def pages(self, method: Callable[..., A], request: Any) -> Iterator[A]:
        """Call a method that lists, page by page until the last; moves the request's page token on."""
        while True:
            answer: Any = self.call(method, request)
            yield answer
            request.page_token = answer.next_page_token
            if not request.page_token:
                return

    def receive(self, method: Callable[..., Iterable[A]], request: object) -> Iterator[A]:
        """Call a method that answers one request with a stream; errors as :meth:`stream`."""
        try:
            yield from method(request, timeout=DOWNLOAD_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise to_client_error(error, self._target.endpoint) from None

    def stream(self, method: Callable[..., Iterable[A]], requests: Iterator[object]) -> Iterator[A]:
        """Call a method with a stream both ways, for as long as either side has something to say.

        Raises:
            ClientError: the service does not answer, or refused.
        """
        try:
            yield from method(requests, metadata=self._metadata)
        except grpc.RpcError as error:
            raise to_client_error(error, self._target.endpoint) from None


def wanted_language(environment: Mapping[str, str]) -> str:
    """The language of the terminal, for ``accept-language``; English where it says nothing."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if match := _LOCALE.match(environment.get(name, "")):
            return match[0]
    return "en"


@contextmanager
def open_client(target: Target) -> Iterator[OperatorClient]:
    """Connect when the first call is made."""
    own = target.certificate
    credentials = grpc.ssl_channel_credentials(
        target.root_pem, own.key if own else None, own.chain if own else None
    )
    with grpc.secure_channel(target.endpoint, credentials) as channel:
        yield OperatorClient(channel, target)


def find_target(
    data: Path,
    *,
    endpoint: str | None,
    root: Path | None,
    token_file: Path | None,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
) -> Target:
    """Where to call: each part as given, or as the service left it in its data directory.

    With a certificate the port for client certificates is called, and no token is sent.

    Raises:
        SetupError: a file that is needed is missing or damaged.
    """
    if certificate is not None and certificate_key is None:
        raise _no_key(certificate)
    try:
        if endpoint is None:
            listening = json.loads((data / ENDPOINT_FILE).read_text(encoding="utf-8"))
            endpoint = str(listening["device_listen" if certificate else "listen"])
            # Servers that share their keys have them elsewhere.
            root = root or Path(listening.get("root", data / ROOT_FILE))
        root = root or data / ROOT_FILE
        root_pem = root.read_bytes()
        own = None
        token = ""
        token_file = token_file or data / TOKEN_FILE
        if certificate is not None and certificate_key is not None:
            own = ClientCertificate(certificate.read_bytes(), certificate_key.read_bytes())
        else:
            token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        name = getattr(error, "filename", None) or data / ENDPOINT_FILE
        raise SetupError(
            "TARGET_UNKNOWN",
            f"The file {name} cannot be read ({type(error).__name__}).",
            hint="Name the service's folder with --data, or give --endpoint, --root and --token-file.",
        ) from error
    if _PEM_CERTIFICATE not in root_pem:
        raise _useless(root, "a PEM certificate")
    if own is None and not is_token(OPERATOR_PREFIX, token) and not _is_sign_in_token(token):
        raise _useless(token_file, "an operator token")
    if own is not None and certificate is not None and _PEM_CERTIFICATE not in own.chain:
        raise _useless(certificate, "a PEM certificate")
    if own is not None and certificate_key is not None and b"PRIVATE KEY-----" not in own.key:
        raise _useless(certificate_key, "a PEM key")
    return Target(endpoint, root_pem, token, own)


def _is_sign_in_token(token: str) -> bool:
    return len(token) <= MAX_TOKEN_CHARS and _SIGN_IN_TOKEN.fullmatch(token) is not None


def _no_key(certificate: Path) -> SetupError:
    return SetupError(
        "TARGET_UNKNOWN",
        f"The key of the certificate {certificate} is not named.",
        hint="Give its file with --certificate-key.",
    )


def _useless(file: Path, wanted: str) -> SetupError:
    return SetupError(
        "TARGET_UNKNOWN",
        f"The file {file} does not hold {wanted}.",
        hint="Take root.pem and operator.token from the service's data directory.",
    )


def to_client_error(error: grpc.RpcError, endpoint: str) -> ClientError:
    """The reason and the hint that the service sent, or a sentence for the bare status."""
    call: Any = error  # grpc's errors are calls at the same time
    status = rpc_status.from_call(call)
    info, hint = ErrorInfo(), LocalizedMessage()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(hint)
    if info.reason:
        return ClientError(info.reason, call.details(), hint=hint.message)
    code: grpc.StatusCode = call.code()
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return ClientError(
            code.name,
            f"The cloud at {endpoint} does not answer.",
            hint="Check that it runs, that the address is right, and that --root is its root.pem.",
        )
    return ClientError(code.name, f"The cloud at {endpoint} refused: {call.details()}.")
