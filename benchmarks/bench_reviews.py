"""How long a review queue of 100,000 open tasks takes to list, by every filter, and to assign from.

python -m benchmarks.bench_reviews             100,000 tasks on SQLite and PostgreSQL
python -m benchmarks.bench_reviews --quick     5,000 tasks, few repetitions; keeps no result

Beside the tasks that have not ended stand as many that have. Each filter of ``verifield-cloud reviews list``
is asked for in each combination: its first page and its tenth, 50 tasks each, in the store and over gRPC with
TLS from ``verifield-cloud serve`` as a process of its own. Then reviewers get room, and tasks are
given to them out of the full queue. As floor over gRPC: Health/Check, with nothing behind it.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from grpc_health.v1 import health_pb2
from sqlalchemy import Connection, insert, text, update

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where this file is run by its path

from benchmarks.cloud_service import served
from benchmarks.machine import Noise, Sheet, Summary, describe_machine, publish, warm_up
from cloud.client import OperatorClient
from cloud.reviews import lists
from cloud.reviews.states import TaskState
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import review_tasks, reviewers
from cloud.store.values import insert_many
from tests.support.databases import migrated
from tests.support.postgres import PostgresServer
from tests.support.reviews import Office, add_user, office, papers
from verifield.v1 import review_service_pb2 as pb

TASKS, QUICK_TASKS = 100_000, 5_000
STAFF = 200
REPEATS, QUICK_REPEATS = 40, 5
PAGE, TENTH = 50, 10
LIMIT_MS = 50.0
ASSIGNED_AT_ONCE = 200
CHUNK = 5_000

HOUR_US = 3_600_000_000
UNLIMITED = {"read_calls_per_minute": "1000000"}


@dataclass(frozen=True, slots=True)
class Case:
    """One combination of filters."""

    name: str
    request: pb.ListTasksRequest

    @classmethod
    def all(cls, reviewer_id: str) -> list[Case]:
        states = {"": 0, "open": 1, "assigned": 2, "waiting": 3, "decided": 4}
        kinds = {"": 0, "certification": 1}
        people = {"": "", "one reviewer": reviewer_id}
        found = []
        for state, kind, who, overdue in itertools.product(states, kinds, people, (False, True)):
            name = ", ".join(filter(None, (state, kind, who, "overdue" if overdue else ""))) or "all"
            request = pb.ListTasksRequest(page_size=PAGE, overdue=overdue, reviewer_id=people[who])
            request.state = pb.ReviewTaskState.ValueType(states[state])
            request.kind = pb.ReviewKind.ValueType(kinds[kind])
            found.append(cls(name, request))
        return found


def fill(store: Store, tasks: int, *, now_us: int) -> list[str]:
    """Reviewers without room, tasks that have not ended, and as many that have; return the reviewers."""
    staff = [str(uuid.uuid4()) for _ in range(STAFF)]
    store.run(lambda connection: _add_staff(connection, staff, now_us=now_us))
    numbers = range(2 * tasks)
    for start in range(0, len(numbers), CHUNK):
        rows = [_task(number, tasks, staff, now_us=now_us) for number in numbers[start : start + CHUNK]]
        store.run(lambda connection, rows=rows: _add_tasks(connection, rows))
    with store.writing() as connection:
        connection.execute(text("ANALYZE"))
    return staff


def _add_staff(connection: Connection, staff: Sequence[str], *, now_us: int) -> None:
    for number, user_id in enumerate(staff, 1):
        add_user(connection, user_id, f"reviewer-{number}", now_us=now_us)
    connection.execute(
        insert(reviewers),
        [
            {
                "reviewer_id": user_id,
                "number": number,
                "capacity": 1,
                "load": 1,  # no room: nothing is assigned by itself
                "last_us": 0,
                "away": False,
                "open_cases": 0,
                "removed": False,
                "created_us": now_us,
                "updated_us": now_us,
            }
            for number, user_id in enumerate(staff, 1)
        ],
    )


def _task(number: int, live: int, staff: Sequence[str], *, now_us: int) -> dict[str, Any]:
    """Of those that have not ended 60 % are nobody's, 35 % assigned, 5 % wait; one in 30 was late."""
    part = number % 20
    state = TaskState.OPEN if part < 12 else TaskState.ASSIGNED if part < 19 else TaskState.WAITING_SUPPLEMENT
    if number >= live:
        state = TaskState.CLOSED if number % 7 == 0 else TaskState.DECIDED
    opened_us = now_us - (number % live) * 1_000
    return {
        "task_id": str(uuid.UUID(int=(opened_us // 1000 << 80) | 0x7 << 76 | 0x2 << 62 | number)),
        "kind": 1 + number * 7 % 5,
        "subject": f"papers/{number}",
        "account_id": str(uuid.UUID(int=number)),
        "state": int(state),
        "reviewer_id": None if state == TaskState.OPEN else staff[(number // 20 * 13 + part) % len(staff)],
        "last_reviewer_id": None,
        "opened_us": opened_us,
        "at_us": now_us - number * 1_000 if number >= live else now_us + HOUR_US + number * 7_919,
        "left_us": HOUR_US if state == TaskState.WAITING_SUPPLEMENT else None,
        "queue_us": opened_us,
        "overdue_count": int(number % 30 == 0),
        "supplement_count": 0,
        "outcome": 1 if state == TaskState.DECIDED else None,
        "first_task_id": None,
        "supplement": None,
        "reasons": None,
    }


def _add_tasks(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_many(connection, review_tasks, rows)


def times(work: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each run, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1e3)
    return found


def tenth(read: Callable[[pb.ListTasksRequest], str], request: pb.ListTasksRequest) -> pb.ListTasksRequest:
    """The request for the tenth page, or for the last one that there is."""
    wanted = pb.ListTasksRequest()
    wanted.CopyFrom(request)
    for _ in range(TENTH - 1):
        token = read(wanted)
        if not token:
            break
        wanted.page_token = token
    return wanted


Pages = dict[str, dict[str, Summary]]


def pages(read: Callable[[pb.ListTasksRequest], str], cases: Sequence[Case], repeats: int) -> Pages:
    """``read`` answers with the token of the next page."""
    found = {}
    for case in cases:
        wanted = {"first": case.request, "tenth": tenth(read, case.request)}
        found[case.name] = {
            page: Summary.of(times(partial(read, request), repeats)) for page, request in wanted.items()
        }
    return found


def in_store(store: Store, cases: Sequence[Case], repeats: int) -> Pages:
    """The query and its rows, in a transaction of its own each."""

    def read(request: pb.ListTasksRequest) -> str:
        with store.reading() as connection:
            return lists.page_of_tasks(connection, request, caller="")[1]

    return pages(read, cases, repeats)


def over_grpc(client: OperatorClient, cases: Sequence[Case], repeats: int) -> Pages:
    """What a caller waits for."""

    def read(request: pb.ListTasksRequest) -> str:
        return client.call(client.reviews.ListTasks, request).next_page_token

    return pages(read, cases, repeats)


def assigning(url: str, folder: Path) -> dict[str, Any]:
    """Tasks given to reviewers out of the full queue, one transaction each, as the job does it."""
    with office(url, folder) as desk:
        desk.offset = Sources.system().now() - desk.clock()
        _make_room(desk)
        start = time.perf_counter()
        given = desk.upkeep.assign()
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        for number in range(ASSIGNED_AT_ONCE):
            desk.submit(f"papers/new-{number}")
        submitted = time.perf_counter() - start
    return {
        "given": given,
        "each_ms": round(seconds * 1e3 / max(1, given), 2),
        "submission_each_ms": round(submitted * 1e3 / ASSIGNED_AT_ONCE, 2),
    }


def _make_room(desk: Office) -> None:
    def work(connection: Connection) -> None:
        connection.execute(update(reviewers).values(capacity=10_000, load=0))
        connection.execute(
            text(
                "INSERT INTO reviewer_skills (reviewer_id, kind) "
                "SELECT r.reviewer_id, k.kind FROM reviewers r CROSS JOIN "
                "(SELECT DISTINCT kind FROM review_tasks) k"
            )
        )
        connection.execute(
            text(
                f"INSERT INTO {papers.name} (subject, state, told) "
                "SELECT subject, 'SUBMITTED', 0 FROM review_tasks WHERE state = 1"
            )
        )

    desk.run(work)


@contextmanager
def database(kind: str, folder: Path, server: PostgresServer) -> Iterator[str]:
    if kind == "SQLite":
        with migrated("sqlite", folder) as url:
            yield url
        return
    with server.database() as url:
        Store.open(url).close()
        yield url


def measure(kind: str, server: PostgresServer, tasks: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="verifield-reviews-") as name:
        data = Path(name) / "data"
        data.mkdir(mode=0o700)
        (data / "ring").mkdir()
        with database(kind, data, server) as url:
            store = Store.open(url, StoreOptions())
            try:
                staff = fill(store, tasks, now_us=to_us(Sources.system().now()))
                cases = Case.all(staff[0])
                stored = in_store(store, cases, repeats)
            finally:
                store.close()
            given_database = None if kind == "SQLite" else url
            with served(data, database=given_database, settings=UNLIMITED) as service:
                client = service.cloud.operator
                floor = Summary.of(times(lambda: _health(client), repeats))
                called = over_grpc(client, cases, repeats)
            return {
                "engine": kind,
                "tasks": tasks,
                "floor": floor,
                "store": stored,
                "grpc": called,
                "assigning": assigning(url, data / "ring"),
            }


def _health(client: OperatorClient) -> object:
    return client.call(client.health.Check, health_pb2.HealthCheckRequest())


def _sheet(found: dict[str, Any]) -> Sheet:
    rows = [
        (
            name,
            *(
                f"{found[where][name][page].median:.1f} / {found[where][name][page].p99:.1f}"
                for where in ("store", "grpc")
                for page in ("first", "tenth")
            ),
        )
        for name in found["grpc"]
    ]
    worst = max(one["first"].p99 for one in found["grpc"].values())
    given = found["assigning"]
    note = (
        f"Milliseconds, median / p99. The slowest first page over gRPC took {worst:.1f} ms (p99), and "
        f"may take {LIMIT_MS:.0f}. Health/Check took {found['floor'].median:.1f} ms. {given['given']} tasks "
        f"were given to {STAFF} reviewers in {given['each_ms']} ms each; a submission with its task took "
        f"{given['submission_each_ms']} ms beside the full queue."
    )
    title = f"{found['engine']}: a queue of {found['tasks']:,} tasks, and as many that have ended"
    return Sheet(title, ("", "store, first", "store, 10th", "gRPC, first", "gRPC, 10th"), rows, note)


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    def short(one: Summary) -> dict[str, float]:
        return {"median_ms": round(one.median, 2), "p99_ms": round(one.p99, 2)}

    return found | {
        "floor": short(found["floor"]),
        **{
            where: {
                name: {page: short(one) for page, one in pages.items()}
                for name, pages in found[where].items()
            }
            for where in ("store", "grpc")
        },
    }


def main(
    quick: Annotated[bool, typer.Option(help="A try that keeps nothing.")] = False,
    keep: Annotated[bool, typer.Option(help="Write the result.")] = True,
    tasks: Annotated[int, typer.Option(min=1_000, help="That have not ended.")] = TASKS,
    repeats: Annotated[int, typer.Option(min=2, help="Of each page.")] = REPEATS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure lists of a full review queue, and assignment out of it."""
    if not quick:
        warm_up()
    noise = Noise()
    machine = describe_machine("grpcio", "SQLAlchemy", "psycopg")
    server = PostgresServer.create(durable=True)
    try:
        machine["packages"]["PostgreSQL"] = server.execute("SHOW server_version")[0][0].split()[0]
        if quick:
            tasks, repeats = QUICK_TASKS, QUICK_REPEATS
        found = []
        for kind in ("SQLite", "PostgreSQL"):
            print(f"{kind} ...", file=sys.stderr)
            found.append(measure(kind, server, tasks, repeats))
    finally:
        server.remove()
    figures = {"machine": machine, "noise": noise.stop(), "reviews": [_figures(one) for one in found]}
    publish(
        "reviews",
        "Review queues",
        figures,
        [_sheet(one) for one in found],
        as_json=as_json,
        keep=keep and not quick and tasks >= TASKS,
    )


if __name__ == "__main__":
    typer.run(main)
