"""How many holders of accounts sign in, and ask how their account stands, in a second.

python -m benchmarks.bench_accounts            sign-ins, look-ups, and what they stand on
python -m benchmarks.bench_accounts --quick    a few calls; keeps no result

The service is ``verifield-cloud serve`` as a process of its own, over TLS, with SQLite and a sync at each
commit, then with a new PostgreSQL on this machine; the load is a process too, on the same cores. Passwords
are worked out at the cheapest cost there, so that everything else is measured; what one costs as it is set by
default is measured apart. A sign-in is durable when it is answered. As floor the same calls of Health/Check:
gRPC, TLS and the layers around every call, with nothing behind them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from argon2 import PasswordHasher

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where this file is run by its path

from benchmarks.accounts_load import Plan
from benchmarks.cloud_service import Service, served
from benchmarks.machine import (
    ROOT,
    Noise,
    Sheet,
    Summary,
    cpu_s_of,
    describe_machine,
    family_of,
    publish,
    summary_json,
    warm_up,
)
from cloud.accounts.passwords import HASH_BYTES, SALT_BYTES, Cost
from cloud.accounts.states import State
from tests.support.accounts import PASSWORD, in_database, new_citizen
from tests.support.postgres import NoPostgresError, fresh_database

PEOPLE, QUICK_PEOPLE = 400, 40
CALLS = {"login": 6_000, "status": 40_000, "health": 40_000}
QUICK_CALLS = {"login": 200, "status": 1_000, "health": 1_000}
CALLERS = {"login": 8, "status": 32, "health": 32}
WARM = 0.1
HASHES = 9

CHEAPEST = {"password_memory_kib": "8", "password_passes": "1", "password_lanes": "1"}
UNLIMITED = {"open_calls_per_minute": "1000000", "account_calls_per_minute": "1000000"}
NAMES = {"login": "sign-ins", "status": "status look-ups", "health": "Health/Check (floor)"}


@dataclass(frozen=True, slots=True)
class Setup:
    """``database`` None: SQLite."""

    people: int
    calls: dict[str, int]
    database: str | None


def measure(setup: Setup) -> dict[str, Any]:
    """Serve, register people, load; return what came of it, by kind of call."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "data", database=setup.database, settings=CHEAPEST | UNLIMITED) as service,
    ):
        people = register(service, setup.people)
        return {
            kind: run_load(Path(folder) / "plan.json", service, kind, people, calls)
            for kind, calls in setup.calls.items()
        }


def register(service: Service, count: int) -> list[tuple[str, str, str]]:
    """Identifier, password and token of as many accounts, made in the database."""

    def work(connection: Any, room: Any) -> list[tuple[str, str, str]]:
        made = []
        for _ in range(count):
            person = new_citizen()
            _, token = room.add(connection, person, State.ACTIVE, PASSWORD, {})
            made.append((person.phone, PASSWORD, token))
        return made

    return in_database(service.cloud, work)


def run_load(
    plan_file: Path, service: Service, kind: str, people: list[tuple[str, str, str]], calls: int
) -> dict[str, Any]:
    """One run of the load's process, and what the service spent in it."""
    endpoint = service.cloud.endpoint
    plan = Plan(kind, endpoint.listen, endpoint.root, people, calls, CALLERS[kind], int(calls * WARM))
    plan_file.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    before, started = sum(map(cpu_s_of, family_of(service.pid))), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accounts_load", str(plan_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    spent = sum(map(cpu_s_of, family_of(service.pid))) - before
    result = json.loads(done.stdout)
    waits = Summary.of(result["waits_ms"])
    with_warming = result["calls"] + plan.warm
    return {
        "per_second": round(result["calls"] / result["seconds"]),
        "calls": result["calls"],
        "callers": plan.callers,
        "seconds": round(result["seconds"], 2),
        "median_ms": round(waits.median, 1),
        "p99_ms": round(waits.p99, 1),
        "server_cpu_us_each": round(spent / with_warming * 1e6, 1),
        "client_cpu_us_each": round(result["client_cpu_s"] / result["calls"] * 1e6, 1),
        "wall_s": round(time.perf_counter() - started, 1),
    }


def hash_times() -> dict[str, float]:
    """What one password costs as it is set by default, in milliseconds, with nothing beside it."""
    cost, times = Cost(), []
    hasher = PasswordHasher(
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=HASH_BYTES,
        salt_len=SALT_BYTES,
    )
    for _ in range(HASHES):
        started = time.perf_counter()
        hasher.hash(PASSWORD)
        times.append((time.perf_counter() - started) * 1e3)
    return summary_json(times)


def to_sheets(runs: dict[str, dict[str, Any]], hashing: dict[str, float]) -> list[Sheet]:
    rows = [
        (
            f"{NAMES[kind]}, {name}",
            f"{one['per_second']:,}",
            str(one["callers"]),
            f"{one['median_ms']} / {one['p99_ms']}",
            f"{one['server_cpu_us_each']:.0f}",
            f"{one['client_cpu_us_each']:.0f}",
        )
        for name, kinds in runs.items()
        for kind, one in kinds.items()
    ]
    return [
        Sheet(
            "Holders of accounts on the same cores",
            ("", "per s", "at once", "ms median / p99", "server cpu us", "load cpu us"),
            rows,
            "Passwords at the cheapest cost. As set by default (Argon2id, 64 MiB, 3 passes, 4 lanes) one"
            f" takes {hashing['median']} ms (p99 {hashing['p99']} ms), in threads of its own.",
        )
    ]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="Few calls; keeps no result.")] = False,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy address; default: both engines.")] = None,
) -> None:
    """Measure what the service does for holders of accounts."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not quick:
        warm_up()
    noise = Noise()
    machine = describe_machine("grpcio", "protobuf", "argon2-cffi", "cryptography", "SQLAlchemy", "psycopg")
    people, calls = (QUICK_PEOPLE, QUICK_CALLS) if quick else (PEOPLE, CALLS)
    runs = {database or "SQLite": measure(Setup(people, calls, database))}
    if database is None:
        with contextlib.suppress(NoPostgresError), fresh_database(durable=True) as url:
            runs["PostgreSQL"] = measure(Setup(people, calls, url))
    hashing = hash_times()
    first = next(iter(runs.values()))
    figures = {
        "logins_per_second": first["login"]["per_second"],
        "status_lookups_per_second": first["status"]["per_second"],
        "hash_ms": hashing,
        "runs": runs,
        "machine": machine,
        "noise": noise.stop(),
    }
    kept = not quick and database is None
    publish("accounts", "Holders of accounts", figures, to_sheets(runs, hashing), as_json=as_json, keep=kept)


if __name__ == "__main__":
    typer.run(main)
