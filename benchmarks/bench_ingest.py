"""How many records a second the real cloud service takes, and what each costs it.

python -m benchmarks.bench_ingest               a fleet delivers as fast as it is answered; then at a rate
python -m benchmarks.bench_ingest --rate 8000   that rate alone, whatever the answers do (an open loop)
python -m benchmarks.bench_ingest --drain       the backlog of one device instead (``benchmarks.bench_drain``)

The service is ``verifield-cloud serve`` as a process of its own, with SQLite and a sync at each commit; then
with a new PostgreSQL on this machine, which syncs as well; or with --database. The load is a process too, on
the same cores; all its records are signed before the clock starts, each device has its own TLS identity,
connection and stream. A record counts when the answer says ACCEPTED, which the service says only once it is
durable; at the end the rows in the database are counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import create_engine, text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where this file is run by its path

from benchmarks import bench_drain
from benchmarks.cloud_service import Service, served
from benchmarks.ingest_fleet import enroll_fleet, write_fleet
from benchmarks.ingest_load import Plan
from benchmarks.machine import (
    ROOT,
    Noise,
    Sheet,
    Summary,
    cpu_s_of,
    describe_machine,
    family_of,
    publish,
    rss_mib_of,
    summary_json,
    warm_up,
)
from tests.support.postgres import NoPostgresError, fresh_database

RECORDS, QUICK_RECORDS = 200_000, 12_000
DEVICES, BATCH = 16, 256
"""As many records in flight as two cores work off in less than half a second."""

RATE = 8_000.0
OPEN_DEVICES = 64
FLOOR_REPEATS = 2_000


@dataclass(frozen=True, slots=True)
class Setup:
    """One run: ``rate`` None for a closed loop."""

    records: int
    devices: int
    batch: int
    rate: float | None
    database: str | None
    processes: int | None

    @property
    def batches(self) -> int:
        return max(1, self.records // (self.devices * self.batch))


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds of the service with its processes, and of a database beside it."""

    server_s: float
    main_s: float
    database_s: float


def usage_of(service: Service, *, database: bool) -> Usage:
    family = family_of(service.pid)
    own = sum(map(cpu_s_of, family))
    return Usage(own, cpu_s_of(service.pid), sum(map(cpu_s_of, postgres_pids())) if database else 0.0)


