"""Traces for OpenTelemetry: off unless a collector is named; no global provider, nothing personal.

A span is made for each call, in the trace that the caller names by a W3C ``traceparent`` in the metadata,
and for the stages of a delivery: verify, wait, commit. Attributes are numbers and names of ours; what an
exception says stays out of spans, because messages may quote requests.

Spans leave through a bounded queue and a thread of their own. A collector that is slow or away costs
spans, never a call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
TRACEPARENT_CHARS = 55
"""Version 00: what is longer is of no version that we read, and is not even looked at."""

FAULT_CODES = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Codes that are the server's failure (OpenTelemetry's conventions for gRPC servers)."""

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Exporting:
    """``endpoint``: http(s)://HOST:PORT of an OTLP gRPC receiver. ``ratio``: share of traces kept, 0 to 1."""

    endpoint: str
    ratio: float
    version: str
    instance: str
    certificates: bytes | None = None  # PEM of the CA behind https; None: those of the system


class Provider(Protocol):
    """What makes spans and brings them out; see cloud.telemetry.otlp."""

    def tracer(self) -> Tracer: ...

    def close(self) -> None: ...


class Tracing:
    """Makes spans, or, without a provider, nothing at all."""

    def __init__(self, provider: Provider | None = None) -> None:
        self._provider = provider
        self._tracer = provider.tracer() if provider else None
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def open(cls, exporting: Exporting) -> Tracing:
        """Start the exporting thread; nothing is sent before the first span ends."""
        from cloud.telemetry.otlp import OtlpProvider  # noqa: PLC0415 (few need it; a tenth of a second)

        return cls(OtlpProvider.open(exporting))

    @property
    def is_on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    def close(self) -> None:
        """Send what waits, as long as a collector deserves. Blocks: not for the event loop."""
        if self._provider:
            self._provider.close()

    @contextmanager
    def call(self, method: str, metadata: Mapping[str, str]) -> Iterator[Span]:
        """The span of one call; the caller ends it with :func:`end_call`. ``metadata``: lower-case keys."""
        if self._tracer is None:
            yield INVALID_SPAN
            return
        service, _, name = method.strip("/").partition("/")
        with self._tracer.start_as_current_span(
            f"{service}/{name}",
            context=self._parent(metadata),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def stage(self, name: str, **attributes: Attribute) -> Iterator[Span]:
        """A part of the current call, while the block runs."""
        if self._tracer is None or not trace.get_current_span().is_recording():
            yield INVALID_SPAN
            return
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def here(self) -> Context | None:
        """The current call's context, for a stage that another thread will tell of; None: do not."""
        if self._tracer is None or not trace.get_current_span().is_recording():
            return None
        return trace.set_span_in_context(trace.get_current_span())

    def past(
        self,
        name: str,
        context: Context | None,
        *,
        began_ago_s: float,
        ended_ago_s: float = 0.0,
        **attributes: Attribute,
    ) -> None:
        """Tell of a stage that is over, by how long ago it began and ended."""
        if self._tracer is None or context is None:
            return
        now_ns = time.time_ns()
        began_ns, ended_ns = (now_ns - round(ago_s * 1e9) for ago_s in (began_ago_s, ended_ago_s))
        span = self._tracer.start_span(name, context=context, start_time=began_ns, attributes=attributes)
        span.end(ended_ns)

    def _parent(self, metadata: Mapping[str, str]) -> Context:
        """The caller's place in its trace; an empty context where it names none that can be read."""
        given = metadata.get(TRACEPARENT, "")
        if len(given) > TRACEPARENT_CHARS:
            given = ""
        # tracestate is the business of other tracers and could be long: it is not carried on.
        return self._propagator.extract({TRACEPARENT: given}, context=Context())


def end_call(span: Span, code: str) -> None:
    """Write the outcome of a call. ``code``: a name of grpc.StatusCode."""
    span.set_attribute("rpc.grpc.status_code", code)
    if code in FAULT_CODES:
        span.set_status(StatusCode.ERROR)


def current_ids() -> tuple[str, str] | None:
    """Trace and span id of the current call in hex, for log lines; None outside of a recorded one."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
