"""A device's backlog through the real cloud service, and what it costs at least.

python -m benchmarks.bench_ingest --drain

The service is a process of its own with mutual TLS, SQLite with fsync, and a fresh data folder for each
repetition. The device is on the same cores, so both share them. Three ways to deliver are timed:

    one stream   all batches in one Deliver stream, the next batch sent before the answer to the last
    uplink       edge.sync's GrpcUplink: a stream for each batch, waiting for its answer
    drain        the appliance: its outbox and sync daemon, receipts verified and applied

The uplink once more, untimed, through a relay that counts bytes. Floors: ECDSA P-256 verification alone,
SQLite commits alone.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.cloud_service import Identity, Service, served
from benchmarks.counting_proxy import counting_proxy
from benchmarks.machine import (
    Noise,
    Sheet,
    Summary,
    cpu_s_of,
    describe_machine,
    family_of,
    progress,
    publish,
    rss_mib_of,
    summary_json,
)
from cloud.attestations.record import verify_record
from edge.attest.clock import SystemClock
from edge.model import Position
from edge.sync.daemon import SyncDevice, SyncSetting
from edge.sync.daemon import run as run_daemon
from edge.sync.turns import Turns
from edge.sync.uplink import MAX_BATCH_RECORDS, GrpcUplink
from tests.support.appliance import Appliance, MemorySigner
from tests.support.cloud import next_envelopes
from tests.support.sync_device import FieldDevice
from verifield.dsse import pae, parse_envelope
from verifield.v1.sync_service_pb2 import DELIVER_STATUS_ACCEPTED, DeliverRequest
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub

BACKLOG, BACKLOG_OF_SINGLES = 10_000, 2_000  # one by one takes long, and its rate needs no more
QUICK_BACKLOG = 512
BATCHES = (1, 64, 256)
REPETITIONS = 5
STREAM_TIMEOUT_S = 300.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """What the uplink takes: a record as the outbox gives it."""

    position: Position
    envelope: bytes
    state: str = "PENDING"


@dataclass(slots=True)
class Series:
    """Repetitions of one way to deliver."""

    rate: list[float] = field(default_factory=list)  # envelopes per second
    seconds: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)  # processor time of the service per envelope
    answer_ms: list[float] = field(default_factory=list)  # of a batch, where each is waited for


def split(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


@contextmanager
def timed(service: Service, series: Series, count: int) -> Iterator[None]:
    cpu, start = sum(map(cpu_s_of, family_of(service.pid))), time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    series.seconds.append(seconds)
    series.rate.append(count / seconds)
    series.server_us.append((sum(map(cpu_s_of, family_of(service.pid))) - cpu) / count * 1e6)


def one_stream(service: Service, series: Series, count: int, batch: int) -> None:
    """All batches in one stream."""
    device = service.cloud.enroll()
    batches = split(next_envelopes(device, count), batch)
    requests = [
        DeliverRequest(envelopes=part, certificates=() if number else device.chain)
        for number, part in enumerate(batches)
    ]
    with service.cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        grpc.channel_ready_future(channel).result(STREAM_TIMEOUT_S)
        with timed(service, series, count):
            answers = list(SyncServiceStub(channel).Deliver(iter(requests), timeout=STREAM_TIMEOUT_S))
    accepted = sum(one.status == DELIVER_STATUS_ACCEPTED for answer in answers for one in answer.results)
    assert accepted == count, f"{accepted} of {count} were accepted"


def uplink(service: Service, series: Series, count: int, batch: int, relay: str = "") -> int:
    """A stream for each batch, as the appliance does; return the envelopes' bytes."""
    device = service.cloud.enroll()
    envelopes = next_envelopes(device, count)
    records = [Record(Position(1, seq), envelope) for seq, envelope in enumerate(envelopes, 1)]
    endpoint = relay or service.cloud.endpoint.device_listen
    connection = GrpcUplink.open(Identity(device, service.cloud.root_pem, endpoint))
    try:
        with timed(service, series, count):
            for part in split(records, batch):
                start = time.perf_counter()
                results, _ = connection.deliver(part, damaged=(), witnessed_tree_size=0)
                series.answer_ms.append((time.perf_counter() - start) * 1e3)
                assert {result.verdict.name for result in results} == {"ACCEPTED"}
    finally:
        connection.close()
    return sum(map(len, envelopes))


