"""Requests and the real review engine: second looks, decisions that do not stand, withdrawals meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.access.roles import Role
from cloud.rulebook.kinds import RuleKind
from tests.integration.test_business_service import Party, party
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import Person, add_person, channel_of
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1 import rulebook_pb2, rulebook_service_pb2
from verifield.v1.review_service_pb2_grpc import ReviewServiceStub

PASSED, NOT_PASSED = review_pb.REVIEW_OUTCOME_PASSED, review_pb.REVIEW_OUTCOME_NOT_PASSED


class Reviewer:
    """Somebody who reviews requests, and what this one does."""

    def __init__(self, person: Person, stub: Any) -> None:
        self.person, self.stub = person, stub

    def task_of(self, business_id: str) -> review_pb.ReviewTask | None:
        request = review_pb.ListTasksRequest(mine=True)
        found = self.stub.ListTasks(request, timeout=20).tasks
        open_states = (review_pb.REVIEW_TASK_STATE_ASSIGNED,)
        mine = [one for one in found if one.subject == f"business/{business_id}" and one.state in open_states]
        return mine[0] if mine else None

    def check(self, task_id: str) -> None:
        shown = self.stub.GetTask(review_pb.GetTaskRequest(task_id=task_id), timeout=20)
        for check in shown.checks:
            done = review_pb.RecordCheckRequest(
                task_id=task_id, item=check.item, result=review_pb.CHECK_RESULT_PASSED
            )
            self.stub.RecordCheck(done, timeout=20)

    def decide(self, task_id: str, outcome: int) -> None:
        reasons = [review_pb.ReviewReason(code="NOT_CLEAR", text="unclear")] if outcome == NOT_PASSED else []
        request = review_pb.DecideTaskRequest(task_id=task_id, outcome=outcome, reasons=reasons)  # type: ignore[arg-type]
        self.stub.DecideTask(request, timeout=20)


@contextmanager
def office(
    tmp_path: Path, database_url: str, *logins: str
) -> Iterator[tuple[RunningCloud, Any, list[Reviewer]]]:
    """A service with who manages reviews, and reviewers of requests."""
    with ExitStack() as stack:
        cloud = stack.enter_context(running_cloud(tmp_path / "data", database=database_url))
        admin = add_person(cloud, "admin", Role.ORGANISATION_ADMIN)
        manager = ReviewServiceStub(stack.enter_context(channel_of(cloud, admin)))
        reviewers = []
        for login in logins:
            person = add_person(cloud, login, Role.REVIEWER)
            profile = review_pb.SetReviewerProfileRequest(
                reviewer_id=person.user.user_id, skills=[review_pb.REVIEW_KIND_BUSINESS], capacity=10
            )
            manager.SetReviewerProfile(profile, timeout=20)
            stub = ReviewServiceStub(stack.enter_context(channel_of(cloud, person)))
            reviewers.append(Reviewer(person, stub))
        yield cloud, manager, reviewers


def handed_in(holder: Party) -> str:
    made = holder.begin()
    holder.submit(made.business_id)
    return made.business_id


def soon(look: Callable[[], Any]) -> Any:
    """What upkeep brings about."""
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def look_twice(cloud: RunningCloud) -> None:
    rules = rulebook_pb2.ReviewRules()
    rules.CopyFrom(RuleKind.REVIEW.default)
    rules.sampled_per_mille = 1000
    request = rulebook_service_pb2.PublishRulesRequest(rules=rulebook_pb2.Rules(review=rules), note="all")
    cloud.operator.call(cloud.operator.rules.PublishRules, request)


@pytest.mark.timeout(180)
def test_a_decision_that_does_not_stand_is_made_anew(tmp_path: Path, database_url: str) -> None:
    with (
        office(tmp_path, database_url, "first", "second", "third") as (cloud, manager, reviewers),
        party(cloud) as holder,
    ):
        look_twice(cloud)
        business_id = handed_in(holder)

        def who_has() -> tuple[Reviewer, str] | None:
            found = [(one, one.task_of(business_id)) for one in reviewers]
            return next(((one, task.task_id) for one, task in found if task), None)

        decided = []
        for outcome, expected in (
            (PASSED, pb.BUSINESS_STATE_ACCEPTED),
            (NOT_PASSED, pb.BUSINESS_STATE_ACCEPTED),
        ):
            reviewer, task_id = soon(who_has)
            reviewer.check(task_id)
            reviewer.decide(task_id, outcome)
            decided.append((reviewer, task_id))
            assert holder.get(business_id).state == expected  # the second look changes nothing by itself
        assert decided[0][0] is not decided[1][0]
        with pytest.raises(grpc.RpcError) as caught:
            holder.business.WithdrawBusinessRequest(
                pb.WithdrawBusinessRequestRequest(business_id=business_id)
            )
        assert refusal(caught.value)[1].reason == "BUSINESS_STATE"

        settle = review_pb.SettleSecondReviewRequest(
            task_id=decided[1][1],
            settlement=review_pb.SECOND_REVIEW_STATE_REOPENED,
            reason="the second one is right",
        )
        manager.SettleSecondReview(settle, timeout=20)
        assert holder.get(business_id).state in (pb.BUSINESS_STATE_SUBMITTED, pb.BUSINESS_STATE_IN_REVIEW)
        reviewer, task_id = soon(who_has)
        assert reviewer not in (decided[0][0], decided[1][0])
        reviewer.check(task_id)
        reviewer.decide(task_id, NOT_PASSED)
        ended = holder.get(business_id)
        assert ended.state == pb.BUSINESS_STATE_REJECTED
        told = [one.event for one in ended.timeline]
        assert told == [
            pb.BUSINESS_EVENT_CREATED,
            pb.BUSINESS_EVENT_SUBMITTED,
            pb.BUSINESS_EVENT_ASSIGNED,
            pb.BUSINESS_EVENT_ACCEPTED,
            pb.BUSINESS_EVENT_REOPENED,
            pb.BUSINESS_EVENT_ASSIGNED,
            pb.BUSINESS_EVENT_REJECTED,
        ]


@pytest.mark.timeout(180)
def test_who_withdraws_while_it_is_decided_is_first_or_late_and_never_half(
    tmp_path: Path, database_url: str
) -> None:
    with (
        office(tmp_path, database_url, "first") as (cloud, _, [reviewer]),
        party(cloud) as holder,
    ):
        ends = set()
        for _ in range(8):
            business_id = handed_in(holder)
            task = soon(lambda business_id=business_id: reviewer.task_of(business_id))
            reviewer.check(task.task_id)
            refused: dict[str, str] = {}

            def attempt(name: str, call: Callable[[], Any], refused: dict[str, str] = refused) -> None:
                try:
                    call()
                except grpc.RpcError as error:
                    refused[name] = refusal(error)[1].reason

            def withdraw(business_id: str = business_id) -> None:
                request = pb.WithdrawBusinessRequestRequest(business_id=business_id)
                holder.business.WithdrawBusinessRequest(request)

            def decide(task_id: str = task.task_id) -> None:
                reviewer.decide(task_id, PASSED)

            threads = [
                threading.Thread(target=attempt, args=pair)
                for pair in (("withdraw", withdraw), ("decide", decide))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            ended = holder.get(business_id)
            ends.add(ended.state)
            if ended.state == pb.BUSINESS_STATE_WITHDRAWN:
                assert refused == {"decide": "REVIEW_STATE"}
            else:
                assert ended.state == pb.BUSINESS_STATE_ACCEPTED
                assert refused == {"withdraw": "BUSINESS_STATE"}


@pytest.mark.timeout(120)
def test_a_supplement_that_comes_too_late_does_not_count(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.reviews.upkeep.LATE_EVERY_S", 0.2)
    with (
        office(tmp_path, database_url, "first") as (cloud, _, [reviewer]),
        party(cloud) as holder,
    ):
        business_id = handed_in(holder)
        task = soon(lambda: reviewer.task_of(business_id))
        ask = review_pb.RequestSupplementRequest(
            task_id=task.task_id,
            reason=review_pb.ReviewReason(code="PAGE_MISSING", text="page two is missing"),
            items=["articles"],
        )
        reviewer.stub.RequestSupplement(ask, timeout=20)
        until = holder.get(business_id).supplement_until.ToDatetime()
        cloud.clock.offset += until - cloud.clock.now().replace(tzinfo=None) + timedelta(seconds=1)
        ended = soon(
            lambda: [one for one in [inspect(cloud, business_id)] if one.state == pb.BUSINESS_STATE_REJECTED]
        )[0]
        assert [one.code for one in ended.reasons] == ["SUPPLEMENT_MISSED", "PAGE_MISSING", "PAGE_MISSING"]


def inspect(cloud: RunningCloud, business_id: str) -> pb.BusinessRequest:
    request = pb.InspectBusinessRequestRequest(business_id=business_id)
    return cloud.operator.call(cloud.operator.business.InspectBusinessRequest, request).business
