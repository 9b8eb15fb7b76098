"""Reviews, for the rooms that have something reviewed: each call is part of the caller's transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.reviews.assign import Wanted, may_have
from cloud.reviews.core import SERVICE, URGENT_US, Core
from cloud.reviews.port import Applicant, Moment, ReviewKind
from cloud.reviews.states import MACHINE, TaskEvent, TaskState
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviews import TaskRow
from verifield.v1 import review_service_pb2 as pb

MAX_CHECKS = 50
"""A list that nobody can look through is not looked through."""

MAX_MARKS = 20
MAX_MOMENTS = 500

_SUBJECT = re.compile(r"[a-z][a-z_]{0,62}/[A-Za-z0-9._-]{1,64}")
_ITEM = re.compile(r"[a-z][a-z0-9_]{1,63}")

TOLD = frozenset(
    {
        pb.REVIEW_EVENT_KIND_OPENED,
        pb.REVIEW_EVENT_KIND_ASSIGNED,
        pb.REVIEW_EVENT_KIND_TAKEN,
        pb.REVIEW_EVENT_KIND_REASSIGNED,
        pb.REVIEW_EVENT_KIND_SUPPLEMENT_REQUESTED,
        pb.REVIEW_EVENT_KIND_RESUBMITTED,
        pb.REVIEW_EVENT_KIND_SUPPLEMENT_EXPIRED,
        pb.REVIEW_EVENT_KIND_WITHDRAWN,
        pb.REVIEW_EVENT_KIND_OVERDUE,
        pb.REVIEW_EVENT_KIND_DECIDED,
        pb.REVIEW_EVENT_KIND_REOPENED,
    }
)
"""What applicants see of a timeline."""


@dataclass(frozen=True, slots=True)
class Reviews:
    """Who calls has locked the subject's row before."""

    core: Core

    def open_task(
        self,
        connection: Connection,
        *,
        kind: ReviewKind,
        subject: str,
        applicant: Applicant,
        checks: Sequence[str],
    ) -> str:
        """Make the one task of a submission, in its transaction, and give it to a reviewer where one is free.

        Return its id. ``subject`` is of the form ROOM/ID, ``checks`` are the items to look at. The handler
        may be told that it is assigned before this returns.

        Raises:
            ServiceError: REVIEW_KIND_CLOSED; REVIEW_TASK_EXISTS: the subject has a task that has not ended.
            ValueError: a subject or an item is not of its form, or there are none, or too many of them.
        """
        if not _SUBJECT.fullmatch(subject):
            raise ValueError("a subject of a review is of the form certifications/ID")
        if not 1 <= len(checks) <= MAX_CHECKS or len(set(checks)) != len(checks):
            raise ValueError("a review needs check items, each once")
        if not all(map(_ITEM.fullmatch, checks)) or len(applicant.marks) > MAX_MARKS:
            raise ValueError("a check item is a short name in lower case; marks are few")
        self.core.handler(kind)
        if rows.live_task(connection, subject) is not None:
            raise ServiceError(Reason.REVIEW_TASK_EXISTS, "This is being reviewed already.")
        row = self.core.new_row(connection, kind=kind, subject=subject, account_id=applicant.account_id)
        waiting = rows.queue(connection, kind, until_us=row.queue_us, limit=1)
        rows.add_task(connection, row, marks=applicant.marks, items=checks)
        self.core.tell(connection, row, pb.REVIEW_EVENT_KIND_OPENED, SERVICE)
        if not waiting:  # else those who came before are first: see cloud.reviews.upkeep
            self.core.try_assign(connection, row, pb.REVIEW_EVENT_KIND_ASSIGNED)
        return row.task_id

    def resubmitted(
        self, connection: Connection, subject: str, *, applicant: Applicant | None = None
    ) -> None:
        """What was asked for is there: the same reviewer goes on, with the time that was left.

        ``applicant``: where what was handed in may have changed what a reviewer could share.

        Raises:
            ServiceError: REVIEW_STATE; SUPPLEMENT_LATE: the deadline has passed,
                whether or not somebody has noticed.
        """
        core, row, now_us = self.core, self._live(connection, subject), self.core.now_us
        MACHINE.after(TaskState(row.state), TaskEvent.RESUBMIT)
        if now_us >= row.at_us:
            raise ServiceError(Reason.SUPPLEMENT_LATE, "The deadline for the supplement has passed.")
        rows.clear_checks(connection, row.task_id)
        if applicant is not None:
            rows.add_marks(connection, row, applicant.marks)
        goes_on = row.reviewer_id if self._may_go_on(connection, row) else None
        event = TaskEvent.RESUBMIT if goes_on else TaskEvent.RESUBMIT_TO_NOBODY
        new = replace(
            row,
            state=int(MACHINE.after(TaskState(row.state), event)),
            at_us=now_us + (row.left_us or 0),
            left_us=None,
            reviewer_id=goes_on,
            last_reviewer_id=row.last_reviewer_id if goes_on else row.reviewer_id or row.last_reviewer_id,
            queue_us=URGENT_US,
        )
        core.write(connection, row, new)
        core.tell(connection, new, pb.REVIEW_EVENT_KIND_RESUBMITTED, SERVICE, reviewer_id=goes_on)
        if goes_on is None:
            core.try_assign(connection, new, pb.REVIEW_EVENT_KIND_REASSIGNED)

    def withdrawn(self, connection: Connection, subject: str) -> None:
        """The applicant does not want it any more: the task ends.

        Raises:
            ServiceError: REVIEW_STATE: it has none that has not ended.
        """
        row = self._live(connection, subject)
        state = MACHINE.after(TaskState(row.state), TaskEvent.WITHDRAW)
        new = replace(row, state=int(state), at_us=self.core.now_us, left_us=None)
        self.core.write(connection, row, new)
        self.core.tell(connection, new, pb.REVIEW_EVENT_KIND_WITHDRAWN, SERVICE)

    def timeline(self, connection: Connection, subject: str, account_id: str) -> list[Moment]:
        """What happened, oldest first, as the applicant may see it: reviewers are numbers."""
        row = rows.newest_task(connection, subject, account_id)
        if row is None:
            return []
        found = rows.events_of(connection, row.task_id, limit=MAX_MOMENTS, kinds=TOLD)
        numbers = staff.numbers_of(connection, {one.reviewer_id for one in found if one.reviewer_id})
        return [
            Moment(one.kind, one.time_us, numbers.get(one.reviewer_id) if one.reviewer_id else None)
            for one in found
        ]

    def _live(self, connection: Connection, subject: str) -> TaskRow:
        row = rows.live_task(connection, subject, lock=True)
        if row is None:
            raise ServiceError(Reason.REVIEW_STATE, "This is not being reviewed.")
        self.core.handler(row.kind)
        return row

    def _may_go_on(self, connection: Connection, row: TaskRow) -> bool:
        """Whether who had the task may have it still."""
        found = staff.lock_reviewers(connection, [row.reviewer_id]) if row.reviewer_id else {}
        if not found or not staff.may_review(connection, next(iter(found)), row.kind):
            return False
        full_at = self.core.rules(connection).tasks_per_reviewer
        [candidate] = self.core.candidates(connection, found.values(), full_at=full_at)
        marks = rows.marks_of(connection, row.task_id)
        return may_have(Wanted(row.kind, marks, self.core.barred(connection, row)), candidate)
