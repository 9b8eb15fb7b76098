"""Neutral reviewers: conflicts of interest, second reviews behind a decision, discipline cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from cloud.access.call import Caller
from cloud.errors import REMEDIES, Reason
from cloud.reviews import second
from cloud.reviews.manage import Profile
from cloud.reviews.port import Outcome, ReviewKind
from cloud.reviews.sample import is_sampled
from cloud.reviews.states import TaskState
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviews import SecondRow
from cloud.store.schema import discipline_cases, reviewer_marks, second_reviews
from tests.support.reviews import MANAGER, REASON, SECRET, Office, marks, office, refused
from verifield.v1 import review_service_pb2 as pb

SHARED = {"id_number": "110101199003071233", "company": "ACME (Beijing) Ltd", "phone": "+8613800138000"}


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Office]:
    (tmp_path / "ring").mkdir()
    with office(database_url, tmp_path / "ring") as opened:
        yield opened


def seconds(desk: Office) -> list[SecondRow]:
    with desk.store.reading() as connection:
        return [SecondRow(**row._mapping) for row in connection.execute(select(second_reviews))]


@pytest.mark.parametrize("field", SHARED)
def test_who_shares_a_number_or_a_company_with_the_applicant_has_nothing_to_do_with_it(
    desk: Office, field: str
) -> None:
    applicant = marks(**SHARED)
    related = desk.add_reviewer("wang", marks=marks(**{field: SHARED[field]}))
    task_id = desk.submit("papers/1", marks=applicant)
    before = desk.dump()
    assert desk.task(task_id).state == TaskState.OPEN  # nobody else is there

    def take() -> object:
        return desk.run(lambda one: desk.work.take(one, task_id, caller=related))

    def give() -> object:
        return desk.run(
            lambda one: desk.management.assign(
                one, task_id, reviewer_id=related.name, reason="Do it.", caller=MANAGER
            )
        )

    assert refused(take) == refused(give) == "REVIEW_CONFLICT"
    assert REMEDIES[Reason.REVIEW_CONFLICT].status == 7  # PERMISSION_DENIED
    assert desk.dump() == before
    neutral = desk.add_reviewer("li", marks=marks(id_number="110101199003071241", company="Other"))
    desk.pass_time(minutes=11)
    desk.upkeep.assign()
    assert desk.task(task_id).reviewer_id == neutral.name


def test_a_relation_that_is_told_of_later_counts_too(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1", marks=marks(company="ACME"))
    desk.check_all(task_id)
    # As where the task came to the reviewer at the same moment: who decides is looked at once more.
    desk.run(lambda one: staff.set_marks(one, wang.name, marks(company="acme")))
    assert refused(lambda: desk.decide(task_id)) == "REVIEW_CONFLICT"
    _set_marks(desk, wang, marks(company="acme"))
    assert desk.task(task_id).state == TaskState.OPEN
    assert desk.kinds_of_events(task_id)[-1] == "UNASSIGNED"


def _set_marks(desk: Office, reviewer: Caller, given: tuple[bytes, ...]) -> None:
    profile = Profile(frozenset(ReviewKind), 0, away=False, marks=frozenset(given))
    desk.run(lambda one: desk.management.set_profile(one, reviewer.name, profile, caller=MANAGER))


def test_marks_can_be_compared_and_not_read(desk: Office) -> None:
    desk.add_reviewer("wang", marks=marks(**SHARED))
    with desk.store.reading() as connection:
        found = [bytes(one) for one in connection.execute(select(reviewer_marks.c.mark)).scalars()]
    assert len(found) == len(SHARED)
    for value in SHARED.values():
        assert all(value.encode() not in one for one in found)


def test_nobody_manages_an_own_profile_or_case(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    profile = Profile(frozenset(), 0, away=False, marks=None)
    assert refused(
        lambda: desk.run(lambda one: desk.management.set_profile(one, wang.name, profile, caller=wang))
    ) == ("REVIEWER_SELF")
    assert refused(lambda: desk.open_case(wang, caller=wang)) == "REVIEWER_SELF"
    case_id, _ = desk.open_case(wang)
    assert refused(lambda: close(desk, case_id, caller=wang)) == "REVIEWER_SELF"


def close(
    desk: Office,
    case_id: str,
    outcome: int = pb.DISCIPLINE_OUTCOME_UNFOUNDED,
    *,
    caller: Caller = MANAGER,
) -> None:
    desk.run(
        lambda one: desk.management.close_case(
            one, case_id, outcome=outcome, note="Looked into.", caller=caller
        )
    )


@pytest.mark.req("R111")
def test_reviews_are_neutral(desk: Office) -> None:
    """Nobody related takes a task, and a second person looks at the set part of decisions, unseen."""
    desk.set_rules(sampled_per_mille=300)
    related = [
        desk.add_reviewer(f"related-{name.replace('_', '-')}", marks=marks(**{name: value}))
        for name, value in SHARED.items()
    ]
    waiting = desk.submit("papers/first", marks=marks(**SHARED))
    for who in related:
        assert refused(lambda who=who: desk.run(lambda one: desk.work.take(one, waiting, caller=who))) == (
            "REVIEW_CONFLICT"
        )
    desk.add_reviewer("wang")
    desk.add_reviewer("li")
    desk.upkeep.assign()
    ids = [waiting]
    desk.pass_all(waiting)
    for number in range(30):
        ids.append(desk.submit(f"papers/{number}", marks=marks(**SHARED)))
        desk.upkeep.assign()  # second reviews stand in the same queue
        desk.pass_all(ids[-1])
    found = {one.first_task_id: one for one in seconds(desk)}
    assert set(found) == {one for one in ids if is_sampled(SECRET, one, per_mille=300)}
    assert found, "31 tasks without one second review: once in 60,000 runs"
    told = len(desk.handler.heard)
    desk.upkeep.assign()
    for first_id, one in found.items():
        task = desk.task(one.task_id)
        assert task.first_task_id == first_id
        assert task.state == TaskState.ASSIGNED
        assert task.reviewer_id not in {None, desk.task(first_id).reviewer_id}
        desk.pass_all(one.task_id)
    # Applicants hear nothing of it: their result was there at once.
    assert len(desk.handler.heard) == told
    assert all(one.state == pb.SECOND_REVIEW_STATE_AGREED for one in seconds(desk))
    assert not any(desk.tasks_of(who) for who in related)


@pytest.fixture
def disputed(desk: Office) -> tuple[Office, str, str]:
    """A paper that one passed and another did not: the first task, and the second one."""
    desk.set_rules(sampled_per_mille=1000)
    desk.add_reviewer("wang")
    first = desk.submit("papers/1", marks=marks(company="ACME"))
    desk.pass_all(first)
    desk.add_reviewer("li")
    desk.upkeep.assign()
    [row] = seconds(desk)
    desk.check_all(row.task_id)
    assert refused(lambda: desk.ask(row.task_id)) == "SECOND_REVIEW_BLIND"
    desk.decide(row.task_id, Outcome.NOT_PASSED, [REASON])
    return desk, first, row.task_id


def settle(desk: Office, task_id: str, *, reopen: bool) -> str:
    def work(connection: Connection) -> str:
        return second.settle(
            desk.core, connection, task_id, reopen=reopen, reason="Seen by both.", caller=MANAGER
        )[1]

    return desk.run(work)


def test_a_disagreement_is_seen_and_the_first_decision_may_stand(disputed: tuple[Office, str, str]) -> None:
    desk, first, task_id = disputed
    assert seconds(desk)[0].state == pb.SECOND_REVIEW_STATE_DISAGREED
    assert desk.paper("papers/1") == "PASSED"
    assert desk.kinds_of_events(task_id)[-1] == "DISPUTED"
    assert settle(desk, task_id, reopen=False) == ""
    assert seconds(desk)[0].state == pb.SECOND_REVIEW_STATE_UPHELD
    before = desk.dump()
    assert refused(lambda: settle(desk, task_id, reopen=True)) == "SECOND_REVIEW_STATE"
    assert refused(lambda: settle(desk, first, reopen=True)) == "SECOND_REVIEW_NOT_FOUND"
    assert desk.dump() == before


def test_a_disagreement_may_open_a_new_review_by_a_third_person(disputed: tuple[Office, str, str]) -> None:
    desk, first, task_id = disputed
    new_id = settle(desk, task_id, reopen=True)
    assert desk.paper("papers/1") == "REOPENED"
    desk.pass_time(minutes=11)
    desk.upkeep.assign()
    assert desk.task(new_id).state == TaskState.OPEN  # both have decided before
    for name in (desk.task(first).reviewer_id, desk.task(task_id).reviewer_id):
        assert name is not None
        who = Caller(MANAGER.kind, name)
        assert refused(lambda who=who: desk.run(lambda one: desk.work.take(one, new_id, caller=who))) == (
            "REVIEW_CONFLICT"
        )
    related = desk.add_reviewer("zhao", marks=marks(company="ACME"))
    third = desk.add_reviewer("qian")
    desk.pass_time(minutes=11)
    desk.upkeep.assign()
    assert desk.task(new_id).reviewer_id == third.name
    assert not desk.tasks_of(related)
    with desk.store.reading() as connection:
        assert rows.marks_of(connection, new_id) == frozenset(marks(company="ACME"))


@pytest.mark.req("R112")
def test_a_case_suspends_the_reviewer_at_once_and_moves_the_tasks(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    ids = [desk.submit(f"papers/{number}") for number in range(4)]
    desk.ask(ids[0])
    li, zhao = desk.add_reviewer("li"), desk.add_reviewer("zhao", capacity=1)
    desk.check_all(ids[1])
    case_id, moved = desk.open_case(wang)
    assert moved == 4
    assert not desk.tasks_of(wang)
    # What waits for an applicant has a new reviewer too, and is no load until it comes.
    assert {desk.task(one).reviewer_id for one in ids} == {li.name, zhao.name}
    assert desk.task(ids[0]).state == TaskState.WAITING_SUPPLEMENT
    assert all(load == real for load, real in desk.loads().values())
    assert all("REASSIGNED" in desk.kinds_of_events(one) for one in ids)
    new = desk.submit("papers/new")
    assert desk.task(new).reviewer_id != wang.name
    assert refused(lambda: desk.run(lambda one: desk.work.take_next(one, caller=wang))) in {
        "REVIEWER_SUSPENDED",
        "REVIEW_NOTHING_TO_TAKE",
    }
    with desk.store.reading() as connection:
        kept = connection.execute(select(discipline_cases)).one()
        row = staff.get_reviewer(connection, wang.name)
    assert row is not None
    assert row.suspended
    assert b"watch" not in bytes(kept.facts)
    close(desk, case_id)
    assert refused(lambda: close(desk, case_id)) == "DISCIPLINE_CASE_CLOSED"
    last = desk.submit("papers/last")
    assert desk.task(last).reviewer_id == wang.name  # who has waited longest, and has least


def test_a_suspended_reviewer_decides_nothing_even_what_is_still_there(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.check_all(task_id)

    def suspended_meanwhile(state: str, connection: Connection) -> None:
        if state == "PASSED":
            staff.change_reviewer(connection, wang.name, open_cases=1)

    desk.handler.on = suspended_meanwhile
    before = desk.dump()
    assert refused(lambda: desk.decide(task_id)) == "REVIEWER_SUSPENDED"
    assert desk.dump() == before  # the room's result too
    assert REMEDIES[Reason.REVIEWER_SUSPENDED].status == 7  # PERMISSION_DENIED


def test_tasks_that_nobody_else_can_have_go_back_to_the_head_of_the_queue(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    waiting = desk.submit("papers/2")
    desk.ask(waiting)
    _, moved = desk.open_case(wang)
    assert moved == 2
    assert (desk.task(task_id).state, desk.task(task_id).reviewer_id) == (TaskState.OPEN, None)
    assert (desk.task(waiting).state, desk.task(waiting).reviewer_id) == (TaskState.WAITING_SUPPLEMENT, None)
    desk.resubmit("papers/2")
    assert desk.task(waiting).state == TaskState.OPEN
    li = desk.add_reviewer("li")
    assert desk.upkeep.assign() == 2
    assert len(desk.tasks_of(li)) == 2


def test_with_two_cases_both_must_end_and_a_removal_stays(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    (first, _), (other, _) = desk.open_case(wang), desk.open_case(wang)
    close(desk, first)
    assert desk.task(desk.submit("papers/1")).reviewer_id is None
    close(desk, other, pb.DISCIPLINE_OUTCOME_WARNED)
    assert desk.upkeep.assign() == 1
    last, moved = desk.open_case(wang)
    assert moved == 1
    close(desk, last, pb.DISCIPLINE_OUTCOME_REMOVED)
    desk.pass_time(minutes=11)
    assert desk.upkeep.assign() == 0
    assert (
        refused(lambda: desk.run(lambda one: desk.work.take_next(one, caller=wang))) == "REVIEWER_SUSPENDED"
    )


def test_who_has_more_tasks_than_one_call_moves_loses_them_all(
    desk: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.reviews.manage.MOVED_AT_ONCE", 2)
    wang = desk.add_reviewer("wang")
    for number in range(5):
        desk.submit(f"papers/{number}")
    desk.add_reviewer("li")
    _, moved = desk.open_case(wang)
    assert 2 <= moved <= 4
    assert desk.upkeep.move_stranded() == 5 - moved
    assert not desk.tasks_of(wang)
    assert all(load == real for load, real in desk.loads().values())
