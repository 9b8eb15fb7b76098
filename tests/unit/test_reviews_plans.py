"""A queue of many thousands is never read whole: every list and every choice begins in an index."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text

from benchmarks.bench_reviews import fill
from cloud.reviews.lists import page_of_tasks
from cloud.reviews.port import ReviewKind
from cloud.reviews.states import ENDED, LIVE, TaskState
from cloud.store import escalations, review_lists, reviewers, reviews
from cloud.store.database import Store, StoreOptions
from cloud.store.lists import Begin
from cloud.store.review_lists import Behind, TaskFilter
from cloud.store.reviews import TaskRow
from tests.support.databases import KINDS, migrated
from tests.unit.test_cloud_lists import plans
from verifield.v1 import review_service_pb2 as pb

TASKS = 4_000
ALL_KINDS = tuple(map(int, ReviewKind))
NOW_US = 1_780_300_800_000_000


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, str]]:
    """A queue, and the id of one of its reviewers."""
    with migrated(request.param, tmp_path_factory.mktemp("plans")) as url:
        opened = Store.open(url, StoreOptions(require_durable=False))
        try:
            staff = fill(opened, TASKS, now_us=NOW_US)
            yield opened, staff[0]
        finally:
            opened.close()


def whole(plan: str) -> list[str]:
    """What is read from its beginning to its end. Merged parts of a list are read so, and are short."""
    lines = [line.strip() for line in plan.splitlines()]
    return [
        line
        for line in lines
        if "Seq Scan" in line
        or (line.startswith("SCAN ") and "anon_" not in line and "subquery" not in line.lower())
    ]


def sorted_whole(plan: str) -> bool:
    """Whether rows of the table are sorted; the merged beginnings of the parts of a list may be."""
    lines = [line.strip().removeprefix("->").strip() for line in plan.splitlines()]
    lines = [line for line in lines if not line.startswith(("Sort Key", "Presorted Key"))]
    after = itertools.pairwise(lines)
    return any(
        ("review_tasks" in first and second.startswith("USE TEMP B-TREE"))  # SQLite tells it behind
        or ("Sort" in first and "Scan" in second and "Subquery" not in second)  # PostgreSQL before
        for first, second in after
    )


FILTERS = list(itertools.product((0, 1, 2, 3, 4, 5), (None, 2), (False, True), (False, True), (False, True)))


@pytest.mark.parametrize(("state", "kind", "one_reviewer", "overdue", "behind"), FILTERS)
def test_every_list_of_tasks_begins_in_an_index(
    store: tuple[Store, str], state: int, kind: int | None, one_reviewer: bool, overdue: bool, behind: bool
) -> None:
    opened, reviewer = store
    wanted = TaskFilter(
        states=(state,) if state else tuple(map(int, LIVE)),
        kind=kind,
        all_kinds=ALL_KINDS,
        reviewer_id=reviewer if one_reviewer else "",
        overdue=overdue,
    )
    last = Behind(NOW_US, str(uuid.uuid4())) if behind else None
    descending = state in tuple(map(int, ENDED))
    name = ["ix_review_tasks_state", "ix_review_tasks_kind"][kind is not None]
    if one_reviewer:
        name = "ix_review_tasks_reviewer"
    if overdue:
        name = f"ix_review_tasks{'_reviewer' if one_reviewer else ''}_overdue"
    with opened.reading() as connection:
        [plan] = plans(
            connection,
            lambda: review_lists.read_tasks(connection, wanted, 51, behind=last, descending=descending),
        )
    assert not whole(plan), plan
    assert name in plan, plan
    assert not sorted_whole(plan), plan


def test_nothing_that_moves_tasks_reads_the_queue(store: tuple[Store, str]) -> None:
    opened, reviewer = store
    with opened.reading() as connection:
        asked: dict[str, Callable[[], object]] = {
            "queue": lambda: reviews.queue(connection, 1, until_us=NOW_US, limit=200),
            "next": lambda: reviews.next_of_kinds(connection, ALL_KINDS, limit=50),
            "overdue": lambda: reviews.due(connection, TaskState.ASSIGNED, until_us=NOW_US, limit=200),
            "expired": lambda: reviews.due(
                connection, TaskState.WAITING_SUPPLEMENT, until_us=NOW_US, limit=200
            ),
            "held": lambda: reviews.held_by(connection, reviewer, [2, 3], limit=500),
            "live": lambda: reviews.live_task(connection, "papers/1"),
            "newest": lambda: reviews.newest_task(connection, "papers/1", "account"),
            "task": lambda: reviews.get_task(connection, "x"),
            "marks": lambda: reviews.marks_of(connection, "x"),
            "bars": lambda: reviews.bars_of(connection, "x"),
            "checks": lambda: reviews.checks_of(connection, "x"),
            "events": lambda: reviews.events_of(connection, "x", limit=50),
            "skills": lambda: reviewers.skills_of(connection, [reviewer]),
            "own marks": lambda: reviewers.marks_of(connection, [reviewer]),
            "seconds": lambda: connection.execute(
                review_lists.select_seconds((1, 2, 3), 51, behind="f")
            ).all(),
            "cases": lambda: connection.execute(review_lists.select_cases((1, 2), 51)).all(),
            "cases of one": lambda: connection.execute(
                review_lists.select_cases((1, 2), 51, reviewer_id=reviewer)
            ).all(),
            "ticket": lambda: escalations.live_ticket(connection, "x", 1),
            "tickets": lambda: connection.execute(
                escalations.select_tickets(Begin("0", False), 51, states=(1, 2), kinds=(1, 2, 3, 4))
            ).all(),
            "tickets of one": lambda: connection.execute(
                escalations.select_tickets(
                    Begin(None, True), 51, states=(1, 2, 3, 4), kinds=(1,), account_id="x"
                )
            ).all(),
        }
        for name, ask in asked.items():
            for plan in plans(connection, ask):
                assert not whole(plan), f"{name}: {plan}"
        [plan] = plans(connection, asked["queue"])
        assert "ix_review_tasks_queue" in plan


def test_pages_hold_each_task_once_in_their_order(store: tuple[Store, str]) -> None:
    opened, reviewer = store
    everything: dict[str, list[TaskRow]] = {}
    cases = {
        "all": pb.ListTasksRequest(),
        "kind": pb.ListTasksRequest(kind=pb.REVIEW_KIND_SEAL),
        "overdue": pb.ListTasksRequest(overdue=True),
        "mine": pb.ListTasksRequest(mine=True),
        "decided": pb.ListTasksRequest(state=pb.REVIEW_TASK_STATE_DECIDED),
    }
    with opened.reading() as connection:
        for name, request in cases.items():
            request.page_size = 77
            everything[name] = _read_all(connection, request, caller=reviewer)
    live = everything["all"]
    assert len(live) == len({row.task_id for row in live}) == TASKS
    assert live == sorted(live, key=lambda row: (row.at_us, row.task_id))
    assert everything["kind"] == [row for row in live if row.kind == pb.REVIEW_KIND_SEAL]
    assert everything["overdue"] == [row for row in live if row.overdue_count]
    assert everything["mine"] == [row for row in live if row.reviewer_id == reviewer]
    assert everything["mine"]
    decided = everything["decided"]
    assert len(decided) > TASKS // 2
    assert decided == sorted(decided, key=lambda row: (row.at_us, row.task_id), reverse=True)


def _read_all(connection: Connection, request: pb.ListTasksRequest, *, caller: str) -> list[TaskRow]:
    found: list[TaskRow] = []
    while True:
        rows, request.page_token = page_of_tasks(connection, request, caller=caller)
        assert len(rows) <= request.page_size
        found += rows
        if not request.page_token:
            return found


def test_a_plan_that_reads_everything_would_be_seen(store: tuple[Store, str]) -> None:
    opened, _ = store
    with opened.reading() as connection:
        [plan] = plans(
            connection,
            lambda: connection.execute(text("SELECT count(*) FROM review_tasks WHERE supplement_count = 3")),
        )
        [sorting] = plans(
            connection,
            lambda: connection.execute(
                text("SELECT task_id FROM review_tasks WHERE state = 1 ORDER BY opened_us LIMIT 5")
            ),
        )
    assert whole(plan)
    assert sorted_whole(sorting), sorting
