"""What reviewers do: take a task, look at each of its items, ask for what is missing, decide.

A decision, in this order:

1  the task is assigned to whoever decides
2  who is not suspended, has a role for this kind, and has nothing in common with the applicant
3  every check item has a result; where one failed, the outcome is not PASSED
4  what is not passed has concrete reasons
5  the subject's room makes the result, in the same transaction
6  that nobody suspended the reviewer meanwhile is seen behind the lock of the reviewer's row
7  some decisions get a second review (cloud.reviews.second)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection

from cloud.access.call import Caller
from cloud.errors import Reason, ServiceError
from cloud.privacy.sealing import Place
from cloud.reviews.assign import Wanted, is_related
from cloud.reviews.core import Core, capacity_of, reviewer_of
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement
from cloud.reviews.second import conclude, open_second
from cloud.reviews.states import MACHINE, TaskEvent, TaskState
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviewers import ReviewerRow
from cloud.store.reviews import CheckRow, TaskRow
from verifield.v1 import review_service_pb2 as pb

MIN_SUPPLEMENT = timedelta(hours=1)
MAX_SUPPLEMENT = timedelta(days=90)
"""Less, nobody can meet; more, nobody waits for."""

MAX_SUPPLEMENTS = 5
"""Who has asked five times decides on what is there."""

LOOKED_THROUGH = 50
"""Tasks of a kind that are tried for the next one: those before may all be somebody else's to decide."""


