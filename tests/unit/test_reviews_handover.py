"""Tasks that go from hand to hand: what the next one may rely on, and who never gets one again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from cloud.access.call import Caller
from cloud.reviews.manage import MOVED_AT_ONCE, Profile
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReviewKind
from cloud.reviews.states import TaskState
from cloud.store import reviews as rows
from cloud.store.schema import user_roles
from tests.support.reviews import MANAGER, SECRET, Office, marks, office, refused
from verifield.v1 import review_service_pb2 as pb

SPELLINGS = {
    "company": [
        ("ACME Co., Ltd.", "acme company limited", "ＡＣＭＥ　Co.,Ltd", "Acme-Co Ltd"),
        ("北京顶点有限公司", "北京 顶点 有限公司", "北京顶点有限责任公司", "北京顶点有限公司 "),
        ("顶点（北京）股份有限公司", "顶点(北京)股份有限公司", "顶点 北京 股份公司"),
        ("91350100M000100Y43", "91350100-m000100y-43", "９１３５０１００Ｍ０００１００Ｙ４３"),
    ],
    "phone": [
        ("13800138000", "+8613800138000", "+86 138 0013 8000", "0086-138-0013-8000", "8613800138000"),
        ("１３８００１３８０００", "138 0013 8000", "(+86)13800138000"),
        ("+86 10 6655 4433", "010-66554433"),
    ],
    "id_number": [("11010119900307123x", "110101 19900307 123X", "１１０１０１１９９００３０７１２３Ｘ")],
}


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Office]:
    (tmp_path / "ring").mkdir()
    with office(database_url, tmp_path / "ring") as opened:
        yield opened


def release(desk: Office, task_id: str) -> Caller:
    who = desk.holder(task_id)
    desk.run(lambda one: desk.work.release(one, task_id, reason="My neighbour.", caller=who))
    return who


def results(desk: Office, task_id: str) -> set[int]:
    with desk.store.reading() as connection:
        return {one.result for one in rows.checks_of(connection, task_id)}


def set_profile(
    desk: Office, who: Caller, kinds: set[ReviewKind], shared: tuple[bytes, ...] | None = None
) -> None:
    profile = Profile(frozenset(kinds), 0, away=False, marks=None if shared is None else frozenset(shared))
    desk.run(lambda one: desk.management.set_profile(one, who.name, profile, caller=MANAGER))


@pytest.mark.parametrize(("field", "same"), [(field, one) for field in SPELLINGS for one in SPELLINGS[field]])
def test_one_value_has_one_mark_however_it_is_written(field: str, same: tuple[str, ...]) -> None:
    mark = getattr(Marker(SECRET), field)
    assert len({mark(value) for value in same}) == 1


def test_other_companies_have_other_marks() -> None:
    names = ("ACME Ltd", "ACME Trading Ltd", "北京顶点有限公司", "北京顶点股份有限公司", "上海顶点有限公司")
    signs = ("***", "---")
    assert len({Marker(SECRET).company(name) for name in (*names, *signs)}) == len(names) + len(signs)


def test_what_was_given_back_never_comes_to_the_same_reviewer_again_by_itself(desk: Office) -> None:
    for login in ("wang", "li"):
        desk.add_reviewer(login)
    task_id = desk.submit("papers/1")
    gave_back = {release(desk, task_id).name}
    desk.upkeep.assign()
    gave_back.add(release(desk, task_id).name)
    assert len(gave_back) == 2
    desk.upkeep.assign()
    assert desk.task(task_id).state == TaskState.OPEN
    wang = Caller(MANAGER.kind, min(gave_back), frozenset())
    assert refused(lambda: desk.run(lambda one: desk.work.take_next(one, caller=wang))) == (
        "REVIEW_NOTHING_TO_TAKE"
    )
    desk.pass_time(days=4)  # it does not stay unseen
    desk.upkeep.find_overdue()
    assert "ESCALATED" in desk.kinds_of_events(task_id)
    third = desk.add_reviewer("zhao")
    desk.upkeep.assign()
    assert desk.task(task_id).reviewer_id == third.name


def test_who_gave_a_task_back_may_still_take_it_by_its_id(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.check_all(task_id)
    release(desk, task_id)
    desk.run(lambda one: desk.work.take(one, task_id, caller=wang))
    assert results(desk, task_id) == {pb.CHECK_RESULT_PASSED}  # the own ones stay
    assert desk.decide(task_id).state == TaskState.DECIDED


@pytest.mark.parametrize("way", ["case", "overdue", "manager", "released"])
def test_nobody_decides_on_what_another_reviewer_checked(desk: Office, way: str) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.check_all(task_id)
    first = desk.holder(task_id)
    second = desk.add_reviewer("li")
    if way == "case":
        desk.open_case(first)
    elif way == "overdue":
        desk.pass_time(days=4)
        desk.upkeep.find_overdue()
    elif way == "manager":
        desk.run(
            lambda one: desk.management.assign(one, task_id, reviewer_id="", reason="Help.", caller=MANAGER)
        )
    else:
        release(desk, task_id)
        desk.upkeep.assign()
    assert desk.holder(task_id).name == second.name
    assert results(desk, task_id) == {pb.CHECK_RESULT_UNSPECIFIED}
    assert refused(lambda: desk.decide(task_id)) == "REVIEW_CHECKS_MISSING"
    assert desk.kinds_of_events(task_id).count("CHECK_RECORDED") == 2  # what was done stays on record


def test_tasks_of_who_is_a_reviewer_no_more_move(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    ids = [desk.submit(f"papers/{number}") for number in range(3)]
    li = desk.add_reviewer("li")
    desk.run(lambda one: one.execute(delete(user_roles).where(user_roles.c.user_id == wang.name)))
    assert desk.upkeep.move_stranded() == 3
    assert {desk.holder(task_id).name for task_id in ids} == {li.name}
    assert desk.loads()[wang.name] == (0, 0)


def test_what_a_new_profile_rules_out_is_moved_at_once(desk: Office) -> None:
    wang = desk.add_reviewer("wang")
    related = desk.submit("papers/1", marks=marks(company="ACME"))
    unskilled = desk.submit("papers/2", kind=ReviewKind.SEAL)
    stays = desk.submit("papers/3")
    li = desk.add_reviewer("li")
    desk.check_all(stays)
    set_profile(desk, wang, {ReviewKind.CERTIFICATION}, marks(company="Acme"))
    assert [desk.holder(one).name for one in (related, unskilled, stays)] == [li.name, li.name, wang.name]
    assert results(desk, stays) == {pb.CHECK_RESULT_PASSED}
    assert all(load == real for load, real in desk.loads().values())


def test_a_supplement_that_names_a_reviewers_company_goes_to_another_one(desk: Office) -> None:
    wang = desk.add_reviewer("wang", marks=marks(company="ACME"))
    task_id = desk.submit(
        "papers/1", account_id="0198aaaa-0000-7000-8000-000000000001", marks=marks(phone="1")
    )
    desk.ask(task_id)
    li = desk.add_reviewer("li")
    applicant = Applicant("0198aaaa-0000-7000-8000-000000000001", marks(phone="1", company="acme"))

    def hand_in() -> None:
        desk.run(lambda one: desk.reviews.resubmitted(one, "papers/1", applicant=applicant))

    hand_in()
    assert desk.holder(task_id).name == li.name != wang.name
    with desk.store.reading() as connection:
        assert rows.marks_of(connection, task_id) == set(applicant.marks)
    desk.ask(task_id)
    hand_in()  # the same marks once more
    assert desk.holder(task_id).name == li.name


def test_the_end_of_a_review_stands_in_its_timeline_after_any_number_of_checks(desk: Office) -> None:
    account_id = "0198aaaa-0000-7000-8000-000000000001"
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1", account_id=account_id)
    for _ in range(MOVED_AT_ONCE // 2 + 1):
        desk.check_all(task_id, caller=wang)
    desk.decide(task_id)
    with desk.store.reading() as connection:
        kinds = [one.kind for one in desk.reviews.timeline(connection, "papers/1", account_id)]
    assert kinds[-1] == pb.REVIEW_EVENT_KIND_DECIDED


def test_the_time_limit_stands_still_in_each_of_several_pauses(desk: Office) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    spent = 0
    for hours in (5, 7, 11):
        desk.pass_time(hours=hours)
        spent += hours
        desk.ask(task_id, hours=48)
        desk.pass_time(hours=47)
        desk.upkeep.find_overdue()
        desk.resubmit("papers/1")
        left_us = desk.task(task_id).at_us - desk.core.now_us
        assert left_us == (72 - spent) * 3_600_000_000
    assert desk.task(task_id).overdue_count == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_supplement_at_its_deadline_is_late_whoever_comes_first(desk: Office, late: bool) -> None:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.ask(task_id, hours=2)
    desk.pass_time(hours=2)
    if late:
        assert desk.upkeep.expire_supplements() == 1
    reason = refused(lambda: desk.resubmit("papers/1"))
    assert reason == ("REVIEW_STATE" if late else "SUPPLEMENT_LATE")
    assert desk.upkeep.expire_supplements() == (0 if late else 1)
    assert desk.task(task_id).state == TaskState.CLOSED
    assert desk.paper("papers/1") == "CLOSED_NO_SUPPLEMENT"


def test_with_one_reviewer_a_second_review_waits_where_managers_see_it(desk: Office) -> None:
    desk.set_rules(sampled_per_mille=1000)
    wang = desk.add_reviewer("wang")
    related = desk.add_reviewer("qian", marks=marks(company="ACME"))
    first = desk.submit("papers/1", marks=marks(company="ACME"))
    desk.pass_all(first)
    with desk.store.reading() as connection:
        [second] = rows.queue(connection, ReviewKind.CERTIFICATION, until_us=desk.core.now_us, limit=10)
    desk.upkeep.assign()
    for who in (wang, related):
        assert refused(lambda: desk.run(lambda one: desk.work.take(one, second, caller=who))) == (  # noqa: B023
            "REVIEW_CONFLICT"
        )
    desk.pass_time(days=4)
    assert desk.upkeep.find_overdue() == 1
    assert desk.task(second).state == TaskState.OPEN
    assert desk.task(second).overdue_count == 1
    third = desk.add_reviewer("li")
    desk.upkeep.assign()
    assert desk.holder(second).name == third.name


def test_what_was_taken_from_a_reviewer_while_the_applicant_was_asked_does_not_come_back(
    desk: Office,
) -> None:
    wang = desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.ask(task_id)
    case_id, _ = desk.open_case(wang)
    desk.run(
        lambda one: desk.management.close_case(
            one, case_id, outcome=pb.DISCIPLINE_OUTCOME_WARNED, note="Warned.", caller=MANAGER
        )
    )
    desk.resubmit("papers/1")
    assert desk.task(task_id).state == TaskState.OPEN
    assert desk.task(task_id).last_reviewer_id == wang.name
