"""What those do who manage reviews: who may have what, who has what, and what happens to who did wrong.

Nobody manages an own profile or an own case.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.access.call import Caller
from cloud.errors import Reason, ServiceError
from cloud.privacy.sealing import Place
from cloud.reviews.assign import Wanted, may_have
from cloud.reviews.core import SERVICE, URGENT_US, Core
from cloud.reviews.marks import Marker
from cloud.reviews.states import MACHINE, TaskEvent, TaskState
from cloud.reviews.work import check_unrelated
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviewers import CaseRow, ReviewerRow
from cloud.store.reviews import TaskRow
from verifield.v1 import review_service_pb2 as pb

MOVED_AT_ONCE = 100
"""Tasks that one transaction moves, in which nobody else is given anything: a second or two, also on a slow
machine. What a discipline case leaves, upkeep moves.
"""

HELD = (TaskState.ASSIGNED, TaskState.WAITING_SUPPLEMENT)


@dataclass(frozen=True, slots=True)
class Profile:
    """``capacity`` 0: as many as the rules allow. ``marks`` None: those that are known stay."""

    skills: frozenset[int]
    capacity: int
    away: bool
    marks: frozenset[bytes] | None


@dataclass(frozen=True, slots=True)
class Management:
    """Each method is part of the caller's transaction."""

    core: Core

    def set_profile(
        self, connection: Connection, reviewer_id: str, profile: Profile, *, caller: Caller
    ) -> ReviewerRow:
        """Make or replace what a reviewer may be given; what the reviewer may not have any more is moved.

        Of more tasks than MOVED_AT_ONCE some stay: who is related cannot decide them; they become overdue.

        Raises:
            ServiceError: REVIEWER_SELF; REVIEWER_NO_ROLE: the user is not there, disabled, or no reviewer of
                these kinds.
        """
        _check_not_self(reviewer_id, caller)
        if not staff.may_review(connection, reviewer_id, *profile.skills):
            raise ServiceError(Reason.REVIEWER_NO_ROLE, "This user is no active reviewer of these kinds.")
        had = staff.skills_of(connection, [reviewer_id]).get(reviewer_id, frozenset())
        narrower = profile.marks is not None or not had <= profile.skills
        held = self._hold_all_locked(connection, reviewer_id) if narrower else set()
        row = staff.get_reviewer(connection, reviewer_id, lock=True)
        row = row or staff.add_reviewer(connection, reviewer_id, now_us=self.core.now_us)
        staff.change_reviewer(
            connection,
            reviewer_id,
            capacity=profile.capacity,
            away=profile.away,
            updated_us=self.core.now_us,
        )
        staff.set_skills(connection, reviewer_id, profile.skills)
        if profile.marks is not None:
            staff.set_marks(connection, reviewer_id, profile.marks)
        for task_id in sorted(held):
            self._move_unsuitable(connection, task_id, row)
        found = staff.get_reviewer(connection, reviewer_id)
        return found or row

    def assign(
        self, connection: Connection, task_id: str, *, reviewer_id: str, reason: str, caller: Caller
    ) -> TaskRow:
        """Give a task to a reviewer, above the capacity too; an empty id: to whoever suits best.

        Raises:
            ServiceError: REVIEW_TASK_NOT_FOUND, REVIEW_STATE, REVIEWER_NOT_FOUND, REVIEWER_NO_ROLE,
                REVIEWER_SUSPENDED, REVIEWER_UNSKILLED, REVIEW_CONFLICT, REVIEW_NOBODY_FREE.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        MACHINE.after(TaskState(row.state), TaskEvent.GIVE)
        if reviewer_id:
            self._check_may_have(connection, row, reviewer_id)
        else:
            reviewer_id = core.find_reviewer(connection, row) or ""
        if not reviewer_id:
            raise ServiceError(Reason.REVIEW_NOBODY_FREE, "Nobody suits this task and has room for it.")
        if reviewer_id == row.reviewer_id:
            return row
        moved = row.reviewer_id is not None
        new = core.give(connection, row, reviewer_id)
        event = pb.REVIEW_EVENT_KIND_REASSIGNED if moved else pb.REVIEW_EVENT_KIND_ASSIGNED
        core.tell(connection, new, event, caller.path, reviewer_id=reviewer_id, note=reason)
        return new

    def open_case(
        self, connection: Connection, reviewer_id: str, *, facts: str, caller: Caller
    ) -> tuple[CaseRow, int]:
        """Suspend a reviewer, and move what the reviewer has; return the case and how many tasks that were.

        Raises:
            ServiceError: REVIEWER_SELF, REVIEWER_NOT_FOUND, PERSON_ERASED.
        """
        _check_not_self(reviewer_id, caller)
        core = self.core
        self._reviewer(connection, reviewer_id)
        held = self._hold_all_locked(connection, reviewer_id)
        row = self._reviewer(connection, reviewer_id)
        staff.change_reviewer(connection, reviewer_id, open_cases=row.open_cases + 1, updated_us=core.now_us)
        case_id = core.sources.uuid7()
        case = CaseRow(
            case_id=case_id,
            reviewer_id=reviewer_id,
            state=pb.DISCIPLINE_CASE_STATE_OPEN,
            facts=core.seal(connection, reviewer_id, Place("discipline_cases", "facts", case_id), facts),
            note=None,
            opened_by=caller.path,
            opened_us=core.now_us,
            closed_by="",
            closed_us=None,
            outcome=pb.DISCIPLINE_OUTCOME_UNSPECIFIED,
        )
        staff.add_case(connection, case)
        moved = sum(move_on(core, connection, task_id, reviewer_id) for task_id in sorted(held))
        return case, moved

    def close_case(
        self, connection: Connection, case_id: str, *, outcome: int, note: str, caller: Caller
    ) -> CaseRow:
        """End a case; with the last one, a reviewer who was not removed may decide again.

        Raises:
            ServiceError: DISCIPLINE_CASE_NOT_FOUND, DISCIPLINE_CASE_CLOSED, REVIEWER_SELF, PERSON_ERASED.
        """
        core, case = self.core, staff.get_case(connection, case_id, lock=True)
        if case is None:
            raise ServiceError(Reason.DISCIPLINE_CASE_NOT_FOUND, "There is no such discipline case.")
        _check_not_self(case.reviewer_id, caller)
        if case.state != pb.DISCIPLINE_CASE_STATE_OPEN:
            raise ServiceError(Reason.DISCIPLINE_CASE_CLOSED, "This discipline case is closed.")
        place = Place("discipline_cases", "note", case_id)
        closed = replace(
            case,
            state=pb.DISCIPLINE_CASE_STATE_CLOSED,
            note=core.seal(connection, case.reviewer_id, place, note),
            closed_by=caller.path,
            closed_us=core.now_us,
            outcome=outcome,
        )
        staff.change_case(connection, closed)
        row = staff.get_reviewer(connection, case.reviewer_id, lock=True)
        if row is None:  # cases refer to reviewers, who are never deleted
            raise ServiceError(Reason.RECORD_DAMAGED, "A reviewer was removed from outside.")
        staff.change_reviewer(
            connection,
            row.reviewer_id,
            open_cases=row.open_cases - 1,
            removed=row.removed or outcome == pb.DISCIPLINE_OUTCOME_REMOVED,
            updated_us=core.now_us,
        )
        return closed

    def _reviewer(self, connection: Connection, reviewer_id: str) -> ReviewerRow:
        row = staff.get_reviewer(connection, reviewer_id)
        if row is None:
            raise ServiceError(Reason.REVIEWER_NOT_FOUND, "This user has no profile as a reviewer.")
        return row

    def _hold_all_locked(self, connection: Connection, reviewer_id: str) -> set[str]:
        """Lock what a reviewer has, and all reviewers."""
        # Tasks before reviewers, as everywhere; then whatever was assigned in between.
        held = self._hold_all(connection, reviewer_id)
        staff.lock_all(connection)
        if len(held) < MOVED_AT_ONCE:
            held |= self._hold_all(connection, reviewer_id, besides=held)
        return held

    def _move_unsuitable(self, connection: Connection, task_id: str, reviewer: ReviewerRow) -> None:
        row = rows.get_task(connection, task_id)
        full_at = self.core.rules(connection).tasks_per_reviewer
        [candidate] = self.core.candidates(connection, [reviewer], full_at=full_at)
        marks = rows.marks_of(connection, task_id)
        if row and not may_have(Wanted(row.kind, marks, self.core.barred(connection, row)), candidate):
            move_on(self.core, connection, task_id, reviewer.reviewer_id)

    def _hold_all(
        self, connection: Connection, reviewer_id: str, *, besides: Collection[str] = ()
    ) -> set[str]:
        ids = rows.held_by(connection, reviewer_id, HELD, limit=MOVED_AT_ONCE)
        return {self.core.hold(connection, task_id).task_id for task_id in ids if task_id not in besides}

    def _check_may_have(self, connection: Connection, row: TaskRow, reviewer_id: str) -> None:
        found = staff.lock_reviewers(connection, {reviewer_id, row.reviewer_id or reviewer_id})
        reviewer = found.get(reviewer_id)
        if reviewer is None:
            raise ServiceError(Reason.REVIEWER_NOT_FOUND, "This user has no profile as a reviewer.")
        if not staff.may_review(connection, reviewer_id, row.kind):
            raise ServiceError(Reason.REVIEWER_NO_ROLE, "This user is no active reviewer of this kind.")
        if reviewer.suspended:
            raise ServiceError(Reason.REVIEWER_SUSPENDED, "This reviewer may not decide.")
        if row.kind not in staff.skills_of(connection, [reviewer_id]).get(reviewer_id, ()):
            raise ServiceError(Reason.REVIEWER_UNSKILLED, "This reviewer has not the skill for this kind.")
        check_unrelated(self.core, connection, row, reviewer)


def move_on(core: Core, connection: Connection, task_id: str, reviewer_id: str) -> bool:
    """Take a task that is locked from a reviewer: to somebody else, or to the head of the queue.

    False where the reviewer does not have it any more.
    """
    row = rows.get_task(connection, task_id)
    if row is None or row.reviewer_id != reviewer_id or row.state not in HELD:
        return False
    if core.try_assign(connection, row, pb.REVIEW_EVENT_KIND_REASSIGNED) is None:
        new = core.leave(connection, row, queue_us=URGENT_US)
        core.tell(connection, new, pb.REVIEW_EVENT_KIND_UNASSIGNED, SERVICE, reviewer_id=reviewer_id)
    return True


def marks_from(marker: Marker, given: pb.ReviewerMarks) -> frozenset[bytes]:
    """What a reviewer could share with applicants, as digests; the values go no further."""
    return frozenset(
        [
            *map(marker.id_number, given.id_numbers),
            *map(marker.phone, given.phones),
            *map(marker.company, given.companies),
        ]
    )


def _check_not_self(reviewer_id: str, caller: Caller) -> None:
    if caller.name == reviewer_id:
        raise ServiceError(Reason.REVIEWER_SELF, "Nobody manages an own profile or case.")
