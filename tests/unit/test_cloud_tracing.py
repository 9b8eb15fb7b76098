"""Traces: off by default, in the caller's trace, at our own ratio, and never in the way of a call."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry import trace

from cloud.telemetry import otlp
from cloud.telemetry.tracing import TRACEPARENT, Exporting, Tracing, current_ids, end_call
from tests.support.collector import attributes, running_collector

METHOD = "/verifield.v1.DeviceService/GetDevice"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-00"


def exporting(endpoint: str, ratio: float = 1.0) -> Exporting:
    return Exporting(endpoint=endpoint, ratio=ratio, version="1.2.3", instance="one")


def test_without_a_collector_nothing_is_made() -> None:
    tracing = Tracing()
    with tracing.call(METHOD, {TRACEPARENT: SAMPLED}) as span, tracing.stage("verify", records=1):
        assert not span.is_recording()
        assert tracing.here() is None
        assert current_ids() is None
        end_call(span, "INTERNAL")
    tracing.past("commit", None, began_ago_s=2)
    tracing.close()


def test_a_call_and_its_stages_stand_in_the_trace_of_the_caller() -> None:
    with running_collector() as collector:
        tracing = Tracing.open(exporting(collector.endpoint))
        with tracing.call(METHOD, {TRACEPARENT: SAMPLED}) as span:
            ids = current_ids()
            with tracing.stage("verify", records=3):
                pass
            context = tracing.here()
            with ThreadPoolExecutor(1) as other:  # another thread, which has no current span
                times = {"began_ago_s": 3.0, "ended_ago_s": 1.0}
                other.submit(tracing.past, "commit", context, **times, works=4).result()
            end_call(span, "NOT_FOUND")
        tracing.close()
        call, verify, commit = (collector.named(name) for name in (METHOD.strip("/"), "verify", "commit"))
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
        assert call.parent_span_id.hex() == PARENT_ID
        assert verify.parent_span_id == commit.parent_span_id == call.span_id
        assert ids == (TRACE_ID, call.span_id.hex())
        assert commit.end_time_unix_nano - commit.start_time_unix_nano == 2_000_000_000
        assert commit.start_time_unix_nano < call.start_time_unix_nano
        assert attributes(call) == {
            "rpc.system": "grpc",
            "rpc.service": "verifield.v1.DeviceService",
            "rpc.method": "GetDevice",
            "rpc.grpc.status_code": "NOT_FOUND",
        }
        assert call.status.code == 0  # the caller's mistake is none of ours
        assert attributes(verify) == {"records": 3}
        assert attributes(commit) == {"works": 4}
        [resource] = {
            tuple(sorted((one.key, one.value.string_value) for one in part.resource.attributes))
            for request in collector.requests
            for part in request.resource_spans
        }
        assert dict(resource) == {
            "service.name": "verifield-cloud",
            "service.version": "1.2.3",
            "service.instance.id": "one",
        }


def test_what_an_exception_says_stays_out_of_spans() -> None:
    with running_collector() as collector:
        tracing = Tracing.open(exporting(collector.endpoint))

        def fail() -> None:
            with tracing.call(METHOD, {}) as span:
                end_call(span, "INTERNAL")
                with tracing.stage("verify"):
                    raise ValueError("Maria Example, 1010-22")

        with pytest.raises(ValueError, match="Maria"):
            fail()
        tracing.close()
        assert len(collector.spans) == 2
        assert collector.named(METHOD.strip("/")).status.code == 2  # ERROR
        assert not any(span.events or span.status.message for span in collector.spans)
        assert b"Maria" not in b"".join(one.SerializeToString() for one in collector.requests)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        "00-0-0-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"{SAMPLED}-{'x' * 1000}",
        f"00-{'0' * 32}-{PARENT_ID}-01",
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(traceparent: str) -> None:
    with running_collector() as collector:
        tracing = Tracing.open(exporting(collector.endpoint))
        with tracing.call(METHOD, {TRACEPARENT: traceparent}):
            pass
        tracing.close()
        [span] = collector.spans
        assert span.trace_id.hex() != TRACE_ID
        assert span.parent_span_id == b""


@pytest.mark.parametrize(("ratio", "traceparent"), [(0.0, SAMPLED), (0.0, ""), (1.0, UNSAMPLED)])
def test_a_caller_cannot_make_us_trace_more_than_we_want_but_less(ratio: float, traceparent: str) -> None:
    with running_collector() as collector:
        tracing = Tracing.open(exporting(collector.endpoint, ratio))
        with tracing.call(METHOD, {TRACEPARENT: traceparent}), tracing.stage("verify"):
            assert tracing.here() is None
        tracing.close()
        assert collector.requests == []


def test_a_ratio_between_keeps_whole_traces() -> None:
    with running_collector() as collector:
        tracing = Tracing.open(exporting(collector.endpoint, 0.5))
        for number in range(200):
            told = f"00-{number * 2**60 + 1:032x}-{PARENT_ID}-01"
            with tracing.call(METHOD, {TRACEPARENT: told}), tracing.stage("verify"):
                pass
        tracing.close()
        kept = {span.trace_id for span in collector.spans}
        assert len(collector.spans) == 2 * len(kept)
        assert 0 < len(kept) < 200


@pytest.mark.parametrize("fault", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
def test_a_collector_that_refuses_hurts_no_call(
    fault: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "CLOSE_TIMEOUT_S", 0.3)
    with running_collector() as collector:
        collector.answer = fault
        tracing = Tracing.open(exporting(collector.endpoint))
        for _ in range(3):
            with tracing.call(METHOD, {}):
                pass
        tracing.close()
        assert collector.requests


def test_a_collector_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "CLOSE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(otlp, "BATCH_DELAY_MS", 10.0)
    with running_collector(held=True) as collector:
        tracing = Tracing.open(exporting(collector.endpoint))
        with tracing.call(METHOD, {}):
            pass
        assert collector.arrived.wait(10)
        slowest_s = 0.0
        for _ in range(3 * otlp.QUEUE_SPANS):  # more than the queue holds: the oldest are dropped
            started = time.perf_counter()
            with tracing.call(METHOD, {}):
                pass
            slowest_s = max(slowest_s, time.perf_counter() - started)
        closing = threading.Thread(target=tracing.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
        assert slowest_s < 8.0  # a call that waited for the collector would wait until it is let go


def test_a_collector_that_is_not_there_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "CLOSE_TIMEOUT_S", 0.3)
    tracing = Tracing.open(exporting("http://127.0.0.1:1"))
    with tracing.call(METHOD, {}) as span:
        end_call(span, "OK")
    tracing.close()


def test_nothing_of_the_process_is_set() -> None:
    with running_collector() as collector:
        before = trace.get_tracer_provider()
        tracing = Tracing.open(exporting(collector.endpoint))
        assert trace.get_tracer_provider() is before
        tracing.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("OtelBatch")]
