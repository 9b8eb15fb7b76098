"""Reports of how long steps took, and the queries of this room's lists: what they tell, and how they read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert

from cloud.store import business as rows
from cloud.store import feedback as feedback_rows
from cloud.store import rulebook as rule_rows
from cloud.store import schema, steps
from cloud.store.database import Store, StoreOptions
from cloud.store.lists import Begin
from tests.support.business import BusinessRoom
from tests.support.plans import plans

Told = list[tuple[int, int]]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store.open(database_url, StoreOptions(require_durable=False))
    yield opened
    opened.close()


def keep(connection: Connection, applications: list[tuple[int, Told]]) -> None:
    """Applications with their events: state, and how long after the one before."""
    connection.execute(delete(schema.certification_events))
    connection.execute(delete(schema.certification_applications))
    for number, (version, told) in enumerate(applications):
        application_id = f"application-{number}"
        application = {
            "application_id": application_id,
            "account_id": application_id,
            "type_code": "PERSONAL",
            "type_version": 1,
            "process_version": version,
            "state": 8,
            "created_us": 0,
            "updated_us": 0,
            "version": 1,
        }
        connection.execute(insert(schema.certification_applications).values(**application))
        now = 0
        for place, (state, after) in enumerate(told, start=1):
            now += after
            values = {"number": place, "event": 1, "state": state, "at_us": now}
            connection.execute(
                insert(schema.certification_events).values(application_id=application_id, **values)
            )


def expected(applications: list[tuple[int, Told]], start: int, end: int) -> dict[tuple[int, int], Any]:
    """The same in plain words: how long each state lasted that was left within the period."""
    lasted: dict[tuple[int, int], list[int]] = defaultdict(list)
    for version, told in applications:
        now = begun = 0
        state = told[0][0] if told else 0
        for place, (after_state, after) in enumerate(told):
            now += after
            if place == 0:
                begun = now
            elif after_state != state:
                if start <= now < end:
                    lasted[state, version].append(now - begun)
                state, begun = after_state, now
    found = {}
    for step, spans in lasted.items():
        ranked = sorted(spans)
        at = [ranked[-(-len(ranked) * percent // 100) - 1] for percent in (50, 90, 99)]
        found[step] = (len(ranked), *at, ranked[-1])
    return found


APPLICATIONS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=7),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(applications=APPLICATIONS, start=st.integers(0, 120), length=st.integers(1, 150))
def test_a_report_on_certifications_is_exact_at_its_borders_too(
    store: Store, applications: list[tuple[int, Told]], start: int, length: int
) -> None:
    store.run(lambda connection: keep(connection, applications))
    with store.reading() as connection:
        found = steps.report_certifications(connection, start_us=start, end_us=start + length)
    told = {
        (row.left_state, row.process_version): (row.count, row.p50_us, row.p90_us, row.p99_us, row.max_us)
        for row in found
    }
    assert told == expected(applications, start, start + length)


def whole(plan: str) -> list[str]:
    """Lines that read a table from end to end; the walk along a primary key for a page is none of them."""
    return [
        line
        for line in plan.splitlines()
        if "Seq Scan" in line
        or (line.startswith("SCAN ") and line.removeprefix("SCAN ") in schema.metadata.tables)
    ]


def test_no_list_reads_a_whole_table(database_url: str, tmp_path: Path) -> None:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    room = BusinessRoom(store, tmp_path)
    for _ in range(3):
        room.begin(room.account())
    begin, limit = Begin("f", descending=True), 51
    with store.reading() as connection:
        # Locks are not taken in a view: the same queries without them.
        asked: dict[str, Any] = {
            "own": rows.select_requests(begin, limit, account_id="a"),
            "as agent": rows.select_requests(begin, limit, agent_account_id="a"),
            "by state": rows.select_requests(begin, limit, state=2),
            "all": rows.select_requests(begin, limit),
            "given": rows.select_delegations(begin, limit, account_id="a"),
            "taken": rows.select_delegations(begin, limit, agent_account_id="a"),
            "feedback": feedback_rows.select_feedback(begin, limit),
            "of a category": feedback_rows.select_feedback(begin, limit, category=3),
            "of a number": feedback_rows.select_feedback(begin, limit, ack_number="F-00000-00000"),
            "of a period": feedback_rows.select_feedback(begin, limit, start_us=1, end_us=2),
        }
        calls: dict[str, Any] = {
            name: (lambda query=query: connection.execute(query).all()) for name, query in asked.items()
        } | {
            "begun": lambda: rows.newest_begun(connection, "a", since_us=1, limit=20),
            "between": lambda: rows.list_between(connection, "a", "b", state=2),
            "count": lambda: rows.count_delegations(connection, "a", states=(1, 2), now_us=1, since_us=0),
            "steps": lambda: steps.report_business(connection, start_us=1, end_us=2),
            "certifications": lambda: steps.report_certifications(connection, start_us=1, end_us=2),
            "summary": lambda: feedback_rows.count_by_category(connection, start_us=1, end_us=2),
            "in effect": lambda: rule_rows.effective_at(connection, 1, 5),
            "following": lambda: rule_rows.following(connection, 1, 5),
            "last": lambda: rule_rows.last_to_come(connection, 1),
            "to come": lambda: rule_rows.count_to_come(connection, 1, now_us=1),
            "editions": lambda: rule_rows.list_editions(connection, 1, before=None, limit=50),
        }
        for name, ask in calls.items():
            for plan in plans(connection, ask):
                assert not whole(plan), f"{name}: {plan}"
    store.close()
