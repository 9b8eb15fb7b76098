"""The operator's side of the gRPC port: where the service is, how to call it, what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage
from grpc_status import rpc_status

from cloud.devices.tokens import OPERATOR_PREFIX, is_token
from cloud.errors import ClientError, SetupError
from cloud.layout import ENDPOINT_FILE, ROOT_FILE, TOKEN_FILE
from verifield.v1.attestation_service_pb2_grpc import AttestationServiceStub
from verifield.v1.device_service_pb2_grpc import DeviceServiceStub
from verifield.v1.log_service_pb2_grpc import LogServiceStub
from verifield.v1.policy_service_pb2_grpc import PolicyServiceStub
from verifield.v1.transfer_service_pb2_grpc import TransferServiceStub

CALL_TIMEOUT_S = 20.0
"""Longer than any single call takes, short enough to tell a person that nobody answers."""

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Target:
    """``endpoint``: HOST:PORT. ``token`` is a secret: never printed."""

    endpoint: str
    root_pem: bytes
    token: str

    def __repr__(self) -> str:
        return f"Target({self.endpoint})"


class OperatorClient:
    """Stubs over one channel; :meth:`call` sends the token and turns failures into ClientError."""

    def __init__(self, channel: grpc.Channel, target: Target) -> None:
        self.devices = DeviceServiceStub(channel)
        self.attestations = AttestationServiceStub(channel)
        self.log = LogServiceStub(channel)
        self.policies = PolicyServiceStub(channel)
        self.transfers = TransferServiceStub(channel)
        self._target = target

    def call(self, method: Callable[..., A], request: object) -> A:
        """Call a unary method.

        Raises:
            ClientError: the service does not answer, or refused.
        """
        metadata = (("authorization", f"Bearer {self._target.token}"),)
        try:
            return method(request, timeout=CALL_TIMEOUT_S, metadata=metadata)
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

    def stream(self, method: Callable[..., Iterable[A]], requests: Iterator[object]) -> Iterator[A]:
        """Call a method with a stream both ways, for as long as either side has something to say.

        Raises:
            ClientError: the service does not answer, or refused.
        """
        metadata = (("authorization", f"Bearer {self._target.token}"),)
        try:
            yield from method(requests, metadata=metadata)
        except grpc.RpcError as error:
            raise to_client_error(error, self._target.endpoint) from None


@contextmanager
def open_client(target: Target) -> Iterator[OperatorClient]:
    """Connect when the first call is made."""
    credentials = grpc.ssl_channel_credentials(target.root_pem)
    with grpc.secure_channel(target.endpoint, credentials) as channel:
        yield OperatorClient(channel, target)


def find_target(data: Path, *, endpoint: str | None, root: Path | None, token_file: Path | None) -> Target:
    """Where to call: each part as given, or as the service left it in its data directory.

    Raises:
        SetupError: a file that is needed is missing or damaged.
    """
    try:
        if endpoint is None:
            endpoint = str(json.loads((data / ENDPOINT_FILE).read_text(encoding="utf-8"))["listen"])
        root = root or data / ROOT_FILE
        root_pem = root.read_bytes()
        token_file = token_file or data / TOKEN_FILE
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        name = getattr(error, "filename", None) or data / ENDPOINT_FILE
        raise SetupError(
            "TARGET_UNKNOWN",
            f"The file {name} cannot be read ({type(error).__name__}).",
            hint="Name the service's folder with --data, or give --endpoint, --root and --token-file.",
        ) from error
    if b"-----BEGIN CERTIFICATE-----" not in root_pem:
        raise _useless(root, "a PEM certificate")
    if not is_token(OPERATOR_PREFIX, token):
        raise _useless(token_file, "an operator token")
    return Target(endpoint, root_pem, token)


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
