"""Those methods of ReviewService that manage: reviewers, second reviews, discipline cases."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.reviews import lists, views
from cloud.reviews.core import Core
from cloud.reviews.manage import Management, Profile, marks_from
from cloud.reviews.marks import Marker
from cloud.reviews.second import settle
from cloud.serving import Base
from verifield.v1 import review_service_pb2 as pb
from verifield.v1.review_service_pb2_grpc import ReviewServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class ManagementMethods(ReviewServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(self, base: Base, core: Core, management: Management) -> None:
        self._base = base
        self._core = core
        self._management = management
        self._marker = Marker(core.secret)

    async def SetReviewerProfile(
        self, request: pb.SetReviewerProfileRequest, context: Context
    ) -> pb.SetReviewerProfileResponse:
        caller = caller_of_call()
        marks = marks_from(self._marker, request.marks) if request.HasField("marks") else None
        profile = Profile(frozenset(request.skills), request.capacity, request.away, marks)

        def work(connection: Connection) -> pb.SetReviewerProfileResponse:
            row = self._management.set_profile(connection, request.reviewer_id, profile, caller=caller)
            full_at = self._core.rules(connection).tasks_per_reviewer
            [shown] = views.to_reviewers(connection, [row], full_at=full_at)
            return pb.SetReviewerProfileResponse(reviewer=shown)

        facts = {"capacity": str(request.capacity), "away": str(request.away).lower()}
        return await self._base.mutations.run(
            request,
            action="reviews.set_profile",
            subject=f"users/{request.reviewer_id}",
            work=work,
            facts=facts if marks is None else facts | {"marks": str(len(marks))},
        )

    async def ListReviewers(
        self, request: pb.ListReviewersRequest, context: Context
    ) -> pb.ListReviewersResponse:
        def read() -> pb.ListReviewersResponse:
            with self._base.store.reading() as connection:
                found, token = lists.page_of_reviewers(connection, request)
                full_at = self._core.rules(connection).tasks_per_reviewer
                shown = views.to_reviewers(connection, found, full_at=full_at)
                return pb.ListReviewersResponse(reviewers=shown, next_page_token=token)

        return await asyncio.to_thread(read)

    async def ListSecondReviews(
        self, request: pb.ListSecondReviewsRequest, context: Context
    ) -> pb.ListSecondReviewsResponse:
        def read() -> pb.ListSecondReviewsResponse:
            with self._base.store.reading() as connection:
                found, token = lists.page_of_seconds(connection, request)
                shown = views.to_seconds(connection, found)
                return pb.ListSecondReviewsResponse(second_reviews=shown, next_page_token=token)

        return await asyncio.to_thread(read)

    async def SettleSecondReview(
        self, request: pb.SettleSecondReviewRequest, context: Context
    ) -> pb.SettleSecondReviewResponse:
        caller = caller_of_call()
        reopen = request.settlement == pb.SECOND_REVIEW_STATE_REOPENED

        def work(connection: Connection) -> pb.SettleSecondReviewResponse:
            row, new_id = settle(
                self._core,
                connection,
                request.task_id,
                reopen=reopen,
                reason=request.reason,
                caller=caller,
            )
            [shown] = views.to_seconds(connection, [row])
            return pb.SettleSecondReviewResponse(second_review=shown, reopened_task_id=new_id)

        return await self._base.mutations.run(
            request,
            action="reviews.settle",
            subject=f"reviews/{request.task_id}",
            work=work,
            facts={"settlement": "reopened" if reopen else "upheld"},
        )

    async def OpenDisciplineCase(
        self, request: pb.OpenDisciplineCaseRequest, context: Context
    ) -> pb.OpenDisciplineCaseResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.OpenDisciplineCaseResponse:
            case, moved = self._management.open_case(
                connection, request.reviewer_id, facts=request.facts, caller=caller
            )
            [shown] = views.to_cases(self._base.persons, connection, [case])
            return pb.OpenDisciplineCaseResponse(discipline_case=shown, moved_tasks=moved)

        # The subject is the person: with the person, what was answered is forgotten.
        return await self._base.mutations.run(
            request, action="reviews.open_case", subject=f"users/{request.reviewer_id}", work=work
        )

    async def CloseDisciplineCase(
        self, request: pb.CloseDisciplineCaseRequest, context: Context
    ) -> pb.CloseDisciplineCaseResponse:
        caller = caller_of_call()
        outcome = pb.DisciplineOutcome.Name(request.outcome).removeprefix("DISCIPLINE_OUTCOME_").lower()

        def work(connection: Connection) -> pb.CloseDisciplineCaseResponse:
            case = self._management.close_case(
                connection, request.case_id, outcome=request.outcome, note=request.note, caller=caller
            )
            [shown] = views.to_cases(self._base.persons, connection, [case])
            return pb.CloseDisciplineCaseResponse(discipline_case=shown)

        return await self._base.mutations.run(
            request,
            action="reviews.close_case",
            subject=lambda answer: f"users/{answer.discipline_case.reviewer_id}",
            work=work,
            facts={"case_id": request.case_id, "outcome": outcome},
        )

    async def ListDisciplineCases(
        self, request: pb.ListDisciplineCasesRequest, context: Context
    ) -> pb.ListDisciplineCasesResponse:
        def read() -> pb.ListDisciplineCasesResponse:
            with self._base.store.reading() as connection:
                found, token = lists.page_of_cases(connection, request)
                shown = views.to_cases(self._base.persons, connection, found)
                return pb.ListDisciplineCasesResponse(discipline_cases=shown, next_page_token=token)

        return await asyncio.to_thread(read)
