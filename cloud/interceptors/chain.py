"""The one gRPC interceptor: reads each call once, and runs the layers around it.

Services of all four shapes are served alike. To gRPC each of them takes a stream of requests: where there
is one request only, it is read here, behind the layers. gRPC itself would wait for it as long as the caller
likes, while nobody knows who that is, and the place would be taken. Answers of streams are written, not
yielded: what surrounds a stream then ends in the call's own task, also where the caller went away.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from cloud.access.call import CALL, Call, Layer, Refused, Serve
from cloud.errors import Reason, ServiceError
from cloud.interceptors.reading import forgiving

Details = grpc.HandlerCallDetails
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # not subscriptable when it runs
Context = grpc.aio.ServicerContext[Any, Any]

_UNEXPECTED = Status(code=code_pb2.INTERNAL, message="Something unexpected went wrong.")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """``layers``: outermost first. One of them turns errors into Refused."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._inwards = tuple(reversed(layers))
        self._checks = tuple(layer.check for layer in layers)

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:  # gRPC answers that there is no such method
            return None
        details, behaviour = handler_call_details, _behaviour_of(handler)
        single = not handler.request_streaming

        async def begin(call: Call, requests: AsyncIterator[object], context: Context) -> object:
            context.set_trailing_metadata(_answer_metadata(call))
            return await self._only(call, context) if single else self._checked(call, requests)

        async def one(requests: AsyncIterator[object], context: Context) -> object:
            call = _read_call(details, context, streaming=not single)

            async def serve() -> object:
                answer: object = await behaviour(await begin(call, requests, context), context)
                return answer

            return await self._surround(call, context, serve)

        async def many(requests: AsyncIterator[object], context: Context) -> None:
            call = _read_call(details, context, streaming=True)

            async def serve() -> None:
                await _write(behaviour(await begin(call, requests, context), context), context)

            await self._surround(call, context, serve)

        shapes = forgiving(handler.request_deserializer), handler.response_serializer
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(_as_any(many), *shapes)
        return grpc.stream_unary_rpc_method_handler(_as_any(one), *shapes)

    async def _surround(self, call: Call, context: Context, serve: Serve) -> object:
        CALL.set(call)
        for layer in self._inwards:
            serve = partial(layer.around, call, serve)
        try:
            return await serve()
        except grpc.aio.AbortError:  # the service itself has ended the call
            raise
        except Refused as refused:
            await _abort(call, context, refused.status)
        except Exception:  # of a layer outside of the error mapping: nothing of it goes to the caller
            await _abort(call, context, _UNEXPECTED)
        return None  # not reached: who aborts leaves

    def _check(self, call: Call, request: object) -> None:
        for check in self._checks:
            check(call, request)

    async def _only(self, call: Call, context: Context) -> object:
        """The one request of a call, checked; also one whose caller went away has none."""
        request: object = await context.read()
        if request is grpc.aio.EOF:
            raise ServiceError(Reason.REQUEST_INVALID, "There is no request.", {"rule": "message.present"})
        self._check(call, request)
        return request

    def _checked(self, call: Call, requests: AsyncIterator[object]) -> _CheckedRequests:
        return _CheckedRequests(requests, lambda request: self._check(call, request))


class _CheckedRequests:
    """The requests of a stream, each one checked before the service sees it."""

    def __init__(self, requests: AsyncIterator[object], check: Callable[[object], None]) -> None:
        self._requests = requests
        self._incoming: AsyncIterator[object] | None = None
        self._check = check

    def __aiter__(self) -> _CheckedRequests:
        return self

    async def __anext__(self) -> object:
        if self._incoming is None:  # not before it is read: gRPC warns of one that never is
            self._incoming = aiter(self._requests)
        request = await anext(self._incoming)
        self._check(request)
        return request


async def _abort(call: Call, context: Context, status: Status) -> None:
    sent = rpc_status.to_status(status)
    await context.abort(sent.code, sent.details, (*sent.trailing_metadata, *_answer_metadata(call)))


def _answer_metadata(call: Call) -> tuple[tuple[str, str], ...]:
    return tuple(call.answer_metadata.items())


async def _write(answers: Any, context: Context) -> None:
    """Send what a service yields; one that writes by itself is let run."""
    if inspect.isawaitable(answers):
        await answers
        return
    async with aclosing(answers):
        async for answer in answers:
            await context.write(answer)


def _read_call(details: Details, context: Context, *, streaming: bool = False) -> Call:
    # Here and nowhere later: of a call whose connection was reset meanwhile, gRPC would read freed memory.
    return Call(
        method=details.method,
        peer=context.peer(),
        metadata=_read_metadata(details),
        auth={key: tuple(values) for key, values in context.auth_context().items()},
        deadline_s=context.time_remaining(),
        streaming=streaming,
    )


def _read_metadata(details: Details) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in details.invocation_metadata or ():
        if isinstance(value, str):
            found[key] = (*found.get(key, ()), value)
    return found


def _behaviour_of(handler: Handler) -> Any:
    if handler.request_streaming:
        return handler.stream_stream if handler.response_streaming else handler.stream_unary
    return handler.unary_stream if handler.response_streaming else handler.unary_unary


def _as_any(behaviour: Any) -> Any:
    """The stubs of gRPC know handlers of its synchronous servers only."""
    return behaviour
