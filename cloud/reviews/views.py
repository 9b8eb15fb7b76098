"""Rows of reviews as the contract shows them, to whom they may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.access.call import Caller
from cloud.access.roles import Permission, permissions_of
from cloud.persons import Persons
from cloud.reviews import personal
from cloud.reviews.states import LIVE, TaskState
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviewers import CaseRow, ReviewerRow
from cloud.store.reviews import CheckRow, EventRow, SecondRow, TaskRow
from verifield.v1 import review_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Viewer:
    """``manages``: sees material and all outcomes; ``decides``: sees those outcomes that are the viewer's.

    Who decides might be given the second review of anything that was decided.
    """

    name: str
    manages: bool
    decides: bool

    @classmethod
    def of(cls, caller: Caller) -> Viewer:
        held = permissions_of(caller.roles)
        return cls(caller.name, Permission.REVIEWS_MANAGE in held, Permission.REVIEWS_DECIDE in held)

    def has(self, row: TaskRow) -> bool:
        """Whether the task is the viewer's to decide."""
        return row.reviewer_id == self.name and row.state in LIVE

    def sees_outcome(self, row: TaskRow) -> bool:
        """Whether the viewer may know how it was decided; a failed check item tells it too."""
        return self.manages or not self.decides or row.reviewer_id == self.name


def to_tasks(connection: Connection, found: Sequence[TaskRow], viewer: Viewer) -> list[pb.ReviewTask]:
    """Tasks as a viewer sees them."""
    numbers = staff.numbers_of(connection, {row.reviewer_id for row in found if row.reviewer_id})
    return [_to_task(row, numbers.get(row.reviewer_id or "", 0), viewer) for row in found]


def _to_task(row: TaskRow, number: int, viewer: Viewer) -> pb.ReviewTask:
    task = pb.ReviewTask(
        task_id=row.task_id,
        kind=pb.ReviewKind.ValueType(row.kind),
        subject=row.subject,
        state=pb.ReviewTaskState.ValueType(row.state),
        reviewer_id=row.reviewer_id or "",
        reviewer_number=number,
        overdue_count=row.overdue_count,
        supplement_count=row.supplement_count,
        second=row.first_task_id is not None,
    )
    task.create_time.FromMicroseconds(row.opened_us)
    if row.state == TaskState.WAITING_SUPPLEMENT:
        task.supplement_deadline.FromMicroseconds(row.at_us)
    elif row.state in LIVE:
        task.due_time.FromMicroseconds(row.at_us)
    else:
        task.end_time.FromMicroseconds(row.at_us)
    if row.outcome is not None and viewer.sees_outcome(row):
        task.outcome = pb.ReviewOutcome.ValueType(row.outcome)
    return task


def to_checks(
    persons: Persons, connection: Connection, found: Sequence[CheckRow], *, results: bool, remarks: bool
) -> list[pb.ReviewCheck]:
    """Check items; ``results``: with what was found; ``remarks``: with what was said."""
    checks = []
    for row in found:
        check = pb.ReviewCheck(item=row.item)
        if results:
            check.result = pb.CheckResult.ValueType(row.result)
        if results and row.recorded_us is not None:
            check.record_time.FromMicroseconds(row.recorded_us)
        if remarks:
            check.remark = personal.open_remark(persons, connection, row)
        checks.append(check)
    return checks


def to_events(
    persons: Persons, connection: Connection, found: Sequence[EventRow], *, details: bool
) -> list[pb.ReviewEvent]:
    """What happened to a task; ``details``: with results of check items and what was said."""
    numbers = staff.numbers_of(connection, {row.reviewer_id for row in found if row.reviewer_id})
    events = []
    for row in found:
        event = pb.ReviewEvent(
            number=row.number,
            kind=pb.ReviewEventKind.ValueType(row.kind),
            actor=row.actor,
            reviewer_number=numbers.get(row.reviewer_id or "", 0),
            item=row.item,
            result=pb.CheckResult.ValueType(row.result if details else 0),
            note=personal.open_note(persons, connection, row) if details else "",
        )
        event.time.FromMicroseconds(row.time_us)
        events.append(event)
    return events


def to_reviewers(connection: Connection, found: Sequence[ReviewerRow], *, full_at: int) -> list[pb.Reviewer]:
    """Reviewers; of their marks only how many there are."""
    ids = [row.reviewer_id for row in found]
    skills, marks = staff.skills_of(connection, ids), staff.marks_of(connection, ids)
    logins = staff.logins_of(connection, ids)
    return [
        pb.Reviewer(
            reviewer_id=row.reviewer_id,
            number=row.number,
            login=logins.get(row.reviewer_id, ""),
            skills=[pb.ReviewKind.ValueType(kind) for kind in sorted(skills.get(row.reviewer_id, ()))],
            capacity=min(row.capacity or full_at, full_at),
            load=row.load,
            away=row.away,
            suspended=row.suspended,
            mark_count=len(marks.get(row.reviewer_id, ())),
        )
        for row in found
    ]


def to_seconds(connection: Connection, found: Sequence[SecondRow]) -> list[pb.SecondReview]:
    """Second reviews with both outcomes: for who manages reviews."""
    shown = []
    for row in found:
        first, second = (rows.get_task(connection, one) for one in (row.first_task_id, row.task_id))
        if first is None or second is None:
            continue
        numbers = staff.numbers_of(connection, {one.reviewer_id or "" for one in (first, second)})
        decided = second.state == TaskState.DECIDED
        one = pb.SecondReview(
            task_id=row.task_id,
            first_task_id=row.first_task_id,
            subject=first.subject,
            kind=pb.ReviewKind.ValueType(first.kind),
            state=pb.SecondReviewState.ValueType(row.state),
            first_reviewer_number=numbers.get(first.reviewer_id or "", 0),
            first_outcome=pb.ReviewOutcome.ValueType(first.outcome or 0),
            second_reviewer_number=numbers.get(second.reviewer_id or "", 0) if decided else 0,
            second_outcome=pb.ReviewOutcome.ValueType(second.outcome or 0),
        )
        one.create_time.FromMicroseconds(row.opened_us)
        if row.ended_us is not None:
            one.end_time.FromMicroseconds(row.ended_us)
        shown.append(one)
    return shown


def to_cases(persons: Persons, connection: Connection, found: Sequence[CaseRow]) -> list[pb.DisciplineCase]:
    """Discipline cases: for who manages reviews."""
    numbers = staff.numbers_of(connection, {row.reviewer_id for row in found})
    shown = []
    for row in found:
        facts, note = personal.open_case_texts(persons, connection, row)
        one = pb.DisciplineCase(
            case_id=row.case_id,
            reviewer_id=row.reviewer_id,
            reviewer_number=numbers.get(row.reviewer_id, 0),
            state=pb.DisciplineCaseState.ValueType(row.state),
            facts=facts,
            note=note,
            opened_by=row.opened_by,
            closed_by=row.closed_by,
            outcome=pb.DisciplineOutcome.ValueType(row.outcome),
        )
        one.open_time.FromMicroseconds(row.opened_us)
        if row.closed_us is not None:
            one.close_time.FromMicroseconds(row.closed_us)
        shown.append(one)
    return shown
