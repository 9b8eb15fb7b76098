"""What surrounds every call: the operator's token, one log line, and errors as rich statuses.

Answers carry google.rpc.ErrorInfo (reason, domain, facts) and a LocalizedMessage with the hint. The
log has method, status, duration and peer, and never a payload.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from sqlalchemy.exc import OperationalError
from structlog.typing import FilteringBoundLogger

from cloud.devices.tokens import check_operator_token
from cloud.errors import ERROR_DOMAIN, REMEDIES, Reason, ServiceError

PACKAGE = "verifield.v1."
"""Health and reflection are outside of it: open, not logged, and left as they are."""

OPEN_SERVICES = frozenset({"verifield.v1.EnrollmentService"})
"""Called by devices that have nothing but a join token."""

_ERROR_ID_BYTES = 6

Details = grpc.HandlerCallDetails
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # not subscriptable when it runs
Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """``check`` raises ServiceError where a call may not go on."""

    def __init__(
        self,
        *,
        check: Callable[[Details], None],
        log: FilteringBoundLogger,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._check = check
        self._log = log
        self._random_bytes = random_bytes

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or not service_of(handler_call_details).startswith(PACKAGE):
            return handler
        wrap = self._wrap_streams if handler.request_streaming else self._wrap_unary
        return wrap(handler, handler_call_details)

    def _wrap_unary(self, handler: Handler, details: Details) -> Handler:
        behaviour = cast("Callable[[object, Context], Awaitable[object]]", handler.unary_unary)

        async def call(request: object, context: Context) -> object:
            async with self._surround(details.method, context):
                self._check(details)
                return await behaviour(request, context)

        return grpc.unary_unary_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    def _wrap_streams(self, handler: Handler, details: Details) -> Handler:
        behaviour = cast(
            "Callable[[AsyncIterator[object], Context], AsyncGenerator[object]]", handler.stream_stream
        )

        async def call(requests: AsyncIterator[object], context: Context) -> AsyncIterator[object]:
            async with self._surround(details.method, context):
                self._check(details)
                async with aclosing(behaviour(requests, context)) as responses:
                    async for response in responses:
                        yield response

        return grpc.stream_stream_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    @asynccontextmanager
    async def _surround(self, method: str, context: Context) -> AsyncIterator[None]:
        started = time.monotonic()
        peer = context.peer()  # of a call whose connection was reset meanwhile, gRPC would read freed memory
        code, reason = "CANCELLED", ""
        try:
            yield
            code = "OK"
        except Exception as error:
            refusal = self._to_refusal(error, method)
            code, reason = code_pb2.Code.Name(refusal.status), refusal.reason.value
            await context.abort_with_status(rpc_status.to_status(to_status(refusal)))
        finally:
            self._log.info(
                "call",
                method=method,
                code=code,
                reason=reason,
                duration_ms=round((time.monotonic() - started) * 1000, 1),
                peer=peer,
            )

    def _to_refusal(self, error: Exception, method: str) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        error_id = self._random_bytes(_ERROR_ID_BYTES).hex()
        self._log.error("call failed", method=method, error_id=error_id, exc_info=error)
        if isinstance(error, OperationalError):
            return ServiceError(
                Reason.STORE_UNAVAILABLE, "The database does not answer.", {"error_id": error_id}
            )
        return ServiceError(
            Reason.INTERNAL, f"Something unexpected went wrong (error id {error_id}).", {"error_id": error_id}
        )


def operator_check(token_sha256: bytes) -> Callable[[Details], None]:
    """A check that lets open services through, and others with the operator's token."""

    def check(details: Details) -> None:
        if service_of(details) in OPEN_SERVICES:
            return
        given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        authorization = given[0] if len(given) == 1 else None
        if isinstance(authorization, bytes):
            authorization = authorization.decode("ascii", "replace")
        check_operator_token(authorization, expected_sha256=token_sha256)

    return check


def no_check(_details: Details) -> None:
    """For the device port, where TLS has asked for a certificate and each service reads it."""


def service_of(details: Details) -> str:
    """The full name of the service that a call goes to."""
    return details.method.strip("/").partition("/")[0]


def to_status(error: ServiceError) -> Status:
    """The rich status of a refusal (google.rpc.Status)."""
    info = ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    hint = LocalizedMessage(locale="en", message=REMEDIES[error.reason].hint)
    details = []
    for message in (info, hint):
        packed = AnyMessage()
        packed.Pack(message)
        details.append(packed)
    return Status(code=error.status, message=error.message, details=details)
