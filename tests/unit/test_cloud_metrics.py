"""Figures: what is counted, under closed sets of labels; the census and what it may cost; the scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cloud.errors import SetupError
from cloud.telemetry import scrape as scrapes
from cloud.telemetry.census import COST_SHARE, MIN_AGE_S, CachedCensus, Census, CensusCollector
from cloud.telemetry.metrics import CODES, OTHER, Metrics
from cloud.telemetry.scrape import (
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    Scrape,
    is_loopback,
    parse_request,
    render,
)
from verifield.v1 import sync_service_pb2 as pb

DELIVER = "/verifield.v1.SyncService/Deliver"
LABELS = {"grpc_type": "bidi_stream", "grpc_service": "verifield.v1.SyncService", "grpc_method": "Deliver"}
LOOPBACK = ("127.0.0.1", 0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series(registry: CollectorRegistry) -> list[tuple[str, dict[str, str]]]:
    families = text_string_to_metric_families(render(registry).decode())
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def test_a_call_is_counted_from_its_beginning_to_its_end() -> None:
    metrics = Metrics(["verifield.v1.SyncService"])
    metrics.rpc_started(DELIVER)
    metrics.rpc_started(DELIVER)
    metrics.message_received(DELIVER)
    metrics.rpc_ended(DELIVER, code="NOT_FOUND", seconds=0.2)
    assert value(metrics, "grpc_server_started_total", **LABELS) == 2
    assert value(metrics, "grpc_server_running", **LABELS) == 1
    assert value(metrics, "grpc_server_msg_received_total", **LABELS) == 1
    assert value(metrics, "grpc_server_handled_total", **LABELS, grpc_code="NotFound") == 1
    assert value(metrics, "grpc_server_handling_seconds_sum", **LABELS) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "path", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
)
def test_what_every_server_has_is_known_by_its_name(path: str) -> None:
    metrics = Metrics()
    metrics.rpc_started(path)
    [labels] = [labels for name, labels in series(metrics.registry) if name == "grpc_server_started_total"]
    assert f"/{labels['grpc_service']}/{labels['grpc_method']}" == path


def test_callers_cannot_make_series() -> None:
    metrics = Metrics(["verifield.v1.SyncService"])

    def call(number: int) -> None:
        for method in (f"/x.Y{number}/Z", f"{DELIVER}{number}", f"{number}"):
            metrics.rpc_started(method)
            metrics.rpc_ended(method, code=f"CODE{number}", seconds=1)
        metrics.refused(f"REASON{number}")
        metrics.delivered({f"DELIVER_STATUS_{number}": 1, str(number): 1})
        metrics.retried(f"cause{number}")

    call(0)
    before = series(metrics.registry)
    for number in range(1, 50):
        call(number)
    assert series(metrics.registry) == before
    assert value(metrics, "verifield_refusals_total", reason=OTHER) == 50
    other = dict.fromkeys(LABELS, OTHER)
    assert value(metrics, "grpc_server_handled_total", **other, grpc_code="Unknown") == 150


def test_a_service_without_a_descriptor_is_a_mistake_of_the_wiring() -> None:
    with pytest.raises(KeyError):
        Metrics(["verifield.v1.NoSuchService"])


def test_every_code_of_grpc_has_a_name() -> None:
    import grpc  # noqa: PLC0415

    assert set(CODES) == {code.name for code in grpc.StatusCode}


def test_deliveries_are_counted_by_verdict() -> None:
    metrics = Metrics()
    metrics.delivered(
        {
            pb.DeliverStatus.Name(pb.DELIVER_STATUS_ACCEPTED): 3,
            pb.DeliverStatus.Name(pb.DELIVER_STATUS_FORK): 1,
        }
    )
    metrics.verified(records=4, seconds=0.01)
    metrics.queue(7)
    metrics.waited(0.002)
    metrics.committed(works=3, leaves=9, seconds=0.02)
    metrics.retried("fence")
    metrics.tree(9)
    assert value(metrics, "verifield_ingest_batches_total") == 1
    assert value(metrics, "verifield_ingest_records_total", verdict="accepted") == 3
    assert value(metrics, "verifield_ingest_records_total", verdict="fork") == 1
    assert value(metrics, "verifield_verify_records_total") == 4
    assert value(metrics, "verifield_sequencer_queue_depth") == 7
    assert value(metrics, "verifield_sequencer_wait_seconds_count") == 1
    assert value(metrics, "verifield_sequencer_group_works_sum") == 3
    assert value(metrics, "verifield_sequencer_commit_seconds_count") == 1
    assert value(metrics, "verifield_sequencer_retries_total", cause="fence") == 1
    assert value(metrics, "verifield_log_leaves_total") == 9
    assert value(metrics, "verifield_log_tree_size") == 9


class Counting:
    """A census whose counting takes ``cost_s`` of the clock that it also is."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.cost_s = cost_s
        self.calls = 0
        self.broken = False

    def clock(self) -> float:
        return self.now_s

    def count(self) -> Census:
        self.calls += 1
        self.now_s += self.cost_s
        if self.broken:
            raise OSError("away")
        return Census(
            devices={"active": self.calls},
            open_alarms={"fork": 2},
            oldest_alarm_us=5_000_000,
            staged_records=3,
            database_bytes=4096,
            disk_free_bytes=10,
            last_backup_us=None,
            certificate_ends_us={"server": 7_000_000},
        )


