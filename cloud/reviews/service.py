"""ReviewService: tasks and decisions, and who makes them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.reviews import lists, personal, views
from cloud.reviews.blind import masked
from cloud.reviews.core import Core, not_found, reviewer_of
from cloud.reviews.manage import Management
from cloud.reviews.management_service import ManagementMethods
from cloud.reviews.port import Decision, Outcome, ReasonText
from cloud.reviews.views import Viewer
from cloud.reviews.work import Work
from cloud.serving import Base
from cloud.store import reviews as rows
from cloud.store.reviews import CheckRow, TaskRow
from verifield.v1 import review_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class ReviewService(ManagementMethods):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(self, base: Base, core: Core, *, blind: Collection[str]) -> None:
        super().__init__(base, core, Management(core))
        self._work = Work(core)
        self._blind = frozenset(blind)

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        caller = caller_of_call()

        def read(connection: Connection) -> pb.ListTasksResponse:
            found, token = lists.page_of_tasks(connection, request, caller=caller.name)
            tasks = views.to_tasks(connection, found, Viewer.of(caller))
            return pb.ListTasksResponse(tasks=tasks, next_page_token=token)

        return await self._base.store.look(read)

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        viewer = Viewer.of(caller_of_call())

        def read(connection: Connection) -> pb.GetTaskResponse:
            row = _found(rows.get_task(connection, request.task_id))
            persons, inside = self._base.persons, viewer.manages or viewer.has(row)
            answer = pb.GetTaskResponse(
                task=views.to_tasks(connection, [row], viewer)[0],
                checks=views.to_checks(
                    persons,
                    connection,
                    rows.checks_of(connection, row.task_id),
                    results=viewer.sees_outcome(row),
                    remarks=inside,
                ),
                reasons=personal.open_reasons(persons, connection, row) if viewer.sees_outcome(row) else [],
            )
            if inside:
                material = self._core.handler(row.kind).shown(connection, self._core.to_task(connection, row))
                answer.material.extend(masked(material, self._blind))
                supplement = personal.open_supplement(persons, connection, row)
                if supplement is not None:
                    answer.supplement.CopyFrom(supplement)
            return answer

        return await self._base.store.look(read)

    async def ListTaskEvents(
        self, request: pb.ListTaskEventsRequest, context: Context
    ) -> pb.ListTaskEventsResponse:
        viewer = Viewer.of(caller_of_call())

        def read(connection: Connection) -> pb.ListTaskEventsResponse:
            row = _found(rows.get_task(connection, request.task_id))
            found, token = lists.page_of_events(connection, request)
            events = views.to_events(self._base.persons, connection, found, details=viewer.sees_outcome(row))
            return pb.ListTaskEventsResponse(events=events, next_page_token=token)

        return await self._base.store.look(read)

    async def TakeTask(self, request: pb.TakeTaskRequest, context: Context) -> pb.TakeTaskResponse:
        caller = caller_of_call()
        reviewer_of(caller)

        def work(connection: Connection) -> pb.TakeTaskResponse:
            if request.task_id:
                row = self._work.take(connection, request.task_id, caller=caller)
            else:
                row = self._work.take_next(connection, kind=request.kind, caller=caller)
            return pb.TakeTaskResponse(task=self._task(connection, row))

        return await self._base.mutations.run(
            request, action="reviews.take", subject=lambda answer: _name(answer.task.task_id), work=work
        )

    async def ReleaseTask(self, request: pb.ReleaseTaskRequest, context: Context) -> pb.ReleaseTaskResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.ReleaseTaskResponse:
            row = self._work.release(connection, request.task_id, reason=request.reason, caller=caller)
            return pb.ReleaseTaskResponse(task=self._task(connection, row))

        return await self._change(request, "reviews.release", work)

    async def AssignTask(self, request: pb.AssignTaskRequest, context: Context) -> pb.AssignTaskResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.AssignTaskResponse:
            row = self._management.assign(
                connection,
                request.task_id,
                reviewer_id=request.reviewer_id,
                reason=request.reason,
                caller=caller,
            )
            return pb.AssignTaskResponse(task=self._task(connection, row))

        return await self._change(request, "reviews.assign", work)

    async def RecordCheck(self, request: pb.RecordCheckRequest, context: Context) -> pb.RecordCheckResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.RecordCheckResponse:
            wanted = CheckRow(request.task_id, 0, "", request.item, request.result)
            found = self._work.record_check(
                connection, request.task_id, wanted, remark=request.remark, caller=caller
            )
            # Without remarks: answers are kept for a while.
            checks = views.to_checks(self._base.persons, connection, found, results=True, remarks=False)
            return pb.RecordCheckResponse(checks=checks)

        return await self._change(request, "reviews.record_check", work)

    async def RequestSupplement(
        self, request: pb.RequestSupplementRequest, context: Context
    ) -> pb.RequestSupplementResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.RequestSupplementResponse:
            row = self._work.request_supplement(
                connection,
                request.task_id,
                reason=_reason(request.reason),
                items=list(request.items),
                deadline_us=request.deadline.ToMicroseconds() if request.HasField("deadline") else None,
                caller=caller,
            )
            return pb.RequestSupplementResponse(task=self._task(connection, row))

        return await self._change(request, "reviews.request_supplement", work)

    async def DecideTask(self, request: pb.DecideTaskRequest, context: Context) -> pb.DecideTaskResponse:
        caller = caller_of_call()
        decision = Decision(Outcome(request.outcome), tuple(map(_reason, request.reasons)))

        def work(connection: Connection) -> pb.DecideTaskResponse:
            row = self._work.decide(connection, request.task_id, decision, caller=caller)
            return pb.DecideTaskResponse(task=self._task(connection, row))

        return await self._change(
            request, "reviews.decide", work, facts={"outcome": decision.outcome.name.lower()}
        )

    def _task(self, connection: Connection, row: TaskRow) -> pb.ReviewTask:
        return views.to_tasks(connection, [row], Viewer.of(caller_of_call()))[0]

    async def _change(
        self,
        request: Any,
        action: str,
        work: Callable[[Connection], T],
        *,
        facts: dict[str, str] | None = None,
    ) -> T:
        """A change of the task that the request names."""
        run: Any = self._base.mutations.run
        answer: T = await run(
            request, action=action, subject=_name(request.task_id), work=work, facts=facts or {}
        )
        return answer


def _found(row: TaskRow | None) -> TaskRow:
    if row is None:
        raise not_found()
    return row


def _reason(reason: pb.ReviewReason) -> ReasonText:
    return ReasonText(reason.code, reason.text)


def _name(task_id: str) -> str:
    return f"reviews/{task_id}"
