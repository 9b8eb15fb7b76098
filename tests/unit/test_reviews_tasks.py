"""Review tasks over a real database, of both kinds: made, assigned, late, supplemented, decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cloud.access.call import Caller, Kind
from cloud.errors import REMEDIES, Reason, ServiceError
from cloud.reviews.personal import SEALED, open_reasons, open_supplement
from cloud.reviews.port import Applicant, Decision, Outcome, ReasonText, ReviewKind, Supplement
from cloud.reviews.states import TaskState
from cloud.reviews.upkeep import Upkeep
from cloud.reviews.work import MAX_SUPPLEMENTS
from cloud.sources import to_us
from cloud.store import reviews as rows
from cloud.store.schema import review_tasks, users
from cloud.store.sealed import forget_person
from cloud.telemetry.metrics import Metrics
from tests.support.reviews import CHECKS, MANAGER, REASON, Office, marks, office, papers, refused
from verifield.v1 import review_service_pb2 as pb
from verifield.v1.user_service_pb2 import USER_STATE_DISABLED

HOUR_US = 3_600_000_000


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with office(database_url, tmp_path / "ring-folder-of-the-test") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "ring-folder-of-the-test").mkdir()


def status_of(reason: str) -> str:
    return {3: "INVALID_ARGUMENT", 7: "PERMISSION_DENIED", 9: "FAILED_PRECONDITION"}[
        REMEDIES[Reason(reason)].status
    ]


def test_a_submission_has_one_task_as_long_as_it_is_under_review(desk: Office) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    assert desk.kinds_of_events(task_id) == ["OPENED", "ASSIGNED"]

    def again() -> None:
        desk.run(
            lambda connection: desk.reviews.open_task(
                connection,
                kind=ReviewKind.CERTIFICATION,
                subject="papers/1",
                applicant=Applicant("0198aaaa-0000-7000-8000-000000000001"),
                checks=CHECKS,
            )
        )

    before = desk.dump()
    assert refused(again) == "REVIEW_TASK_EXISTS"
    assert desk.dump() == before
    desk.pass_all(task_id)
    again()  # what ended makes room


def test_a_kind_without_a_handler_is_refused(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "ring-folder-of-the-test"
    with office(database_url, folder, kinds=[ReviewKind.SEAL]) as desk:
        before = desk.dump()
        assert refused(lambda: desk.submit("papers/1")) == "REVIEW_KIND_CLOSED"
        assert desk.dump() == before
        desk.submit("papers/2", kind=ReviewKind.SEAL)


@pytest.mark.parametrize(
    ("subject", "checks"),
    [
        ("papers", CHECKS),
        ("papers/ 1", CHECKS),
        ("papers/1", ()),
        ("papers/1", ("a b",)),
        ("papers/1", ("ok", "ok")),
    ],
)
def test_what_no_room_hands_in_by_intent_is_a_fault(
    desk: Office, subject: str, checks: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"review|check"):
        desk.submit(subject, checks=checks)


@pytest.mark.req("R092")
def test_ten_tasks_go_to_two_reviewers_in_equal_parts_and_none_to_a_relative(desk: Office) -> None:
    phone = marks(phone="13800138000")
    first, second = desk.add_reviewer("wang"), desk.add_reviewer("li")
    related = desk.add_reviewer("zhao", marks=marks(phone="+86 138 0013 8000", company="ACME"))
    unskilled = desk.add_reviewer("qian", kinds=[ReviewKind.SEAL])
    away = desk.add_reviewer("sun", away=True)
    for number in range(10):
        desk.submit(f"papers/{number}", marks=phone)
    assert len(desk.tasks_of(first)) == len(desk.tasks_of(second)) == 5
    assert not desk.tasks_of(related)
    assert not desk.tasks_of(unskilled)
    assert not desk.tasks_of(away)
    assert all(load == real for load, real in desk.loads().values())


def test_what_nobody_has_room_for_waits_and_is_given_in_its_order(desk: Office) -> None:
    wang = desk.add_reviewer("wang", capacity=2)
    ids = []
    for number in range(5):
        ids.append(desk.submit(f"papers/{number}"))
        desk.pass_time(seconds=1)
    assert desk.tasks_of(wang) == sorted(ids[:2])
    assert desk.upkeep.assign() == 0
    desk.pass_all(ids[0])
    # Somebody new does not come before those who wait.
    late = desk.submit("papers/late")
    assert desk.task(late).state == TaskState.OPEN
    assert desk.upkeep.assign() == 1
    assert desk.task(ids[2]).reviewer_id == wang.name
    assert desk.upkeep.assign() == 0


def test_a_task_that_nobody_may_have_does_not_hold_up_the_others(desk: Office) -> None:
    related = desk.add_reviewer("wang", marks=marks(company="ACME"))
    first = desk.submit("papers/1", marks=marks(company="acme"))
    second = desk.submit("papers/2")
    assert [desk.task(one).state for one in (first, second)] == [TaskState.OPEN, TaskState.OPEN]
    assert desk.upkeep.assign() == 1
    assert desk.task(second).reviewer_id == related.name
    other = desk.add_reviewer("li")
    assert desk.upkeep.assign() == 0  # it is tried again after a while
    desk.pass_time(minutes=11)
    assert desk.upkeep.assign() == 1
    assert desk.task(first).reviewer_id == other.name


@pytest.mark.req("R093")
def test_a_task_past_its_time_is_told_of_escalated_and_given_to_another(desk: Office) -> None:
    desk.set_rules(decide_within=24)
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    assert desk.task(task_id).at_us - desk.task(task_id).opened_us == 24 * HOUR_US
    li = desk.add_reviewer("li")
    desk.pass_time(hours=23, minutes=59)
    metrics = Metrics()
    upkeep = Upkeep(desk.core, desk.store, metrics.review_overdue)
    assert upkeep.find_overdue() == 0
    desk.pass_time(minutes=1)
    assert upkeep.find_overdue() == 1
    row = desk.task(task_id)
    assert row.reviewer_id == li.name
    assert row.overdue_count == 1
    assert row.at_us - desk.core.now_us == 12 * HOUR_US
    assert desk.kinds_of_events(task_id)[2:] == ["OVERDUE", "ESCALATED", "REASSIGNED"]
    assert desk.events(task_id)[2].reviewer_id == wang.name
    counted = "verifield_reviews_overdue_total", {"kind": "certification"}
    assert metrics.registry.get_sample_value(*counted) == 1
    assert desk.upkeep.find_overdue() == 0  # once for each time limit
    assert refused(lambda: desk.decide(task_id, caller=wang)) == "REVIEW_NOT_YOURS"
    desk.pass_time(hours=12)
    assert desk.upkeep.find_overdue() == 1
    assert desk.task(task_id).reviewer_id == wang.name  # the next one; only who had it last is left out
    assert all(load == real for load, real in desk.loads().values())


def test_a_late_task_that_nobody_else_can_have_stays_where_it_is(desk: Office) -> None:
    wang = desk.add_reviewer("wang", capacity=1)
    had = desk.submit("papers/1")
    waits = desk.submit("papers/2")
    desk.pass_time(days=4)
    assert desk.upkeep.find_overdue() == 2
    assert desk.task(had).reviewer_id == wang.name
    assert desk.task(waits).state == TaskState.OPEN
    fresh = desk.submit("papers/3")
    desk.pass_all(had)
    assert desk.upkeep.assign() == 1
    assert desk.task(waits).reviewer_id == wang.name  # escalated: before all others
    assert desk.task(fresh).reviewer_id is None


@pytest.mark.req("R094")
def test_nothing_is_decided_before_every_item_was_checked(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    for outcome, reasons in ((Outcome.PASSED, ()), (Outcome.NOT_PASSED, (REASON,))):
        with pytest.raises(ServiceError) as caught:
            desk.decide(task_id, outcome, reasons)
        assert caught.value.reason is Reason.REVIEW_CHECKS_MISSING
        assert status_of(caught.value.reason) == "FAILED_PRECONDITION"
        assert caught.value.metadata["items"] == ",".join(CHECKS)
    desk.check(task_id, CHECKS[0], caller=wang)
    with pytest.raises(ServiceError) as caught:
        desk.decide(task_id)
    assert caught.value.metadata["items"] == CHECKS[1]
    desk.check(task_id, CHECKS[1], caller=wang)
    assert refused(lambda: desk.check(task_id, "no_such_item", caller=wang)) == "REVIEW_CHECK_UNKNOWN"
    desk.decide(task_id)
    assert desk.paper("papers/1") == "PASSED"


def test_what_has_a_failed_item_does_not_pass(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.check_all(task_id)
    desk.check(task_id, CHECKS[0], pb.CHECK_RESULT_FAILED, caller=wang)
    assert refused(lambda: desk.decide(task_id)) == "REVIEW_CHECKS_FAILED"
    desk.decide(task_id, Outcome.NOT_PASSED, [REASON])
    assert desk.paper("papers/1") == "NOT_PASSED"
    assert desk.handler.heard[-1] == ("NOT_PASSED", Decision(Outcome.NOT_PASSED, (REASON,)))


@pytest.mark.parametrize("reasons", [(), (ReasonText("BLURRED", "  "),), (ReasonText("", "words"),)])
def test_not_passed_needs_concrete_reasons(desk: Office, reasons: tuple[ReasonText, ...]) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.check_all(task_id)
    before = desk.dump()
    why = refused(lambda: desk.decide(task_id, Outcome.NOT_PASSED, reasons))
    assert why == "REVIEW_REASONS_MISSING"
    assert status_of(why) == "INVALID_ARGUMENT"
    assert desk.dump() == before


def test_while_the_applicant_is_asked_the_clock_stands_still_and_then_the_same_one_goes_on(
    desk: Office,
) -> None:
    desk.set_rules(decide_within=24)
    wang = desk.add_reviewer("wang", capacity=1)
    task_id = desk.submit("papers/1")
    desk.add_reviewer("li")
    desk.check_all(task_id)
    desk.pass_time(hours=20)
    row = desk.ask(task_id, hours=100)
    assert desk.paper("papers/1") == "SUPPLEMENT_REQUIRED"
    asked = desk.handler.heard[-1][1]
    assert asked == Supplement(REASON, ("page 2",), row.at_us)
    assert desk.loads()[wang.name] == (0, 0)  # room for something else meanwhile
    desk.pass_time(hours=90)
    assert desk.upkeep.find_overdue() == 0
    assert desk.upkeep.expire_supplements() == 0
    assert refused(lambda: desk.decide(task_id)) == "REVIEW_STATE"
    desk.resubmit("papers/1")
    row = desk.task(task_id)
    assert (row.state, row.reviewer_id) == (TaskState.ASSIGNED, wang.name)
    assert row.at_us - desk.core.now_us == 4 * HOUR_US  # what was left
    assert refused(lambda: desk.decide(task_id)) == "REVIEW_CHECKS_MISSING"  # there is new material
    desk.pass_all(task_id)
    assert desk.kinds_of_events(task_id).count("SUPPLEMENT_REQUESTED") == 1


def test_who_may_not_go_on_after_the_supplement_is_replaced(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.ask(task_id)

    def disable(connection: object) -> None:
        connection.execute(  # type: ignore[attr-defined]
            update(users).where(users.c.user_id == wang.name).values(state=USER_STATE_DISABLED)
        )

    desk.run(disable)
    desk.resubmit("papers/1")
    assert desk.task(task_id).state == TaskState.OPEN
    li = desk.add_reviewer("li")
    assert desk.upkeep.assign() == 1
    assert desk.task(task_id).reviewer_id == li.name


def test_a_supplement_that_does_not_come_ends_the_task(desk: Office) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.ask(task_id, hours=2)
    desk.pass_time(hours=2)
    assert refused(lambda: desk.resubmit("papers/1")) == "SUPPLEMENT_LATE"  # noticed or not
    assert desk.upkeep.expire_supplements() == 1
    assert desk.paper("papers/1") == "CLOSED_NO_SUPPLEMENT"
    assert desk.task(task_id).state == TaskState.CLOSED
    assert desk.kinds_of_events(task_id)[-1] == "SUPPLEMENT_EXPIRED"
    assert desk.upkeep.expire_supplements() == 0


def test_what_one_room_refuses_does_not_hold_up_the_others(desk: Office) -> None:
    desk.add_reviewer("wang")
    ids = [desk.submit(f"papers/{number}") for number in range(3)]
    for one in ids:
        desk.ask(one, hours=2)
    desk.pass_time(hours=3)
    refusals = iter([True])

    def refuse_first(state: str, _connection: object) -> None:
        if state == "CLOSED_NO_SUPPLEMENT" and next(refusals, False):
            raise ServiceError(Reason.INTERNAL, "a fault of the room")

    desk.handler.on = refuse_first
    with pytest.raises(ServiceError):
        desk.upkeep.expire_supplements()
    assert [desk.task(one).state for one in ids].count(TaskState.CLOSED) == 2
    assert desk.upkeep.expire_supplements() == 1


def test_deadlines_and_rounds_of_supplements_are_bounded(desk: Office) -> None:
    desk.set_rules(supplement_within=24 * 15)
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    for hours in (0.5, -1, 24 * 91):
        assert refused(lambda hours=hours: desk.ask(task_id, hours=hours)) == "SUPPLEMENT_DEADLINE"
    for _ in range(MAX_SUPPLEMENTS):
        row = desk.ask(task_id, hours=None)
        assert row.at_us - desk.core.now_us == 15 * 24 * HOUR_US
        desk.resubmit("papers/1")
    assert refused(lambda: desk.ask(task_id)) == "SUPPLEMENT_TOO_OFTEN"


def test_who_releases_a_task_does_not_get_it_again_by_itself(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.run(lambda one: desk.work.release(one, task_id, reason="An old friend.", caller=wang))
    desk.pass_time(minutes=20)
    assert desk.upkeep.assign() == 0
    assert desk.task(task_id).state == TaskState.OPEN
    li = desk.add_reviewer("li")
    desk.pass_time(minutes=20)
    assert desk.upkeep.assign() == 1
    assert desk.task(task_id).reviewer_id == li.name
    assert desk.kinds_of_events(task_id) == ["OPENED", "ASSIGNED", "RELEASED", "REASSIGNED"]


def test_a_reviewer_takes_the_next_task_that_may_be_taken(desk: Office) -> None:
    absent = desk.add_reviewer(
        "wang", kinds=[ReviewKind.CERTIFICATION], marks=marks(company="ACME"), away=True
    )
    foreign = desk.submit("papers/1", kind=ReviewKind.SEAL)
    related = desk.submit("papers/2", marks=marks(company="ACME"))
    first = desk.submit("papers/3")
    desk.pass_time(seconds=1)
    second = desk.submit("papers/4")

    def take(task_id: str = "") -> str:
        if task_id:
            return desk.run(lambda one: desk.work.take(one, task_id, caller=absent)).task_id
        return desk.run(lambda one: desk.work.take_next(one, caller=absent)).task_id

    assert refused(lambda: take(foreign)) == "REVIEWER_UNSKILLED"
    assert refused(lambda: take(related)) == "REVIEW_CONFLICT"
    assert take() == first
    assert refused(lambda: take(first)) == "REVIEW_STATE"
    desk.set_rules(tasks_per_reviewer=1)
    assert refused(take) == "REVIEWER_FULL"
    desk.set_rules(tasks_per_reviewer=5)
    assert take() == second
    assert refused(take) == "REVIEW_NOTHING_TO_TAKE"
    stranger = Caller(Kind.USER, "0198aaaa-0000-7000-8000-00000000dead")
    assert refused(lambda: desk.run(lambda one: desk.work.take(one, related, caller=stranger))) == (
        "REVIEWER_NOT_FOUND"
    )


def test_a_manager_gives_a_task_to_whom_it_may_go(desk: Office) -> None:
    wang, li = desk.add_reviewer("wang"), desk.add_reviewer("li", capacity=1)
    related = desk.add_reviewer("zhao", marks=marks(id_number="110101199003071233"))
    unskilled = desk.add_reviewer("qian", kinds=[ReviewKind.SEAL])
    own = marks(id_number="110101199003071233")
    ids = [desk.submit(f"papers/{number}", marks=own) for number in range(4)]

    def give(task_id: str, reviewer: str) -> str | None:
        return desk.run(
            lambda one: desk.management.assign(
                one, task_id, reviewer_id=reviewer, reason="Knows the matter.", caller=MANAGER
            )
        ).reviewer_id

    for task_id in ids:
        assert give(task_id, li.name) == li.name  # above the capacity: it is a person's decision
    assert refused(lambda: give(ids[0], related.name)) == "REVIEW_CONFLICT"
    assert refused(lambda: give(ids[0], unskilled.name)) == "REVIEWER_UNSKILLED"
    assert refused(lambda: give(ids[0], "0198aaaa-0000-7000-8000-00000000dead")) == "REVIEWER_NOT_FOUND"
    assert give(ids[0], "") == wang.name
    assert desk.loads() == {wang.name: (1, 1), li.name: (3, 3), related.name: (0, 0), unskilled.name: (0, 0)}


def test_an_applicant_sees_what_happened_and_reviewers_as_numbers(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    account = "0198aaaa-0000-7000-8000-000000000001"
    task_id = desk.submit("papers/1", account_id=account)
    desk.ask(task_id)
    desk.resubmit("papers/1")
    desk.pass_all(task_id)
    with desk.store.reading() as connection:
        told = desk.reviews.timeline(connection, "papers/1", account)
        assert desk.reviews.timeline(connection, "papers/1", "0198aaaa-0000-7000-8000-00000000dead") == []
    assert [pb.ReviewEventKind.Name(one.kind)[18:] for one in told] == [  # type: ignore[arg-type]
        "OPENED",
        "ASSIGNED",
        "SUPPLEMENT_REQUESTED",
        "RESUBMITTED",
        "DECIDED",
    ]
    assert {one.reviewer_number for one in told} == {None, 1}
    assert wang.name not in repr(told)


def test_what_is_personal_goes_with_the_person(desk: Office) -> None:
    wang = desk.add_reviewer("wang", marks=marks(phone="13800138000"))
    account = "0198aaaa-0000-7000-8000-000000000001"
    task_id = desk.submit("papers/1", account_id=account, marks=marks(phone="13900139000"))
    desk.ask(task_id)
    desk.resubmit("papers/1")
    desk.check_all(task_id)
    desk.decide(task_id, Outcome.NOT_PASSED, [REASON])
    row = desk.task(task_id)
    with desk.store.reading() as connection:
        supplement = open_supplement(desk.core.persons, connection, row)
        assert supplement is not None
        assert supplement.reason.text == REASON.text
        [shown] = open_reasons(desk.core.persons, connection, row)
        assert shown.text == REASON.text
    everything = repr(desk.dump())
    assert REASON.text not in everything
    assert "page 2" not in everything
    now_us = to_us(desk.core.sources.now())
    assert desk.run(lambda one: forget_person(one, SEALED, account, now_us=now_us))
    row = desk.task(task_id)
    assert row.reasons is row.supplement is None
    with desk.store.reading() as connection:
        assert open_reasons(desk.core.persons, connection, row) == []
        assert rows.marks_of(connection, task_id) == frozenset()
        assert desk.core.candidates(connection, [], full_at=1) == []
    assert desk.tasks_of(wang) == [task_id]
    with desk.store.reading() as connection:
        assert connection.execute(select(review_tasks.c.outcome)).scalar_one() == Outcome.NOT_PASSED
        assert connection.execute(select(papers.c.told)).scalar_one() == 3