@dataclass(frozen=True, slots=True)
class Work:
    """Each method is part of the caller's transaction; ``caller`` is the reviewer."""

    core: Core

    def take(self, connection: Connection, task_id: str, *, caller: Caller) -> TaskRow:
        """Have a task that nobody has.

        Raises:
            ServiceError: REVIEW_TASK_NOT_FOUND, REVIEW_STATE, REVIEWER_NOT_FOUND, REVIEWER_SUSPENDED,
                REVIEWER_UNSKILLED, REVIEW_CONFLICT, REVIEWER_FULL.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        MACHINE.after(TaskState(row.state), TaskEvent.TAKE)
        reviewer = self._fit(connection, row, caller, lock=True)
        if row.kind not in staff.skills_of(connection, [reviewer.reviewer_id]).get(caller.name, ()):
            raise _unskilled()
        if reviewer.load >= capacity_of(reviewer, full_at=core.rules(connection).tasks_per_reviewer):
            raise ServiceError(Reason.REVIEWER_FULL, "This reviewer has as many tasks as allowed.")
        new = core.give(connection, row, reviewer.reviewer_id)
        core.tell(connection, new, pb.REVIEW_EVENT_KIND_TAKEN, caller.path, reviewer_id=new.reviewer_id)
        return new

    def take_next(self, connection: Connection, *, kind: int = 0, caller: Caller) -> TaskRow:
        """Have the first task in the queue that the caller may have; of one kind, where that is wanted.

        What the caller gave back does not come again like this.

        Raises:
            ServiceError: REVIEW_NOTHING_TO_TAKE, or as :meth:`take` for reasons that no other task mends.
        """
        self._check_reviewer(staff.get_reviewer(connection, reviewer_of(caller)))
        own = staff.skills_of(connection, [caller.name]).get(caller.name, frozenset())
        if not own or (kind and kind not in own):
            raise _unskilled()
        for task_id in rows.next_of_kinds(connection, [kind] if kind else sorted(own), limit=LOOKED_THROUGH):
            seen = rows.get_task(connection, task_id)
            if seen is None or caller.name in rows.released_by(connection, task_id):
                continue
            try:
                self._fit(connection, seen, caller)  # before anything is locked that is not wanted then
                return self.take(connection, task_id, caller=caller)
            except ServiceError as error:
                if error.reason not in {Reason.REVIEW_CONFLICT, Reason.REVIEW_STATE}:
                    raise
        raise ServiceError(Reason.REVIEW_NOTHING_TO_TAKE, "There is no task that you could take.")

    def release(self, connection: Connection, task_id: str, *, reason: str, caller: Caller) -> TaskRow:
        """Give a task back; it is not given to the same reviewer again by itself.

        Raises:
            ServiceError: REVIEW_TASK_NOT_FOUND, REVIEW_STATE, REVIEW_NOT_YOURS.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        MACHINE.after(TaskState(row.state), TaskEvent.LEAVE)
        _check_own(row, caller)
        new = core.leave(connection, row, queue_us=core.now_us)
        core.tell(
            connection,
            new,
            pb.REVIEW_EVENT_KIND_RELEASED,
            caller.path,
            reviewer_id=row.reviewer_id,
            note=reason,
        )
        return new

    def record_check(
        self, connection: Connection, task_id: str, wanted: CheckRow, *, remark: str, caller: Caller
    ) -> list[CheckRow]:
        """Note the result of an item of ``wanted``; return all items of the task.

        Raises:
            ServiceError: as :meth:`decide` for the task and the reviewer; REVIEW_CHECK_UNKNOWN.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        MACHINE.after(TaskState(row.state), TaskEvent.CHECK)
        _check_own(row, caller)
        self._fit(connection, row, caller)
        known = {one.item: one for one in rows.checks_of(connection, task_id)}
        found = known.get(wanted.item)
        if found is None:
            raise ServiceError(
                Reason.REVIEW_CHECK_UNKNOWN,
                "This task has no such check item.",
                {"items": ",".join(known)[:256]},
            )
        place = Place("review_checks", "remark", f"{task_id}.{found.position}")
        done = replace(
            found,
            result=wanted.result,
            remark=core.seal(connection, row.account_id, place, remark),
            recorded_us=core.now_us,
        )
        rows.record_check(connection, done)
        core.tell(
            connection,
            row,
            pb.REVIEW_EVENT_KIND_CHECK_RECORDED,
            caller.path,
            reviewer_id=row.reviewer_id,
            item=done.item,
            result=done.result,
        )
        return [done if one.item == done.item else one for one in known.values()]

    def request_supplement(
        self,
        connection: Connection,
        task_id: str,
        *,
        reason: ReasonText,
        items: Sequence[str],
        deadline_us: int | None,
        caller: Caller,
    ) -> TaskRow:
        """Ask the applicant; the time limit stands still until the answer. No deadline: as the rules say.

        Raises:
            ServiceError: as :meth:`decide` for the task and the reviewer; REVIEW_REASONS_MISSING,
                SUPPLEMENT_DEADLINE, SUPPLEMENT_TOO_OFTEN, SECOND_REVIEW_BLIND.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        state = MACHINE.after(TaskState(row.state), TaskEvent.ASK)
        _check_own(row, caller)
        self._fit(connection, row, caller)
        if row.first_task_id is not None:
            raise ServiceError(Reason.SECOND_REVIEW_BLIND, "A second review does not ask the applicant.")
        if not items or not all(map(str.strip, items)) or not _is_concrete(reason):
            raise ServiceError(
                Reason.REVIEW_REASONS_MISSING, "It needs a reason, and what is to be handed in."
            )
        if row.supplement_count >= MAX_SUPPLEMENTS:
            raise ServiceError(Reason.SUPPLEMENT_TOO_OFTEN, "The applicant was asked often enough.")
        wanted = Supplement(reason, tuple(items), self._deadline(connection, deadline_us))
        shown = pb.ReviewSupplement(reason=to_reason(reason), items=items)
        shown.deadline.FromMicroseconds(wanted.deadline_us)
        place = Place("review_tasks", "supplement", task_id)
        new = replace(
            row,
            state=int(state),
            at_us=wanted.deadline_us,
            left_us=max(0, row.at_us - core.now_us),
            supplement_count=row.supplement_count + 1,
            supplement=core.seal(connection, row.account_id, place, shown),
        )
        core.write(connection, row, new)
        core.tell(
            connection,
            new,
            pb.REVIEW_EVENT_KIND_SUPPLEMENT_REQUESTED,
            caller.path,
            reviewer_id=new.reviewer_id,
        )
        core.handler(row.kind).supplement_asked(connection, core.to_task(connection, new), wanted)
        return new

    def decide(self, connection: Connection, task_id: str, decision: Decision, *, caller: Caller) -> TaskRow:
        """End a task with an outcome: see the module's steps.

        Raises:
            ServiceError: REVIEW_TASK_NOT_FOUND, REVIEW_STATE, REVIEW_NOT_YOURS, REVIEWER_SUSPENDED,
                REVIEW_CONFLICT, REVIEW_CHECKS_MISSING, REVIEW_CHECKS_FAILED, REVIEW_REASONS_MISSING, or what
                the room's handler raises.
        """
        core, row = self.core, self.core.hold(connection, task_id)
        state = MACHINE.after(TaskState(row.state), TaskEvent.DECIDE)
        _check_own(row, caller)  # step 1
        self._fit(connection, row, caller)  # step 2
        passed = decision.outcome is Outcome.PASSED
        _check_items(rows.checks_of(connection, task_id), passed=passed)  # step 3
        if (not passed and not decision.reasons) or not all(map(_is_concrete, decision.reasons)):  # step 4
            raise ServiceError(Reason.REVIEW_REASONS_MISSING, "What is not passed needs concrete reasons.")
        kept = pb.GetTaskResponse(reasons=map(to_reason, decision.reasons))
        place = Place("review_tasks", "reasons", task_id)
        new = replace(
            row,
            state=int(state),
            at_us=core.now_us,
            outcome=int(decision.outcome),
            reasons=core.seal(connection, row.account_id, place, kept) if decision.reasons else None,
        )
        if row.first_task_id is None:
            core.handler(row.kind).decided(connection, core.to_task(connection, row), decision)  # step 5
        core.write(connection, row, new)
        self._fit(connection, row, caller)  # step 6
        core.tell(connection, new, pb.REVIEW_EVENT_KIND_DECIDED, caller.path, reviewer_id=new.reviewer_id)
        if row.first_task_id is None:
            open_second(core, connection, new)  # step 7
        else:
            conclude(core, connection, new)
        return new

    def _fit(
        self, connection: Connection, row: TaskRow, caller: Caller, *, lock: bool = False
    ) -> ReviewerRow:
        """The caller as a reviewer who may have to do with a task."""
        found = staff.get_reviewer(connection, reviewer_of(caller), lock=lock)
        reviewer = self._check_reviewer(found)
        if not staff.may_review(connection, reviewer.reviewer_id, row.kind):
            raise ServiceError(Reason.REVIEWER_NO_ROLE, "You are no active reviewer of this kind.")
        check_unrelated(self.core, connection, row, reviewer)
        return reviewer

    @staticmethod
    def _check_reviewer(reviewer: ReviewerRow | None) -> ReviewerRow:
        if reviewer is None:
            raise ServiceError(Reason.REVIEWER_NOT_FOUND, "You have no profile as a reviewer.")
        if reviewer.suspended:
            raise ServiceError(Reason.REVIEWER_SUSPENDED, "This reviewer may not decide.")
        return reviewer

    def _deadline(self, connection: Connection, deadline_us: int | None) -> int:
        now_us = self.core.now_us
        if deadline_us is None:
            return now_us + self.core.rules(connection).supplement_within.ToMicroseconds()
        shortest, longest = (span // timedelta(microseconds=1) for span in (MIN_SUPPLEMENT, MAX_SUPPLEMENT))
        if not shortest <= deadline_us - now_us <= longest:
            raise ServiceError(Reason.SUPPLEMENT_DEADLINE, "This deadline is too near, or too far away.")
        return deadline_us


def check_unrelated(core: Core, connection: Connection, row: TaskRow, reviewer: ReviewerRow) -> None:
    """That a reviewer has nothing in common with the applicant, and decided nothing in this matter.

    Raises:
        ServiceError: REVIEW_CONFLICT. It does not say what they share: that would tell of the applicant.
    """
    wanted = Wanted(row.kind, rows.marks_of(connection, row.task_id), core.barred(connection, row))
    [candidate] = core.candidates(connection, [reviewer], full_at=1)
    if is_related(wanted, candidate):
        raise ServiceError(Reason.REVIEW_CONFLICT, "This reviewer is not neutral in this matter.")


def to_reason(reason: ReasonText) -> pb.ReviewReason:
    """A reason as the contract shows it."""
    return pb.ReviewReason(code=reason.code, text=reason.text)


def _unskilled() -> ServiceError:
    return ServiceError(Reason.REVIEWER_UNSKILLED, "This reviewer has not the skill for this kind.")


def _check_own(row: TaskRow, caller: Caller) -> None:
    if row.reviewer_id != reviewer_of(caller):
        raise ServiceError(Reason.REVIEW_NOT_YOURS, "Somebody else has this task.")


def _check_items(checks: Sequence[CheckRow], *, passed: bool) -> None:
    missing = [one.item for one in checks if one.result == pb.CHECK_RESULT_UNSPECIFIED]
    if missing:
        raise ServiceError(
            Reason.REVIEW_CHECKS_MISSING,
            "Some check items have no result yet.",
            {"items": ",".join(missing)[:256]},
        )
    failed = [one.item for one in checks if one.result == pb.CHECK_RESULT_FAILED]
    if passed and failed:
        raise ServiceError(
            Reason.REVIEW_CHECKS_FAILED, "Some check items failed.", {"items": ",".join(failed)[:256]}
        )


def _is_concrete(reason: ReasonText) -> bool:
    return bool(reason.code.strip() and reason.text.strip())
