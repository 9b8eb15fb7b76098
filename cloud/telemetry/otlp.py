"""Brings spans to an OTLP receiver over gRPC, from a bounded queue and a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from cloud.telemetry.tracing import Exporting

EXPORT_TIMEOUT_S = 5.0
"""For one batch with its repetitions; only the exporter's own thread waits."""

CLOSE_TIMEOUT_S = 3.0
"""At the end: what a collector that is away has not taken by then is given up."""

QUEUE_SPANS = 4096
"""A few MiB at the most. Beyond it the oldest spans are dropped."""

BATCH_SPANS = 512
BATCH_DELAY_MS = 1000.0
"""A trace is seen a second after its call, in requests of at most some 100 KiB."""


class OtlpProvider:
    """A tracer provider of ours, not the process's."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        self._provider = provider
        self._exporter = exporter

    @classmethod
    def open(cls, exporting: Exporting) -> OtlpProvider:
        """Start the exporting thread; it connects when it has something to send."""
        secure = exporting.endpoint.startswith("https:")
        exporter = _OnceShut(
            OTLPSpanExporter(
                endpoint=exporting.endpoint,
                insecure=not secure,
                credentials=grpc.ssl_channel_credentials(exporting.certificates) if secure else None,
                timeout=EXPORT_TIMEOUT_S,
            )
        )
        ratio = TraceIdRatioBased(exporting.ratio)
        provider = TracerProvider(
            # A caller's "sampled" counts no more than our own ratio: nobody can make us write all traces.
            sampler=ParentBased(ratio, remote_parent_sampled=ratio),
            # Not Resource.create, which looks around on the machine.
            resource=Resource(
                {
                    "service.name": "verifield-cloud",
                    "service.version": exporting.version,
                    "service.instance.id": exporting.instance,
                }
            ),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=BATCH_DELAY_MS,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        return cls(provider, exporter)

    def tracer(self) -> Tracer:
        """What makes spans."""
        return self._provider.get_tracer("verifield.cloud")

    def flush(self) -> None:
        """Send what waits now."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits, and return within about CLOSE_TIMEOUT_S."""
        impatience = threading.Timer(CLOSE_TIMEOUT_S, self._exporter.shutdown)
        impatience.daemon = True
        impatience.start()
        try:
            self._provider.shutdown()
        finally:
            impatience.cancel()


class _OnceShut(SpanExporter):
    """An exporter that may be shut down twice, and has failed at once from the first time on."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._shut = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._shut.is_set() else self._exporter.export(spans)

    def shutdown(self) -> None:
        if not self._shut.is_set():
            self._shut.set()
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