def census(counting: Counting) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(CensusCollector(CachedCensus(counting.count, clock=counting.clock)))
    return registry


def test_the_census_is_told_with_units_and_without_what_is_unknown() -> None:
    counting = Counting()
    registry = census(counting)
    assert counting.calls == 0  # registering costs nothing
    text = render(registry).decode()
    for line in (
        "verifield_census_up 1.0",
        'verifield_devices{state="active"} 1.0',
        'verifield_alarms_open{kind="fork"} 2.0',
        "verifield_alarm_oldest_timestamp_seconds 5.0",
        "verifield_staged_records 3.0",
        "verifield_database_bytes 4096.0",
        "verifield_disk_free_bytes 10.0",
        'verifield_certificate_expiry_timestamp_seconds{key="server"} 7.0',
    ):
        assert line in text.splitlines()
    assert "backup" not in text


def test_a_cheap_count_is_kept_for_a_scrape_interval() -> None:
    counting = Counting()
    registry = census(counting)
    render(registry)
    counting.now_s += MIN_AGE_S - 0.01
    render(registry)
    assert counting.calls == 1
    counting.now_s += 0.01
    render(registry)
    assert counting.calls == 2


def test_a_dear_count_takes_a_small_share_of_the_time() -> None:
    counting = Counting(cost_s=3.0)
    registry = census(counting)
    render(registry)
    counting.now_s += 3.0 / COST_SHARE - 0.01
    render(registry)
    assert counting.calls == 1
    counting.now_s += 0.01
    render(registry)
    assert counting.calls == 2


def test_a_store_that_is_away_leaves_the_other_figures_and_says_so() -> None:
    counting = Counting()
    metrics = Metrics()
    metrics.registry.register(CensusCollector(CachedCensus(counting.count, clock=counting.clock)))
    render(metrics.registry)
    counting.broken = True
    counting.now_s += MIN_AGE_S
    text = render(metrics.registry).decode()
    assert "verifield_census_up 0.0" in text
    assert "verifield_devices" not in text
    assert "verifield_log_tree_size" in text


def test_series_that_nobody_reads_are_left_out() -> None:
    assert not [name for name, _ in series(Metrics().registry) if name.endswith("_created")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_what_only_this_machine_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "metrics.example"])
def test_what_other_machines_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("head", "read"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/metrics")),
        (b"POST / HTTP/1.0\r\n\r\n", ("POST", "/")),
        (b"GET /metrics HTTP/2\r\n\r\n", ("", None)),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", ("", None)),
        (b"\x16\x03\x01\r\n\r\n", ("", None)),
        (b"\r\n\r\n", ("", None)),
    ],
)
def test_the_first_line_of_a_request(head: bytes, read: tuple[str, str | None]) -> None:
    assert parse_request(head) == read


def with_scrape(use: Callable[[int], Awaitable[None]]) -> None:
    async def main() -> None:
        scrape = await Scrape.start(LOOPBACK, Metrics().registry, exposed=False)
        try:
            await use(scrape.port)
        finally:
            await scrape.stop()

    asyncio.run(main())


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_scrape_over_http() -> None:
    async def use(port: int) -> None:
        answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"text/plain; version=0.0.4" in head
        assert b"verifield_log_tree_size 0.0" in body
        for request, status in (
            (b"GET / HTTP/1.1\r\n\r\n", b"404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
            (b"hello\r\n\r\n", b"400"),
        ):
            assert (await ask(port, request)).split()[1] == status

    with_scrape(use)


@pytest.mark.parametrize(("extra", "status"), [(-1, b"200"), (2, b"431")])
def test_a_head_has_a_limit(extra: int, status: bytes) -> None:
    begin, end = b"GET /metrics HTTP/1.1\r\nX: ", b"\r\n\r\n"
    request = begin + b"x" * (MAX_HEAD_BYTES + extra - len(begin) - len(end) + 4) + end

    async def use(port: int) -> None:
        assert (await ask(port, request)).split()[1] == status

    with_scrape(use)


def test_silent_connections_are_few_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        refused, _ = one_more = await asyncio.open_connection("127.0.0.1", port)
        assert await refused.read() == b""  # at once: the others have half a second
        one_more[1].close()
        for reader, writer in silent:
            assert (await reader.read()).split()[1] == b"408"
            writer.close()
        assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).split()[1] == b"200"

    monkeypatch.setattr(scrapes, "REQUEST_TIMEOUT_S", 0.5)
    with_scrape(use)


def test_figures_are_not_shown_to_other_machines_unless_that_is_said() -> None:
    async def main() -> None:
        with pytest.raises(SetupError, match="readable by everybody") as caught:
            await Scrape.start(("0.0.0.0", 0), Metrics().registry, exposed=False)
        assert caught.value.code == "METRICS_ADDRESS"
        scrape = await Scrape.start(("0.0.0.0", 0), Metrics().registry, exposed=True)
        with pytest.raises(SetupError) as caught:
            await Scrape.start(("127.0.0.1", scrape.port), Metrics().registry, exposed=False)
        assert caught.value.code == "PORT_UNAVAILABLE"
        await scrape.stop()

    asyncio.run(main())
