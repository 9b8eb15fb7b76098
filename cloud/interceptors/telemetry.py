"""Figures and spans of every call: the outermost layer, so that what is refused is counted too."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext

import grpc
from opentelemetry.trace import INVALID_SPAN, Span

from cloud.access.call import Call, Refused, Serve
from cloud.telemetry.metrics import Metrics
from cloud.telemetry.tracing import TRACEPARENT, Tracing, end_call

UNTRACED_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.channelz.v1.Channelz",
    }
)
"""Asked by machines every few seconds and by tools before each call: counted, but not worth spans."""


_NO_SPAN = nullcontext(INVALID_SPAN)


class TelemetryLayer:
    """Counts each call and its request messages, and surrounds it with a span."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    async def around(self, call: Call, serve: Serve) -> object:
        started = time.monotonic()
        self._metrics.rpc_started(call.method)
        code = "CANCELLED"
        with self._span(call) as span:
            try:
                answer = await serve()
                code = "OK"
            except Refused as refused:
                code = refused.code
                self._metrics.refused(refused.reason.value)
                raise
            except grpc.aio.AbortError:  # of gRPC's own services, which do not say with what
                code = "UNKNOWN"
                raise
            except Exception:
                code = "INTERNAL"
                raise
            else:
                return answer
            finally:
                self._metrics.rpc_ended(call.method, code=code, seconds=time.monotonic() - started)
                _describe(span, call, code)

    def check(self, call: Call, request: object) -> None:  # noqa: ARG002 (the shape of a layer)
        """Refuses nothing."""
        self._metrics.message_received(call.method)

    def _span(self, call: Call) -> AbstractContextManager[Span]:
        if not self._tracing.is_on or call.service in UNTRACED_SERVICES:
            return _NO_SPAN
        parent = call.one(TRACEPARENT)
        return self._tracing.call(call.method, {TRACEPARENT: parent} if parent else {})


def _describe(span: Span, call: Call, code: str) -> None:
    if span.is_recording():
        span.set_attribute("verifield.request_id", call.request_id)
        if call.caller:  # what it is, not who: names belong in the log
            span.set_attribute("verifield.caller_kind", call.caller.kind.value)
        end_call(span, code)