def postgres_pids() -> list[int]:
    """All processes of PostgreSQL on this machine."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().startswith("postgres"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def count_rows(service: Service, table: str) -> int:
    engine = create_engine(service.cloud.database_url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    finally:
        engine.dispose()


def measure(setup: Setup) -> dict[str, Any]:
    """Serve, load, and return what came of it."""
    settings = {} if setup.processes is None else {"verify_processes": str(setup.processes)}
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "data", database=setup.database, settings=settings) as service,
    ):
        fleet = enroll_fleet(service, setup.devices)
        write_fleet(Path(folder) / "fleet", fleet)
        plan = Path(folder) / "plan.json"
        plan.write_text(
            json.dumps(asdict(Plan(str(Path(folder) / "fleet"), setup.batch, setup.batches, setup.rate)))
        )
        before = count_rows(service, "attestations")
        at: dict[str, tuple[Usage, int, int]] = {}

        def note(event: str, facts: dict[str, Any]) -> None:
            usage = usage_of(service, database=setup.database is not None)
            at[event] = usage, facts["acked"], count_rows(service, "checkpoints")

        result = run_load(plan, note)
        result["bytes_each"] = result["bytes"] / result["records"]
        stored = count_rows(service, "attestations") - before
        assert stored == result["accepted"] + setup.devices, "what was answered is not what is stored"
        return to_figures(setup, result, at["begin"], at["end"]) | {
            "stored": stored,
            "server_rss_mib": round(sum(map(rss_mib_of, family_of(service.pid)))),
        }


def run_load(plan: Path, note: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
    """Run the load's process; ``note`` is called at the beginning and the end of what is measured."""
    command = [sys.executable, "-m", "benchmarks.ingest_load", str(plan)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        found: dict[str, Any] = {}
        for line in process.stdout:
            facts = json.loads(line)
            event = facts.pop("event")
            if event == "ready":
                found |= facts
                process.stdin.write("go\n")
                process.stdin.flush()
            elif event == "result":
                found |= facts
            else:
                note(event, facts)
    if process.returncode or "accepted" not in found:
        raise RuntimeError("the load did not come to its end")
    return found


def to_figures(
    setup: Setup, result: dict[str, Any], begin: tuple[Usage, int, int], end: tuple[Usage, int, int]
) -> dict[str, Any]:
    records = end[1] - begin[1]
    waits = Summary.of(result["waits_ms"])
    ordered = sorted(result["waits_ms"])

    def each(name: str) -> float:
        spent = getattr(end[0], name) - getattr(begin[0], name)
        return float(round(spent / records * 1e6, 1))

    return {
        "attestations_per_second": round(result["measured_records"] / result["measured_seconds"]),
        "server_cpu_us_each": each("server_s"),
        "server_main_cpu_us_each": each("main_s"),
        "database_cpu_us_each": each("database_s") if setup.database else None,
        "client_cpu_us_each": round(result["client_cpu_us_each"], 1),
        "ack_p50_ms": round(waits.median, 1),
        "ack_p99_ms": round(waits.p99, 1),
        "ack_max_ms": round(ordered[-1], 1),
        "rate_asked": setup.rate,
        "batch": setup.batch,
        "devices": setup.devices,
        "records": result["acked"],
        "accepted": result["accepted"],
        "measured_records": records,
        "measured_seconds": round(result["measured_seconds"], 2),
        "commits": end[2] - begin[2],
        "records_per_commit": round(records / max(1, end[2] - begin[2])),
        "envelope_bytes": round(result["bytes_each"]),
        "database": "postgresql" if setup.database else "sqlite",
        "load_average": round(os.getloadavg()[0], 2),
    }


def floors() -> dict[str, Any]:
    """What one signature check and one sync of the disk cost here, with nothing around them."""
    key, message = ec.generate_private_key(ec.SECP256R1()), bytes(1200)
    algorithm = ec.ECDSA(SHA256())
    signature, public = key.sign(message, algorithm), key.public_key()
    start = time.process_time()
    for _ in range(FLOOR_REPEATS):
        public.verify(signature, message, algorithm)
    verify_us = (time.process_time() - start) / FLOOR_REPEATS * 1e6
    start = time.process_time()
    for _ in range(FLOOR_REPEATS):
        sha256(message).digest()
    digest_us = (time.process_time() - start) / FLOOR_REPEATS * 1e6
    syncs = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(FLOOR_REPEATS // 20):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            syncs.append((time.perf_counter() - start) * 1e3)
    return {
        "verify_us": round(verify_us, 1),
        "sha256_us": round(digest_us, 2),
        "fsync_ms": summary_json(syncs),
    }


def to_sheets(runs: dict[str, dict[str, Any]], floor: dict[str, Any]) -> list[Sheet]:
    rows = [
        (
            name,
            f"{one['devices']} x {one['batch']}",
            f"{one['attestations_per_second']:,}",
            f"{one['server_cpu_us_each']:.0f}",
            f"{one['server_main_cpu_us_each']:.0f}",
            f"{one['client_cpu_us_each']:.0f}",
            f"{one['ack_p50_ms']:.0f} / {one['ack_p99_ms']:.0f} / {one['ack_max_ms']:.0f}",
            f"{one['records_per_commit']:,}",
        )
        for name, one in runs.items()
    ]
    first = next(iter(runs.values()))
    over = first["server_cpu_us_each"] / floor["verify_us"]
    return [
        Sheet(
            "A fleet on the same cores",
            (
                "",
                "devices x batch",
                "per s",
                "server cpu us",
                "of it the main process",
                "load cpu us",
                "ack ms median / p99 / max",
                "records per commit",
            ),
            rows,
            f"Each record with its answer after the durable commit; {first['envelope_bytes']} bytes each on"
            f" {first['database']}. The first {15} % and the last {5} % of the records are not measured."
            f" Floors: one P-256 check {floor['verify_us']} us, one sync of the disk"
            f" {floor['fsync_ms']['median']} ms (p99 {floor['fsync_ms']['p99']}). For each record the service"
            f" needs {over:.1f} times the bare check.",
        )
    ]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="Few records; keeps no result.")] = False,
    rate: Annotated[float | None, typer.Option(help="Records per second, as an open loop alone.")] = None,
    records: Annotated[int | None, typer.Option(help="In each run.")] = None,
    devices: Annotated[int | None, typer.Option(help="Each with a connection of its own.")] = None,
    batch: Annotated[int, typer.Option(help="Records in each request.")] = BATCH,
    processes: Annotated[int | None, typer.Option(help="The service's verify_processes.")] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy address; default: SQLite.")] = None,
    drain: Annotated[bool, typer.Option(help="The backlog of one device instead.")] = False,
) -> None:
    """Measure what the service takes from a fleet."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if drain:
        bench_drain.run(as_json=as_json, quick=quick)
        return
    if not quick:
        warm_up()
    noise, machine = Noise(), describe_machine("grpcio", "protobuf", "cryptography", "SQLAlchemy", "psycopg")
    count = records or (QUICK_RECORDS if quick else RECORDS)

    def run(rate: float | None, url: str | None) -> dict[str, Any]:
        fleet = devices or (DEVICES if rate is None else OPEN_DEVICES)
        return measure(Setup(count, fleet, batch, rate, url, processes))

    runs = {f"open loop, {rate:,.0f} asked" if rate else "closed loop": run(rate, database)}
    if rate is None and not quick:
        runs[f"open loop, {RATE:,.0f} asked"] = run(RATE, database)
        if database is None:
            with contextlib.suppress(NoPostgresError), fresh_database(durable=True) as url:
                runs["closed loop, PostgreSQL"] = run(None, url)
    floor = floors()
    first = next(iter(runs.values()))
    figures = first | {"floor": floor, "runs": runs, "machine": machine, "noise": noise.stop()}
    kept = not quick and rate is None and records is None and devices is None and database is None
    publish("ingest", "Records from a fleet", figures, to_sheets(runs, floor), as_json=as_json, keep=kept)


if __name__ == "__main__":
    typer.run(main)
