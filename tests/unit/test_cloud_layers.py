"""The interceptor and its layers around services of all four shapes, over a real connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
import structlog.testing
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cloud.access.call import CALL, Call, Caller, Kind, Layer, Refused, Serve
from cloud.access.rates import Places
from cloud.access.rules import Rules
from cloud.api.statuses import to_status
from cloud.errors import Reason, ServiceError
from cloud.interceptors import CallInterceptor
from cloud.interceptors.calls import LogLayer, RequestIdLayer
from cloud.interceptors.deadline import ENDLESS, DeadlineLayer
from cloud.interceptors.errors import ErrorLayer
from cloud.interceptors.identity import IdentityLayer
from cloud.privacy.sealing import SealBrokenError
from cloud.sources import Sources
from tests.support.people import reason_of

SERVICE = "test.v1.Echo"
SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
TIMEOUT_S = 20.0


@dataclass
class Echo:
    """Answers what it is sent. ``fail``: raised behind the first answer. ``hang``: never answered."""

    fail: BaseException | None = None
    seen: list[bytes] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return await self._one(request)

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for _ in range(2):
                yield await self._one(request)
        finally:
            self._close()

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([await self._one(request) async for request in requests])

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                yield await self._one(request)
        finally:
            self._close()

    async def writes(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """A stream in the other style of gRPC: written, not yielded."""
        async for request in requests:
            await context.write(await self._one(request))

    async def _one(self, request: bytes) -> bytes:
        self.seen.append(request)
        self.started.set()
        if self.fail is not None:
            raise self.fail
        if request == b"hang":
            try:
                await asyncio.Event().wait()
            finally:
                self._close()
        return request

    def _close(self) -> None:
        task = asyncio.current_task()
        self.ended.append(task.get_name() if task else "")
        self.closed.set()


@dataclass
class Noting:
    """A layer that writes down what happens. ``refuse``: a request that it refuses."""

    name: str
    notes: list[str]
    refuse: bytes | None = None
    closed: bool = False
    fault: Exception | None = None
    tasks: list[bool] = field(default_factory=list)

    async def around(self, call: Call, serve: Serve) -> object:
        task = asyncio.current_task()
        self.notes.append(f"{self.name} in")
        if self.fault is not None:
            raise self.fault
        if self.closed:
            raise ServiceError(Reason.METHOD_CLOSED, "Closed.")
        try:
            return await serve()
        except BaseException as error:
            self.notes.append(f"{self.name} {type(error).__name__}")
            raise
        finally:
            self.tasks.append(asyncio.current_task() is task)
            self.notes.append(f"{self.name} out")

    def check(self, call: Call, request: object) -> None:
        assert CALL.get() is call
        self.notes.append(f"{self.name} {request!r}")
        if request == self.refuse:
            raise ServiceError(Reason.REQUEST_INVALID, "Not this one.")


@dataclass
class Served:
    channel: grpc.Channel
    log: structlog.testing.CapturingLogger

    def call(
        self, shape: str, *requests: bytes, timeout: float | None = TIMEOUT_S, **more: Any
    ) -> list[bytes]:
        """The answers of one call."""
        method: Any = getattr(self.channel, "stream_stream" if shape == "writes" else shape)(
            f"/{SERVICE}/{shape}"
        )
        answer = method(requests[0] if shape.startswith("unary") else iter(requests), timeout=timeout, **more)
        return [answer] if shape.endswith("_unary") else list(answer)

    def refused(self, shape: str, *requests: bytes, **more: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(shape, *requests, **more)
        return caught.value.code(), reason_of(caught.value)


def serving(echo: Echo, layers: Callable[[Any], list[Layer]]) -> Iterator[Served]:
    """Run a server in a thread of its own; ``layers``: made from its log."""
    captured = structlog.testing.CapturingLogger()
    log = structlog.wrap_logger(captured, processors=[])
    ready, ports = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        server = grpc.aio.server(interceptors=[CallInterceptor(layers(log))])
        handlers: dict[str, Any] = {
            shape: getattr(grpc, f"{shape}_rpc_method_handler")(getattr(echo, shape)) for shape in SHAPES
        }
        handlers["writes"] = grpc.stream_stream_rpc_method_handler(echo.writes)  # type: ignore[arg-type]
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(TIMEOUT_S)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            yield Served(channel, captured)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(TIMEOUT_S)
        loop.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def outer(notes: list[str]) -> Noting:
    return Noting("outer", notes)


@pytest.fixture
def inner(notes: list[str]) -> Noting:
    return Noting("inner", notes)


@pytest.fixture
def served(echo: Echo, outer: Noting, inner: Noting) -> Iterator[Served]:
    yield from serving(echo, lambda log: [outer, ErrorLayer(log, bytes), inner])


ALL_SHAPES = [
    ("unary_unary", (b"a",), [b"a"]),
    ("unary_stream", (b"a",), [b"a", b"a"]),
    ("stream_unary", (b"a", b"b"), [b"ab"]),
    ("stream_stream", (b"a", b"b"), [b"a", b"b"]),
    ("writes", (b"a", b"b"), [b"a", b"b"]),
]


@pytest.mark.parametrize(("shape", "requests", "answers"), ALL_SHAPES)
def test_layers_surround_services_of_every_shape(
    served: Served, notes: list[str], shape: str, requests: tuple[bytes, ...], answers: list[bytes]
) -> None:
    assert served.call(shape, *requests) == answers
    checks = [f"{name} {request!r}" for request in requests for name in ("outer", "inner")]
    assert notes == ["outer in", "inner in", *checks, "inner out", "outer out"]


@pytest.mark.parametrize(("shape", "requests", "answers"), ALL_SHAPES)
def test_each_request_of_a_stream_is_checked_before_the_service_sees_it(
    served: Served,
    echo: Echo,
    inner: Noting,
    notes: list[str],
    shape: str,
    requests: tuple[bytes, ...],
    answers: list[bytes],
) -> None:
    inner.refuse = requests[-1]
    code, reason = served.refused(shape, *requests)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert echo.seen == list(requests[:-1])
    assert notes[-4:] == ["inner ServiceError", "inner out", "outer Refused", "outer out"]


@pytest.mark.parametrize(("shape", "requests", "answers"), ALL_SHAPES)
def test_a_layer_keeps_a_call_from_the_service(
    served: Served, echo: Echo, inner: Noting, shape: str, requests: tuple[bytes, ...], answers: list[bytes]
) -> None:
    inner.closed = True
    assert served.refused(shape, *requests) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_CLOSED")
    assert echo.seen == []


@pytest.mark.parametrize(("shape", "requests", "answers"), ALL_SHAPES)
def test_what_nobody_expected_tells_its_caller_nothing(
    served: Served, echo: Echo, shape: str, requests: tuple[bytes, ...], answers: list[bytes]
) -> None:
    echo.fail = RuntimeError("secret detail")
    with pytest.raises(grpc.RpcError) as caught:
        served.call(shape, *requests)
    assert reason_of(caught.value) == "INTERNAL"
    assert "secret detail" not in str(caught.value)
    [failure] = [call.kwargs for call in served.log.calls]
    assert failure["exc_info"] is echo.fail


def test_a_seal_that_does_not_open_is_told_as_damage_with_what_to_restore(served: Served, echo: Echo) -> None:
    echo.fail = SealBrokenError("a value was changed or moved")
    with pytest.raises(grpc.RpcError) as caught:
        served.call("unary_unary", b"a")
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.DATA_LOSS, "RECORD_DAMAGED")
    assert "keys/privacy.json" in str(caught.value.details())
    [failure] = [call.kwargs for call in served.log.calls]
    assert failure["exc_info"] is echo.fail


@pytest.mark.parametrize(("shape", "requests", "answers"), ALL_SHAPES)
def test_a_fault_of_an_outer_layer_tells_its_caller_nothing_either(
    served: Served, outer: Noting, shape: str, requests: tuple[bytes, ...], answers: list[bytes]
) -> None:
    outer.fault = RuntimeError("secret detail")
    with pytest.raises(grpc.RpcError) as caught:
        served.call(shape, *requests)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret detail" not in str(caught.value)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_who_goes_away_ends_the_service_and_every_layer_in_the_calls_own_task(
    served: Served, echo: Echo, inner: Noting, outer: Noting, notes: list[str], shape: str
) -> None:
    method: Any = getattr(served.channel, shape)(f"/{SERVICE}/{shape}")
    request: Any = b"hang" if shape.startswith("unary") else iter([b"hang"])
    call = method.future(request) if shape.endswith("_unary") else method(request)
    assert echo.started.wait(TIMEOUT_S)
    call.cancel()
    assert echo.closed.wait(TIMEOUT_S)
    assert served.call("unary_unary", b"after") == [b"after"]  # and by then all is over
    assert notes[-10:-6] == ["inner CancelledError", "inner out", "outer CancelledError", "outer out"]
    assert inner.tasks == outer.tasks == [True, True]


def test_a_call_is_read_once_when_it_begins(echo: Echo) -> None:
    seen: list[Call] = []

    class Reading(Noting):
        def check(self, call: Call, request: object) -> None:
            seen.append(call)

    with_layers = serving(echo, lambda log: [Reading("r", []), ErrorLayer(log, bytes)])
    served = next(with_layers)
    metadata = (("x-one", "a-secret"), ("x-two", "a"), ("x-two", "b"), ("x-raw-bin", b"\x00"))
    served.call("stream_stream", b"a", metadata=metadata)
    served.call("unary_unary", b"a", timeout=None)
    first, second = seen
    assert (first.method, first.service, first.streaming) == (f"/{SERVICE}/stream_stream", SERVICE, True)
    assert first.peer.startswith("ipv4:127.0.0.1:")
    assert (first.one("x-one"), first.one("x-two"), first.one("x-raw-bin")) == ("a-secret", None, None)
    assert first.metadata["x-two"] == ("a", "b")
    assert first.certificate_pem is None
    assert first.deadline_s is not None
    assert 0 < first.deadline_s <= TIMEOUT_S + 1  # gRPC rounds it up
    assert (second.deadline_s, second.streaming) == (None, False)
    for secret in ("x-one", "a-secret"):
        assert secret not in repr(first)
    with_layers.close()


# A request that does not come


def opened(served: Served, shape: str, requests: Any, **more: Any) -> Any:
    """Begin a call whose requests, also of one alone, are sent as a stream."""
    method: Any = served.channel.stream_stream(f"/{SERVICE}/{shape}")
    return method(requests, **more)


@pytest.mark.parametrize("shape", SHAPES)
def test_who_may_not_call_is_told_so_before_the_request_comes(
    served: Served, inner: Noting, shape: str
) -> None:
    inner.closed, sent = True, threading.Event()
    try:
        with pytest.raises(grpc.RpcError) as caught:
            next(opened(served, shape, waiting_for(sent), timeout=TIMEOUT_S))
        assert reason_of(caught.value) == "METHOD_CLOSED"
    finally:
        sent.set()


def waiting_for(event: threading.Event) -> Iterator[bytes]:
    event.wait(TIMEOUT_S)
    yield b"a"


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream"])
def test_a_call_without_its_request_ends_in_time(short: Served, echo: Echo, shape: str) -> None:
    sent = threading.Event()
    try:
        with pytest.raises(grpc.RpcError) as caught:
            next(opened(short, shape, waiting_for(sent)))
        assert reason_of(caught.value) == "DEADLINE_EXCEEDED"
    finally:
        sent.set()
    assert echo.seen == []


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream"])
def test_who_goes_away_before_the_request_is_no_fault(
    served: Served, echo: Echo, inner: Noting, shape: str
) -> None:
    sent = threading.Event()
    call = opened(served, shape, waiting_for(sent))
    while "inner in" not in inner.notes:
        time.sleep(0.001)
    call.cancel()
    sent.set()
    for _ in range(3):
        assert served.call("unary_unary", b"after") == [b"after"]
    assert served.log.calls == []
    assert echo.seen == [b"after"] * 3


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream"])
def test_no_request_at_all_is_refused(served: Served, echo: Echo, shape: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(opened(served, shape, iter([]), timeout=TIMEOUT_S))
    assert reason_of(caught.value) == "REQUEST_INVALID"
    assert echo.seen == []


# The database


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OperationalError("x", {}, Exception()), "STORE_UNAVAILABLE"),
        (PoolTimeoutError("no connection"), "STORE_UNAVAILABLE"),
        (InternalError("x", {}, psycopg.errors.ReadOnlySqlTransaction()), "STORE_UNAVAILABLE"),
        (InternalError("x", {}, psycopg.errors.InFailedSqlTransaction()), "INTERNAL"),
        (ProgrammingError("x", {}, Exception()), "INTERNAL"),
    ],
)
def test_a_database_that_is_away_is_said_to_be(
    served: Served, echo: Echo, fault: Exception, reason: str
) -> None:
    echo.fail = fault
    assert served.refused("unary_unary", b"a")[1] == reason


# The deadline


@pytest.fixture
def short(echo: Echo) -> Iterator[Served]:
    yield from serving(echo, lambda log: [ErrorLayer(log, bytes), DeadlineLayer(0.2)])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_a_call_without_an_end_or_with_a_far_one_is_cut(
    short: Served, echo: Echo, shape: str, timeout: float | None
) -> None:
    code, reason = short.refused(shape, b"hang", timeout=timeout)
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert echo.closed.wait(TIMEOUT_S)
    assert short.call(shape, b"a") == [b"a"] * (2 if shape == "unary_stream" else 1)


def test_a_timeout_of_the_service_is_not_taken_for_the_deadline(short: Served, echo: Echo) -> None:
    echo.fail = TimeoutError("its own")
    assert short.refused("unary_unary", b"a")[1] == "INTERNAL"


@pytest.mark.parametrize(
    ("method", "asked", "kept", "cut"),
    [
        ("/a.B/C", None, 60.0, True),
        ("/a.B/C", 60.1, 60.0, True),
        ("/a.B/C", 60.0, 60.0, False),
        ("/a.B/C", 1.0, 1.0, False),
        *((method, None, None, False) for method in sorted(ENDLESS)),
        *((method, 9999.0, 9999.0, False) for method in sorted(ENDLESS)),
    ],
)
def test_the_shorter_end_counts(method: str, asked: float | None, kept: float | None, cut: bool) -> None:
    call = Call(method, "peer", deadline_s=asked)

    async def serve() -> bool:
        handles: Any = asyncio.get_running_loop()
        return any("Timeout" in repr(one) for one in handles._scheduled)

    async def run() -> object:
        return await DeadlineLayer(60.0).around(call, serve)

    assert asyncio.run(run()) == cut
    assert call.deadline_s == kept


# The log


def test_the_log_has_one_line_for_each_call_and_none_for_probes() -> None:
    captured = structlog.testing.CapturingLogger()
    layer = LogLayer(structlog.wrap_logger(captured, processors=[]))

    async def run(method: str, error: BaseException | None = None) -> None:
        call = Call(method, "ipv4:1.2.3.4:5", request_id="id-1", caller=Caller(Kind.USER, "user-7"))

        async def serve() -> None:
            if error is not None:
                raise error

        await layer.around(call, serve)

    refusal = ServiceError(Reason.USER_NOT_FOUND, "There is no such user.")
    asyncio.run(run("/verifield.v1.A/B"))
    asyncio.run(run("/grpc.health.v1.Health/Check"))
    with pytest.raises(Refused):
        asyncio.run(run("/verifield.v1.A/B", Refused(refusal, to_status(refusal))))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run("/verifield.v1.A/B", asyncio.CancelledError()))
    lines = [(call.kwargs["code"], call.kwargs["reason"]) for call in captured.calls]
    assert lines == [("OK", ""), ("NOT_FOUND", "USER_NOT_FOUND"), ("CANCELLED", "")]
    assert captured.calls[0].kwargs["caller"] == "user-7"
    assert captured.calls[0].kwargs["request_id"] == "id-1"


def test_request_ids_are_made_where_none_came() -> None:
    layer = RequestIdLayer(bytes)

    async def run(*given: str) -> str:
        call = Call("/a.B/C", "peer", metadata={"x-request-id": given} if given else {})

        async def serve() -> str:
            assert call.answer_metadata == {"x-request-id": call.request_id}
            return call.request_id

        return str(await layer.around(call, serve))

    made = "00000000-0000-4000-8000-000000000000"
    assert asyncio.run(run()) == made
    assert asyncio.run(run("request-1")) == "request-1"
    assert asyncio.run(run("request-1", "request-2")) == made
    for bad in ("", "a" * 7, "a" * 65, "bad\nline-here", "sp ace-in-it", "ümlaut-id"):
        assert asyncio.run(run(bad)) == made


# A stream does not outlive what proved its caller


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ({"x509_pem_cert": (b"PEM",)}, Reason.CLIENT_CERTIFICATE_REFUSED),
        ({}, Reason.SIGN_IN_TOKEN_REFUSED),
    ],
)
def test_a_stream_ends_with_what_proved_its_caller(auth: dict[str, Any], reason: Reason) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    moments = [now]
    sources = Sources(now=lambda: moments[0], random_bytes=bytes)
    nothing: Any = None
    layer = IdentityLayer(nothing, nothing, sources, operator_sha256=b"", places=Places())
    caller = Caller(Kind.USER, "user-7", valid_until=now)
    call = Call("/a.B/C", "peer", auth=auth, caller=caller)
    layer.check(call, b"")
    moments[0] = now + timedelta(microseconds=1)
    with pytest.raises(ServiceError) as caught:
        layer.check(call, b"")
    assert caught.value.reason is reason
    layer.check(Call("/a.B/C", "peer"), b"")  # open methods
    layer.check(Call("/a.B/C", "peer", caller=Caller(Kind.SERVICE_TOKEN, "operator-token")), b"")


# Who waits for the issuer of the token that is looked at


@dataclass
class Slow:
    """In the place of Callers, with an issuer that does not answer yet."""

    answered: asyncio.Event
    takes_tokens: bool = True

    async def by_token(self, token: str) -> Caller:
        await self.answered.wait()
        return Caller(Kind.USER, token)


def test_who_is_not_known_yet_has_so_many_places_and_who_is_known_none_of_them() -> None:
    async def run() -> None:
        slow: Any = Slow(asyncio.Event())
        sources = Sources(now=lambda: datetime.now(UTC), random_bytes=bytes)
        layer = IdentityLayer(Rules({}), slow, sources, operator_sha256=b"", places=Places(most=2))
        inside, over = asyncio.Semaphore(0), asyncio.Event()

        async def serve() -> None:
            inside.release()
            await over.wait()

        async def call(address: str) -> None:
            metadata = {"authorization": ("Bearer some-token",)}
            await layer.around(Call("/a.B/C", f"ipv4:{address}:5", metadata=metadata), serve)

        begun = [asyncio.create_task(call("192.0.2.1")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as caught:
            await call("192.0.2.1")
        assert caught.value.reason is Reason.RATE_LIMITED
        begun.append(asyncio.create_task(call("192.0.2.2")))
        await asyncio.sleep(0)
        slow.answered.set()
        for _ in range(3):
            await inside.acquire()
        begun.append(asyncio.create_task(call("192.0.2.1")))
        await inside.acquire()
        over.set()
        await asyncio.gather(*begun)

    asyncio.run(run())
