"""An OpenTelemetry collector for tests: a real gRPC server that keeps the spans it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector(TraceServiceServicer):
    """``answer``: OK, or the code of every refusal. ``hold``: answers wait until it is set."""

    endpoint: str = ""
    answer: grpc.StatusCode = grpc.StatusCode.OK
    hold: threading.Event = field(default_factory=threading.Event)
    requests: list[pb.ExportTraceServiceRequest] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def Export(  # noqa: N802 (the contract's name)
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        self.requests.append(request)
        self.arrived.set()
        self.hold.wait(30)
        if self.answer is not grpc.StatusCode.OK:
            context.abort(self.answer, "not now")
        return pb.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Span:
        [span] = [span for span in self.spans if span.name == name]
        return span


def attributes(span: Span) -> dict[str, str | int | float | bool]:
    """The attributes of a span as Python values."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


@contextmanager
def running_collector(*, held: bool = False) -> Iterator[Collector]:
    """Serve on a free port until the block ends."""
    collector = Collector()
    if not held:
        collector.hold.set()
    server = grpc.server(ThreadPoolExecutor(4))
    add: Any = add_TraceServiceServicer_to_server  # generated without types
    add(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    collector.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        collector.hold.set()
        server.stop(None).wait()
