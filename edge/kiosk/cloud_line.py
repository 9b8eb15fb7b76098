"""One person's calls to the service, over the device's own connection: mutual TLS, and the person's session.

    answer = ask(config, "zh", lambda line: line.call(AccountServiceStub, "Login", request))

What the service refuses comes back as :class:`CloudRefusal` with all that it told: the reason (ErrorInfo),
what to do in the language of the call (LocalizedMessage), the remedies in their order, how long to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from grpc_status import rpc_status

from edge.app import open_identity
from edge.attest.identity import DeviceIdentity
from edge.config import EdgeConfig
from edge.errors import CloudError
from edge.rpc import FailureKind, channel_options, error_reason, judge_failure
from edge.sync.uplink import timeout_s
from edge.texts import Language

T = TypeVar("T")

LANGUAGE_KEY = "accept-language"
AUTHORITY_WAIT_S = 150.0
"""Authorities are asked while a call waits: at most 120 seconds, by the service's own rule."""

MAX_TOLD_CHARS = 600  # of one sentence from the service; its longest has half of that
MAX_REMEDIES = 8
_AWAY = "CLOUD_AWAY"


class CloudRefusal(CloudError):
    """The service said no, or cannot be reached (``away``).

    ``told``: what to do, in the language of the call. ``remedies``: stable codes, the first one first.
    ``facts``: the reason's metadata. ``wait_s``: when to try again, 0 where it was not told. ``fields``: the
    request's fields that are at fault.
    """

    def __init__(
        self,
        code: str,
        *,
        away: bool = False,
        told: str = "",
        facts: dict[str, str] | None = None,
        wait_s: float = 0.0,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(code, "The service refused the call.", hint=told)
        self.away = away
        self.told = told
        self.facts = facts or {}
        self.wait_s = wait_s
        self.fields = fields

    @property
    def remedies(self) -> tuple[str, ...]:
        return self._list("remedies")

    @property
    def check_list(self) -> tuple[str, ...]:
        """The elements that have to be looked at; never which of them is wrong."""
        return self._list("check_list")

    def _list(self, name: str) -> tuple[str, ...]:
        return tuple(part for part in self.facts.get(name, "").split(",") if part)[:MAX_REMEDIES]


class CloudLine:
    """Calls on one open channel, in one ``language``. Errors of every call: CloudRefusal."""

    def __init__(self, channel: grpc.Channel, language: Language) -> None:
        self._channel = channel
        self.language = language

    def call(
        self, stub: Callable[[grpc.Channel], Any], method: str, request: Message, *, token: str = ""
    ) -> Any:
        """Call ``method`` in this person's name. ``token``: of the account's session; empty for none."""
        return self._call(stub, method, request, size=request.ByteSize(), token=token)

    def send(
        self,
        stub: Callable[[grpc.Channel], Any],
        method: str,
        requests: Iterator[Message],
        *,
        size: int,
        token: str = "",
    ) -> Any:
        """As :meth:`call`, for a method that takes many messages. ``size``: of all of them, in bytes."""
        return self._call(stub, method, requests, size=size, token=token)

    def collect(
        self,
        stub: Callable[[grpc.Channel], Any],
        method: str,
        request: Message,
        *,
        most: int,
        token: str = "",
    ) -> list[Any]:
        """As :meth:`call`, for a method that answers with many messages. ``most``: bytes of all of them."""
        found: list[Any] = []
        left = most
        try:
            for one in self._call(stub, method, request, size=most, token=token):
                left -= one.ByteSize()
                if left < 0:
                    raise CloudRefusal("CLOUD_ANSWER")
                found.append(one)
        except grpc.RpcError as error:
            raise _refusal(error) from None
        return found

    def _call(
        self, stub: Callable[[grpc.Channel], Any], method: str, given: Any, *, size: int, token: str
    ) -> Any:
        metadata: list[tuple[str, str]] = [(LANGUAGE_KEY, self.language)]
        if token:
            metadata.append(("authorization", f"Bearer {token}"))
        try:
            called = getattr(stub(self._channel), method)
            return called(given, metadata=metadata, timeout=timeout_s(size) + AUTHORITY_WAIT_S)
        except grpc.RpcError as error:
            raise _refusal(error) from None


def ask(config: EdgeConfig, language: Language, work: Callable[[CloudLine], T]) -> T:
    """Open the device's connection for ``work``, which blocks, and close it.

    Raises:
        SetupError: NOT_ENROLLED, KEY_STORE_AWAY and the like.
        CloudRefusal: the service refused, or is away.
    """
    with _open_channel(open_identity(config)) as channel:
        return work(CloudLine(channel, language))


def _open_channel(identity: DeviceIdentity) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.root_pem,
        private_key=identity.tls_key_pem(),
        certificate_chain=identity.tls_certificates_pem(),
    )
    return grpc.secure_channel(identity.device_endpoint, credentials, options=channel_options())


def _refusal(error: grpc.RpcError) -> CloudRefusal:
    failure = judge_failure(error)
    away = failure.code == _AWAY
    told, wait_s = "", 0.0
    facts: dict[str, str] = {}
    fields: tuple[str, ...] = ()
    for detail in _details(error):
        info, text, retry, bad = ErrorInfo(), LocalizedMessage(), RetryInfo(), BadRequest()
        if detail.Unpack(info):
            facts = dict(info.metadata)
        elif detail.Unpack(text):
            told = text.message[:MAX_TOLD_CHARS]
        elif detail.Unpack(retry):
            wait_s = max(0.0, retry.retry_delay.ToNanoseconds() / 1e9)
        elif detail.Unpack(bad):
            fields = tuple(one.field for one in bad.field_violations)[:MAX_REMEDIES]
    code = failure.code
    if away and told:  # UNAVAILABLE, and yet the service itself says why: an authority behind it is away
        code, away = error_reason(error) or _AWAY, False
    elif failure.kind is FailureKind.TRANSIENT and not told:
        away = True
    return CloudRefusal(code, away=away, told=told, facts=facts, wait_s=wait_s, fields=fields)


def _details(error: grpc.RpcError) -> list[Any]:
    """The status's details; none where they contradict it, for then they say nothing."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        return []
    return list(status.details) if status is not None else []
