"""Whatever happens in whichever order: what a state does not allow is refused, and changes nothing.

Each thing happens through the room's own functions on a database; what it may do is worked out by a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from google.rpc import code_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.certifications.states import MACHINE, NEXT_ACTIONS, Event, State
from cloud.errors import Reason, ServiceError
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement
from cloud.sources import to_us
from cloud.store.certifications import ApplicationRow
from tests.support.certification_desk import Bench, open_bench
from tests.support.certifications import FORM, form


@dataclass
class NoReviews:
    """Notes what the desk asks of reviews; what they do is said by the test."""

    asked: list[str] = field(default_factory=list)

    def open_task(self, connection: Any, **wanted: Any) -> str:
        self.asked.append("open")
        return "018f0000-0000-7000-8000-00000000000f"

    def resubmitted(self, connection: Any, subject: str, **wanted: Any) -> None:
        self.asked.append("resubmitted")

    def withdrawn(self, connection: Any, subject: str) -> None:
        self.asked.append("withdrawn")


@pytest.fixture(scope="module")
def bench(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(module_database_url, tmp_path_factory.mktemp("service")) as opened:
        opened.room = replace(opened.room, desk=replace(opened.desk, reviews=NoReviews()))  # type: ignore[arg-type]
        yield opened


def actions(bench: Bench, account_id: str, application_id: str) -> dict[Event, Callable[[Any], object]]:
    desk, handler, task = bench.desk, bench.handler, bench.task(application_id, account_id)
    passed = Decision(Outcome.PASSED)
    failed = Decision(Outcome.NOT_PASSED, (ReasonText("UNREADABLE", "The picture."),))
    deadline_us = to_us(bench.clock["at"] + timedelta(days=3))
    later = Supplement(ReasonText("UNREADABLE", "The back."), ("back",), deadline_us)
    submit = lambda connection: desk.submit(connection, account_id, application_id, etag="")  # noqa: E731
    return {
        Event.EDIT: lambda connection: desk.update(
            connection, account_id, application_id, form(FORM), etag=""
        ),
        Event.SUBMIT: submit,
        Event.RESUBMIT: submit,
        Event.WITHDRAW: lambda connection: desk.withdraw(connection, account_id, application_id),
        Event.ASSIGN: lambda connection: handler.assigned(connection, task),
        Event.ASK_SUPPLEMENT: lambda connection: handler.supplement_asked(connection, task, later),
        Event.EXPIRE: lambda connection: handler.supplement_expired(connection, task),
        Event.PASS: lambda connection: handler.decided(connection, task, passed),
        Event.REJECT: lambda connection: handler.decided(connection, task, failed),
        Event.REOPEN: lambda connection: handler.reopened(connection, task),
        Event.REVOKE: lambda connection: bench.room.standings.mark_false(
            connection, application_id, reason="false", caller="user/1"
        ),
    }


LIVELY = [event for event in Event if event not in (Event.CREATE, Event.REQUIRE_RECERT, Event.REAPPLY)]
WAYS = [
    [Event.SUBMIT, Event.ASSIGN],
    [Event.SUBMIT, Event.ASSIGN, Event.ASK_SUPPLEMENT],
    [Event.SUBMIT, Event.ASSIGN, Event.PASS],
    [Event.SUBMIT, Event.ASSIGN, Event.REJECT],
    [],
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sampled_from(WAYS), st.lists(st.sampled_from(LIVELY), min_size=1, max_size=8))
def test_any_order_of_events(bench: Bench, way: list[Event], wanted: list[Event]) -> None:
    account_id = bench.account()
    row = bench.begin(account_id)
    assert isinstance(row, ApplicationRow)
    for kind in ("id_card_front", "id_card_back"):
        bench.upload(account_id, row.application_id, kind)
    bench.declare(account_id, row.application_id)
    doable, state = actions(bench, account_id, row.application_id), State.DRAFT
    for event in (*way, *wanted):
        resubmits = {Event.SUBMIT, Event.RESUBMIT}
        if event in resubmits and state is State.SUPPLEMENT_REQUIRED:
            event = Event.RESUBMIT  # noqa: PLW2901 (one method is both)
        elif event in resubmits:
            event = Event.SUBMIT  # noqa: PLW2901
        if MACHINE.allows(state, event):
            bench.run(doable[event])
            state = MACHINE.after(state, event)
        else:
            before = bench.dump()
            with pytest.raises(ServiceError) as refused:
                bench.run(doable[event])
            assert refused.value.reason is Reason.APPLICATION_STATE
            assert refused.value.status == code_pb2.FAILED_PRECONDITION
            assert refused.value.metadata["state"] == state.name
            assert bench.dump() == before
        assert bench.state_of(row.application_id) == state


def test_every_state_is_reached_and_has_a_next_step() -> None:
    assert set(NEXT_ACTIONS) == set(State)
    assert set(MACHINE.table.values()) >= set(State) - {State.DRAFT}
