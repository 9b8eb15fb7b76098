"""Reviewers of organisations and seals at a running service, and what they do.

with review_room(cloud) as room:
    reviewer = room.reviewer("wang")
    reviewer.decide(reviewer.task_of("organisations/ID"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from cloud.access.roles import Role
from cloud.rulebook.kinds import RuleKind
from tests.support.cloud import RunningCloud
from tests.support.people import Person, add_person, channel_of
from verifield.v1 import review_service_pb2 as pb
from verifield.v1 import rulebook_pb2, rulebook_service_pb2
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
from verifield.v1.review_service_pb2_grpc import ReviewServiceStub
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

PASSED, NOT_PASSED = pb.REVIEW_OUTCOME_PASSED, pb.REVIEW_OUTCOME_NOT_PASSED
SKILLS = (pb.REVIEW_KIND_ORGANISATION_REAL_NAME, pb.REVIEW_KIND_SEAL)


@dataclass
class OrganisationReviewer:
    """Somebody who reviews, and the stubs whose calls are this one's."""

    person: Person
    reviews: Any
    organisations: Any
    seals: Any

    def tasks(self) -> list[pb.ReviewTask]:
        return list(self.reviews.ListTasks(pb.ListTasksRequest(mine=True, page_size=200), timeout=20).tasks)

    def task_of(self, subject: str) -> pb.ReviewTask:
        """The one task of a subject that this reviewer has."""
        state = pb.REVIEW_TASK_STATE_ASSIGNED
        [found] = [one for one in self.tasks() if one.subject == subject and one.state == state]
        return found

    def shown(self, task: pb.ReviewTask) -> dict[str, str]:
        answer = self.reviews.GetTask(pb.GetTaskRequest(task_id=task.task_id), timeout=20)
        return {field.name: field.value for field in answer.material}

    def decide(
        self, task: pb.ReviewTask, outcome: int = PASSED, *, code: str = "UNCLEAR", text: str = "unclear"
    ) -> None:
        shown = self.reviews.GetTask(pb.GetTaskRequest(task_id=task.task_id), timeout=20)
        for check in shown.checks:
            done = pb.RecordCheckRequest(task_id=task.task_id, item=check.item, result=pb.CHECK_RESULT_PASSED)
            self.reviews.RecordCheck(done, timeout=20)
        reasons = [pb.ReviewReason(code=code, text=text)] if outcome == NOT_PASSED else []
        wanted = pb.ReviewOutcome.ValueType(outcome)
        request = pb.DecideTaskRequest(task_id=task.task_id, outcome=wanted, reasons=reasons)
        self.reviews.DecideTask(request, timeout=20)


@dataclass
class ReviewRoom:
    cloud: RunningCloud
    manager: Any
    stack: ExitStack

    def reviewer(
        self, login: str, *, skills: Sequence[int] = SKILLS, role: Role = Role.REVIEWER, **profile: Any
    ) -> OrganisationReviewer:
        """Somebody new; ``profile``: more of SetReviewerProfileRequest."""
        person = add_person(self.cloud, login, role)
        request = pb.SetReviewerProfileRequest(
            reviewer_id=person.user.user_id,
            skills=[pb.ReviewKind.ValueType(skill) for skill in skills],
            capacity=100,
            **profile,
        )
        self.manager.SetReviewerProfile(request, timeout=20)
        channel = self.stack.enter_context(channel_of(self.cloud, person))
        return OrganisationReviewer(
            person, ReviewServiceStub(channel), OrganisationServiceStub(channel), SealServiceStub(channel)
        )

    def back(self, reviewer: OrganisationReviewer, skills: Sequence[int] = SKILLS) -> None:
        """This one gets tasks again."""
        self.away(reviewer, skills, away=False)

    def away(
        self, reviewer: OrganisationReviewer, skills: Sequence[int] = SKILLS, *, away: bool = True
    ) -> None:
        """This one gets nothing any more."""
        request = pb.SetReviewerProfileRequest(
            reviewer_id=reviewer.person.user.user_id,
            skills=[pb.ReviewKind.ValueType(skill) for skill in skills],
            capacity=100,
            away=away,
        )
        self.manager.SetReviewerProfile(request, timeout=20)


@contextmanager
def review_room(cloud: RunningCloud) -> Iterator[ReviewRoom]:
    """Nothing is reviewed by a second person: who has which task is known."""
    rules = rulebook_pb2.ReviewRules()
    rules.CopyFrom(RuleKind.REVIEW.default)
    rules.sampled_per_mille = 0
    publish = rulebook_service_pb2.PublishRulesRequest(rules=RuleKind.REVIEW.wrap(rules), note="for a test")
    cloud.operator.call(cloud.operator.rules.PublishRules, publish)
    with ExitStack() as stack:
        admin = add_person(cloud, "review-manager", Role.ORGANISATION_ADMIN)
        manager = ReviewServiceStub(stack.enter_context(channel_of(cloud, admin)))
        yield ReviewRoom(cloud, manager, stack)
