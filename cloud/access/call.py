"""One call while it is served: what came with it, who makes it, and what surrounds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from cloud.access.rates import address_of
from cloud.access.roles import Role
from cloud.errors import Reason, ServiceError


class Kind(StrEnum):
    """What a caller is."""

    USER = "user"
    DEVICE = "device"
    SERVICE_TOKEN = "service-token"  # noqa: S105 (a kind of caller)
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Caller:
    """``name``: id of a user, a device or an account, or what the token is called: nothing personal.

    ``valid_until``: when that which proved it expires; a stream does not outlive it. None: never.
    ``proven``: when an account's holder gave the password or a code; some changes ask for it anew.
    """

    kind: Kind
    name: str
    roles: frozenset[Role] = frozenset()
    valid_until: datetime | None = None
    proven: datetime | None = None

    @property
    def path(self) -> str:
        """KIND/NAME, as limits count it and the audit chain keeps it."""
        return f"{self.kind}/{self.name}"


@dataclass(slots=True)
class Call:
    """A call, read once from gRPC when it began. Only the layers before the service set its last fields.

    ``method``: /PACKAGE.SERVICE/METHOD. ``metadata``: what the caller sent, text only, keys in lower case.
    ``auth``: what TLS found out about the other side. ``deadline_s``: time left when the call began, as the
    caller set it and later as it is kept; None: no end. ``answer_metadata``: sent before the first answer,
    or with the refusal. ``device_id``: of the certificate that the connection came with, whoever calls: a
    person who stands at a device. That the device was not revoked is looked up where ``caller`` is one.
    """

    method: str
    peer: str
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    auth: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    deadline_s: float | None = None
    streaming: bool = False
    request_id: str = ""
    caller: Caller | None = None
    device_id: str = ""
    answer_metadata: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """The full name of the service."""
        return self.method.strip("/").partition("/")[0]

    @property
    def source(self) -> str:
        """Where the call comes from, as limits count it: a device, else an address of the network."""
        return f"device/{self.device_id}" if self.device_id else f"address/{address_of(self.peer)}"

    @property
    def certificate_pem(self) -> bytes | None:
        """The client's TLS certificate; its chain was checked at the handshake."""
        given = self.auth.get("x509_pem_cert", ())
        return given[0] if len(given) == 1 else None

    def one(self, key: str) -> str | None:
        """The value of a metadata key that was sent exactly once."""
        given = self.metadata.get(key, ())
        return given[0] if len(given) == 1 else None


def caller_of_call() -> Caller:
    """Who makes the call that runs, of a method that the contract does not open to everybody.

    Raises:
        ServiceError: METHOD_CLOSED.
    """
    caller = CALL.get().caller
    if caller is None:
        raise ServiceError(Reason.METHOD_CLOSED, "This method is not for such callers.")
    return caller


CALL: ContextVar[Call] = ContextVar("CALL")
"""The call that runs. Each one has a task of its own, so it is set once and never reset."""


Serve = Callable[[], Awaitable[object]]
"""What a layer surrounds: the layers within it, and the service. Functions that await each other cost a
tenth of as many context managers, of which every call would enter all."""


class Layer(Protocol):
    """Something that surrounds every call. Layers see the requests in their order, first to last."""

    async def around(self, call: Call, serve: Serve) -> object:
        """Await ``serve`` once, and return what it returns; may raise before, and may replace an error."""
        ...

    def check(self, call: Call, request: object) -> None:
        """Look at one request message, of a stream at each; raises ServiceError where it may not go on."""
        ...


class Refused(Exception):
    """An error on its way to the caller: what layers outside of the error mapping see."""

    def __init__(self, error: ServiceError, status: Status) -> None:
        super().__init__(error.reason.value)
        self.error = error
        self.status = status

    @property
    def code(self) -> str:
        """Name of the gRPC code."""
        return str(code_pb2.Code.Name(self.status.code))

    @property
    def reason(self) -> Reason:
        return self.error.reason
