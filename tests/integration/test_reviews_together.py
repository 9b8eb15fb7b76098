"""Review tasks while processes are killed, and while two servers work on one database."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cloud.access.call import Caller
from cloud.errors import ServiceError
from cloud.reviews.port import Applicant, ReviewKind
from cloud.reviews.states import TaskState
from cloud.store.schema import review_events, review_tasks
from tests.support.reviews import CHECKS, Office, marks, office, papers
from verifield.v1 import review_service_pb2 as pb

KILLS = 6
PAPERS = 150
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ring"
    made.mkdir()
    return made


@pytest.fixture
def servers(database_url: str, folder: Path) -> Iterator[tuple[Office, Office]]:
    """Two, on one database, with keys in common."""
    with ExitStack() as stack:
        first = stack.enter_context(office(database_url, folder))
        yield first, stack.enter_context(office(database_url, folder, fresh=False))


def together(*works: Callable[[], object]) -> list[object]:
    """Run them at the same moment; what one raises is its result."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        gate.wait()
        try:
            return work()
        except ServiceError as error:
            return error.reason.value

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.req("R091")
def test_each_submission_has_exactly_one_task_whenever_the_process_is_killed(
    database_url: str, folder: Path
) -> None:
    chance = random.Random(91)
    with office(database_url, folder) as desk:
        desk.add_reviewer("wang", capacity=40)
        desk.add_reviewer("li", capacity=40)
    ended, killed = False, 0
    while not ended:
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.review_worker",
                database_url,
                str(folder),
                "0",
                str(PAPERS),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            if killed < KILLS:
                try:
                    worker.wait(chance.uniform(0.0, 0.25))
                except subprocess.TimeoutExpired:
                    worker.send_signal(signal.SIGKILL)
                    killed += 1
            ended = worker.stdout.read() == "done\n"
        with office(database_url, folder, fresh=False) as desk:
            check_whole(desk, PAPERS if ended else None)
    assert killed


def check_whole(desk: Office, count: int | None) -> None:
    with desk.store.reading() as connection:
        submitted = list(connection.execute(select(papers.c.subject)).scalars())
        tasks = list(connection.execute(select(review_tasks.c.subject)).scalars())
        opened = connection.execute(
            select(func.count()).where(review_events.c.kind == pb.REVIEW_EVENT_KIND_OPENED)
        ).scalar_one()
    assert sorted(submitted) == sorted(tasks)
    assert len(set(tasks)) == len(tasks) == opened
    assert count is None or len(tasks) == count
    assert all(load == real for load, real in desk.loads().values())


def test_two_servers_make_one_task_of_one_subject(servers: tuple[Office, Office]) -> None:
    one, two = servers
    one.add_reviewer("wang")
    for number in range(5):
        subject = f"papers/{number}"
        task_id = one.submit(subject)
        one.withdraw(subject)

        def again(desk: Office, subject: str = subject) -> str:
            return desk.run(
                lambda connection: desk.reviews.open_task(
                    connection,
                    kind=ReviewKind.CERTIFICATION,
                    subject=subject,
                    applicant=Applicant("0198aaaa-0000-7000-8000-000000000001"),
                    checks=CHECKS,
                )
            )

        results = together(lambda: again(one), lambda: again(two))
        assert sorted(map(str, results))[1] == "REVIEW_TASK_EXISTS"
        assert task_id not in results


def test_two_servers_never_give_more_than_there_is_room_for(servers: tuple[Office, Office]) -> None:
    one, two = servers
    reviewers = [one.add_reviewer(name, capacity=5) for name in ("wang", "li", "zhao")]
    related = one.add_reviewer("qian", marks=marks(company="ACME"))

    def submit(desk: Office, start: int) -> None:
        for number in range(start, start + 10):
            desk.submit(f"papers/{number}", marks=marks(company="ACME"))

    together(lambda: submit(one, 0), lambda: submit(two, 100))
    together(one.upkeep.assign, two.upkeep.assign, one.upkeep.assign, two.upkeep.assign)
    assert one.loads() == {**{who.name: (5, 5) for who in reviewers}, related.name: (0, 0)}


def test_one_task_is_taken_by_one_reviewer(servers: tuple[Office, Office]) -> None:
    one, two = servers
    ids = [one.submit(f"papers/{number}") for number in range(4)]
    wang, li = one.add_reviewer("wang", away=True), one.add_reviewer("li", away=True)

    def take(desk: Office, task_id: str, who: Caller) -> str | None:
        return desk.run(lambda connection: desk.work.take(connection, task_id, caller=who)).reviewer_id

    for task_id in ids:
        results = together(
            lambda: take(one, task_id, wang),  # noqa: B023 (called at once)
            lambda: take(two, task_id, li),  # noqa: B023
        )
        assert "REVIEW_STATE" in results
        assert one.task(task_id).reviewer_id in results
    assert sum(load for load, _ in one.loads().values()) == len(ids)


def test_a_case_and_decisions_and_submissions_at_the_same_time_leave_nothing_behind(
    servers: tuple[Office, Office],
) -> None:
    one, two = servers
    wang, _li = one.add_reviewer("wang"), one.add_reviewer("li")
    ids = [one.submit(f"papers/{number}") for number in range(8)]
    for task_id in ids:
        one.check_all(task_id)
    own = [task_id for task_id in ids if one.task(task_id).reviewer_id == wang.name]

    def decide_all() -> list[str]:
        return [str(together(lambda one_id=one_id: two.decide(one_id, caller=wang))[0]) for one_id in own]

    def submit_more() -> None:
        for number in range(100, 106):
            two.submit(f"papers/{number}")

    together(lambda: one.open_case(wang), decide_all, submit_more)
    for task_id in one.tasks_of(wang):
        assert one.task(task_id).state == TaskState.DECIDED
    assert all(load == real for load, real in one.loads().values())
    assert one.loads()[wang.name] == (0, 0)


def test_jobs_of_two_servers_do_each_thing_once(servers: tuple[Office, Office]) -> None:
    one, two = servers
    one.add_reviewer("wang")
    one.add_reviewer("li")
    ids = [one.submit(f"papers/{number}") for number in range(6)]
    for task_id in ids[:3]:
        one.ask(task_id, hours=2)
    for desk in servers:
        desk.pass_time(days=4)
    together(
        one.upkeep.expire_supplements,
        two.upkeep.expire_supplements,
        one.upkeep.find_overdue,
        two.upkeep.find_overdue,
    )
    for task_id in ids[:3]:
        assert one.kinds_of_events(task_id).count("SUPPLEMENT_EXPIRED") == 1
    for task_id in ids[3:]:
        assert one.kinds_of_events(task_id).count("OVERDUE") == 1
    assert len(one.overdue + two.overdue) == 3