def drain(service: Service, series: Series, count: int, folder: Path) -> int:
    """The whole appliance: an outbox filled offline, and the daemon that empties it; return the bytes."""
    enrolled = service.cloud.enroll()
    signer, device_id = MemorySigner(enrolled.key), enrolled.device_id
    appliance = Appliance(folder / "outbox.db", signer, device_id=device_id)
    size = sum(len(appliance.verify_person().envelope) for _ in range(count))
    appliance.outbox.close()
    identity = Identity(enrolled, service.cloud.root_pem, service.cloud.endpoint.device_listen)
    device = FieldDevice(folder, signer=signer, device_id=device_id)

    @contextmanager
    def open_device() -> Iterator[SyncDevice]:
        parts = device.parts(lambda: GrpcUplink.open(identity), service.cloud.root_pem)
        yield SyncDevice(parts, renewal_due=lambda: False)

    setting = SyncSetting(
        open_device=open_device,
        stamp=lambda: None,
        turns=Turns(folder),
        clock=SystemClock(),
        jitter=random.random,
        on_trouble=lambda _state, _trouble: None,
    )
    with timed(service, series, count):
        report = run_daemon(setting, stop=threading.Event(), once=True)
    device.close()
    assert report.trouble is None
    assert report.confirmed == count
    return size


def bare_verification(measured: Measured, service: Service, count: int) -> None:
    """On one thread: nothing but ECDSA P-256 over SHA-256, and then all that is judged of one envelope."""
    device = service.cloud.enroll()
    envelopes = next_envelopes(device, count)
    parsed = [parse_envelope(envelope) for envelope in envelopes]
    work = [(one.signatures[0].sig, pae(one.payload_type, one.payload)) for one in parsed]
    key, algorithm, certificate = (
        device.key.public_key(),
        ec.ECDSA(SHA256()),
        sha256(device.chain[0]).digest(),
    )
    start = time.perf_counter()
    for signature, message in work:
        key.verify(signature, message, algorithm)
    middle = time.perf_counter()
    for envelope in envelopes:
        verify_record(envelope, key=key, certificate_sha256=certificate, device_id=device.device_id)
    measured.signatures.append(count / (middle - start))
    measured.judged.append(count / (time.perf_counter() - middle))


def bare_commits(folder: Path, envelopes: Sequence[bytes], batch: int) -> list[float]:
    """Envelopes per second into one table with a digest, ``batch`` to a durable commit."""
    rows = [(number, sha256(envelope).digest(), envelope) for number, envelope in enumerate(envelopes)]
    path = folder / f"floor-{batch}.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE floor (seq INTEGER PRIMARY KEY, sha256 BLOB UNIQUE, envelope BLOB)")
        start = time.perf_counter()
        for part in split(rows, batch):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO floor VALUES (?, ?, ?)", part)
            connection.execute("COMMIT")
        seconds = time.perf_counter() - start
    connection.close()
    path.unlink()
    return [len(rows) / seconds]


@dataclass(slots=True)
class Measured:
    """Everything that came out."""

    streams: dict[int, Series] = field(default_factory=lambda: {batch: Series() for batch in BATCHES})
    uplinks: dict[int, Series] = field(default_factory=lambda: {batch: Series() for batch in BATCHES})
    drains: Series = field(default_factory=Series)
    signatures: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)
    commits: dict[int, list[float]] = field(default_factory=lambda: {batch: [] for batch in BATCHES})
    wire: dict[int, dict[str, float]] = field(default_factory=dict)
    envelope_bytes: float = 0.0
    drain_envelope_bytes: float = 0.0
    server_rss_mib: list[float] = field(default_factory=list)


def count_of(batch: int, backlog: int) -> int:
    return min(backlog, BACKLOG_OF_SINGLES) if batch == 1 else backlog


def repeat(measured: Measured, folder: Path, number: int, backlog: int) -> None:
    """One repetition of everything that is timed, on a fresh service; the order rotates."""
    with served(folder / "data") as service:
        first = number % len(BATCHES)
        for batch in BATCHES[first:] + BATCHES[:first]:
            count = count_of(batch, backlog)
            one_stream(service, measured.streams[batch], count, batch)
            uplink(service, measured.uplinks[batch], count, batch)
            envelopes = next_envelopes(service.cloud.enroll(), count)
            measured.commits[batch] += bare_commits(folder, envelopes, batch)
        measured.drain_envelope_bytes = drain(service, measured.drains, backlog, folder) / backlog
        bare_verification(measured, service, backlog)
        measured.server_rss_mib.append(rss_mib_of(service.pid))


def count_wire(measured: Measured, folder: Path, backlog: int) -> None:
    """Bytes on the wire for each batch size."""
    with served(folder / "data") as service:
        for batch in BATCHES:
            count = count_of(batch, backlog)
            with counting_proxy(service.cloud.endpoint.device_listen) as counted:
                envelopes = uplink(service, Series(), count, batch, relay=counted.address)
            measured.envelope_bytes = envelopes / count
            measured.wire[batch] = {
                "up": round(counted.up_bytes / envelopes, 3),
                "down": round(counted.down_bytes / envelopes, 3),
                "both": round((counted.up_bytes + counted.down_bytes) / envelopes, 3),
            }


def to_figures(measured: Measured, backlog: int) -> dict[str, Any]:
    def series(one: Series) -> dict[str, Any]:
        answers = {"answer_ms": summary_json(one.answer_ms)} if one.answer_ms else {}
        return {
            "envelopes_per_s": summary_json(one.rate),
            "seconds": summary_json(one.seconds),
            "server_cpu_us_per_envelope": summary_json(one.server_us),
            **answers,
        }

    return {
        "backlog": {str(batch): count_of(batch, backlog) for batch in BATCHES},
        "envelope_bytes": round(measured.envelope_bytes),
        "drain_envelope_bytes": round(measured.drain_envelope_bytes),
        "one_stream": {str(batch): series(one) for batch, one in measured.streams.items()},
        "uplink": {str(batch): series(one) for batch, one in measured.uplinks.items()},
        "drain": series(measured.drains),
        "floor_signatures_per_s": summary_json(measured.signatures),
        "judged_per_s": summary_json(measured.judged),
        "floor_commits_per_s": {str(batch): summary_json(one) for batch, one in measured.commits.items()},
        "wire_bytes_over_envelope_bytes": {str(batch): one for batch, one in measured.wire.items()},
        "server_rss_mib": summary_json(measured.server_rss_mib),
    }


def to_sheets(measured: Measured, backlog: int) -> list[Sheet]:
    def row(name: str, batch: int, one: Series) -> tuple[str, ...]:
        answer = Summary.of(one.answer_ms) if one.answer_ms else None
        return (
            *rates(name, batch, one.rate),
            f"{Summary.of(one.seconds).median:.2f}",
            f"{Summary.of(one.server_us).median:.0f}",
            f"{answer.median:.1f} / {answer.p99:.1f}" if answer else "",
        )

    def rates(name: str, batch: int, values: list[float]) -> tuple[str, ...]:
        spread = Summary.of(values)
        span = f"{spread.minimum:,.0f} to {spread.maximum:,.0f}"
        return (
            name,
            str(batch) if batch in BATCHES else "",
            f"{count_of(batch, backlog):,}",
            f"{spread.median:,.0f}",
            span,
        )

    blank = ("", "", "")
    rows = [row("one stream", batch, one) for batch, one in measured.streams.items()]
    rows += [row("uplink", batch, one) for batch, one in measured.uplinks.items()]
    rows.append(row("drain of the appliance's outbox", MAX_BATCH_RECORDS, measured.drains))
    rows += [(*rates("floor: SQLite commits", size, one), *blank) for size, one in measured.commits.items()]
    rows.append((*rates("floor: ECDSA P-256, one thread", backlog, measured.signatures), *blank))
    rows.append((*rates("signature, parsing and rules, one thread", backlog, measured.judged), *blank))
    wire = [
        (str(batch), *(f"{one[way]:.3f}" for way in ("up", "down", "both")))
        for batch, one in measured.wire.items()
    ]
    rss = Summary.of(measured.server_rss_mib).median
    return [
        Sheet(
            "Backlog of one device",
            ("", "batch", "envelopes", "per s", "from to", "s", "server cpu us", "answer ms median / p99"),
            rows,
            f"Medians of {len(measured.judged)} repetitions, each on a fresh service, whose resident memory"
            f" was {rss:.0f} MiB at the end. Envelopes have {measured.envelope_bytes:.0f} bytes, those of the"
            f" drain {measured.drain_envelope_bytes:.0f}. The device shares the cores with the service.",
        ),
        Sheet(
            "Bytes on the wire over bytes of envelopes (uplink)",
            ("batch", "up", "down", "both"),
            wire,
            "TCP payload with TLS, certificates, HTTP/2 and handshake, without TCP/IP headers.",
        ),
    ]


def run(*, as_json: bool, quick: bool) -> None:
    """Measure the delivery of a backlog, and its floors."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    noise = Noise()
    machine = describe_machine("grpcio", "protobuf", "cryptography", "SQLAlchemy")
    machine["packages"]["SQLite"] = sqlite3.sqlite_version
    backlog, repetitions = (QUICK_BACKLOG, 1) if quick else (BACKLOG, REPETITIONS)
    measured = Measured()
    with progress() as bar:
        for number in bar.track(range(repetitions + 1), description="repetitions and bytes"):
            with tempfile.TemporaryDirectory() as folder:
                if number < repetitions:
                    repeat(measured, Path(folder), number, backlog)
                else:
                    count_wire(measured, Path(folder), backlog)
    figures = {"machine": machine, "noise": noise.stop(), **to_figures(measured, backlog)}
    sheets = to_sheets(measured, backlog)
    publish("drain", "Delivery of a backlog", figures, sheets, as_json=as_json, keep=not quick)
