"""What every change of a review task is made of: locks in one order, loads, events, times.

Locks are taken in this order: the subject (by its handler), the task, reviewers in the order of their ids.
Whoever changes tasks goes through :meth:`Core.write`: the load of a reviewer is the number of tasks in the
state ASSIGNED, and changes with them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.access.call import Caller, Kind
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.reviews.assign import Candidate, Wanted, choose
from cloud.reviews.port import Handlers, ReviewHandler, ReviewKind, Task
from cloud.reviews.states import TaskState
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.reviewers import ReviewerRow
from cloud.store.reviews import EventRow, TaskRow
from cloud.store.staff import same_persons
from verifield.v1 import review_service_pb2 as pb
from verifield.v1 import rulebook_pb2

SERVICE = "service"
"""Who did it, where it happened by itself."""

URGENT_US = 0
"""The place in the queue before all others."""

EventKind: TypeAlias = "pb.ReviewEventKind.ValueType"


@dataclass(frozen=True, slots=True)
class Core:
    """``secret``: never in the database, the same on all servers. ``handlers`` is read at each use."""

    persons: Persons
    sources: Sources
    handlers: Handlers
    secret: bytes = field(repr=False)

    @property
    def now_us(self) -> int:
        return to_us(self.sources.now())

    def rules(self, connection: Connection) -> rulebook_pb2.ReviewRules:
        """What is in effect now."""
        return find(connection, RuleKind.REVIEW, self.now_us).rules

    def decide_within_us(self, connection: Connection, kind: int) -> int:
        """The time limit of a kind. It runs day and night: see docs/reviews.md."""
        rules, name = self.rules(connection), pb.ReviewKind.Name(pb.ReviewKind.ValueType(kind))
        for one in rules.times:
            if f"REVIEW_KIND_{one.kind}" == name:
                return one.decide_within.ToMicroseconds()
        return rules.decide_within.ToMicroseconds()

    def handler(self, kind: int) -> ReviewHandler:
        """Whom a kind belongs to.

        Raises:
            ServiceError: REVIEW_KIND_CLOSED.
        """
        found = self.handlers.get(ReviewKind(kind))
        if found is None:
            raise ServiceError(Reason.REVIEW_KIND_CLOSED, "Nobody here has such things reviewed.")
        return found

    def hold(self, connection: Connection, task_id: str) -> TaskRow:
        """Lock a task, behind its subject.

        Raises:
            ServiceError: REVIEW_TASK_NOT_FOUND, REVIEW_KIND_CLOSED.
        """
        seen = rows.get_task(connection, task_id)
        if seen is None:
            raise not_found()
        self.handler(seen.kind).hold(connection, seen.subject)
        row = rows.get_task(connection, task_id, lock=True)
        if row is None:
            raise not_found()
        return row

    def new_row(
        self,
        connection: Connection,
        *,
        kind: int,
        subject: str,
        account_id: str,
        first_task_id: str | None = None,
        queue_us: int | None = None,
    ) -> TaskRow:
        """A task that nobody has, with its time limit; ``queue_us`` None: behind all others."""
        now_us = self.now_us
        return TaskRow(
            task_id=self.sources.uuid7(),
            kind=int(kind),
            subject=subject,
            account_id=account_id,
            state=int(TaskState.OPEN),
            reviewer_id=None,
            last_reviewer_id=None,
            opened_us=now_us,
            at_us=now_us + self.decide_within_us(connection, kind),
            left_us=None,
            queue_us=now_us if queue_us is None else queue_us,
            overdue_count=0,
            supplement_count=0,
            outcome=None,
            first_task_id=first_task_id,
            supplement=None,
            reasons=None,
        )

    def to_task(self, connection: Connection, row: TaskRow) -> Task:
        """A task as its handler sees it."""
        numbers = staff.numbers_of(connection, [row.reviewer_id]) if row.reviewer_id else {}
        number = numbers.get(row.reviewer_id) if row.reviewer_id else None
        return Task(row.task_id, ReviewKind(row.kind), row.subject, row.account_id, number)

    def write(self, connection: Connection, old: TaskRow, new: TaskRow) -> None:
        """Write a changed task, and what it changes in the loads of who had it and who has it."""
        before, after = _burdened(old), _burdened(new)
        if before != after:
            if before and after:
                staff.lock_reviewers(connection, {before, after})
            if before:
                staff.shift_load(connection, before, -1)
            if after:
                staff.shift_load(connection, after, +1, last_us=self.now_us)
        rows.change_task(connection, new)

    def tell(
        self,
        connection: Connection,
        row: TaskRow,
        kind: EventKind,
        actor: str,
        *,
        reviewer_id: str | None = None,
        item: str = "",
        result: int = pb.CHECK_RESULT_UNSPECIFIED,
        note: str = "",
    ) -> None:
        """Append an event to a task that is locked."""
        number = rows.next_number(connection, row.task_id)
        place = Place("review_events", "note", f"{row.task_id}.{number}")
        rows.add_event(
            connection,
            EventRow(
                task_id=row.task_id,
                number=number,
                account_id=row.account_id,
                kind=kind,
                time_us=self.now_us,
                actor=actor,
                reviewer_id=reviewer_id,
                item=item,
                result=result,
                note=self.seal(connection, row.account_id, place, note),
            ),
        )

    def seal(
        self, connection: Connection, account_id: str, place: Place, content: str | Message
    ) -> bytes | None:
        """A text or a message as it is stored, under the applicant's key; None for an empty text.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        if content == "":
            return None
        person = self.persons.key_of(connection, account_id)
        if isinstance(content, str):
            return self.persons.seal_text(person, place, content)
        return self.persons.seal_bytes(person, place, content.SerializeToString(deterministic=True))

    def give(self, connection: Connection, row: TaskRow, reviewer_id: str) -> TaskRow:
        """Write that a reviewer has the task, and tell its handler; the event is the caller's to append."""
        state = row.state if row.state == TaskState.WAITING_SUPPLEMENT else int(TaskState.ASSIGNED)
        last = row.reviewer_id if row.reviewer_id not in (None, reviewer_id) else row.last_reviewer_id
        new = replace(row, state=state, reviewer_id=reviewer_id, last_reviewer_id=last)
        self.write(connection, row, new)
        if (row.reviewer_id or row.last_reviewer_id) not in (None, reviewer_id):
            rows.clear_checks(connection, row.task_id)  # nobody decides on what somebody else checked
        if new.first_task_id is None:  # applicants hear nothing of second reviews
            self.handler(new.kind).assigned(connection, self.to_task(connection, new))
        return new

    def leave(self, connection: Connection, row: TaskRow, *, queue_us: int) -> TaskRow:
        """Write that nobody has the task."""
        state = row.state if row.state == TaskState.WAITING_SUPPLEMENT else int(TaskState.OPEN)
        new = replace(row, state=state, reviewer_id=None, last_reviewer_id=row.reviewer_id, queue_us=queue_us)
        self.write(connection, row, new)
        return new

    def find_reviewer(self, connection: Connection, row: TaskRow) -> str | None:
        """Who is to get a task. Whoever has it, just had it, or ever gave it back, is not asked.

        Locks whom it compares, and who has it: one after the other would be out of order.
        """
        full_at = self.rules(connection).tasks_per_reviewer
        ids = staff.suitable(connection, row.kind, full_at=full_at)
        if not ids:
            return None
        had = row.reviewer_id or row.last_reviewer_id or ""
        locked = list(staff.lock_reviewers(connection, {*ids, had}).values())
        barred = self.barred(connection, row) | {had} | rows.released_by(connection, row.task_id)
        wanted = Wanted(row.kind, rows.marks_of(connection, row.task_id), frozenset(barred))
        return choose(wanted, self.candidates(connection, locked, full_at=full_at))

    def barred(self, connection: Connection, row: TaskRow) -> frozenset[str]:
        """Who never has this task; nor have they by another name of theirs."""
        return same_persons(connection, rows.bars_of(connection, row.task_id))

    def candidates(
        self, connection: Connection, reviewers: Collection[ReviewerRow], *, full_at: int
    ) -> list[Candidate]:
        """Reviewers as the choice sees them."""
        ids = [one.reviewer_id for one in reviewers]
        skills, marks = staff.skills_of(connection, ids), staff.marks_of(connection, ids)
        return [
            Candidate(
                one.reviewer_id,
                skills.get(one.reviewer_id, frozenset()),
                load=one.load,
                capacity=capacity_of(one, full_at=full_at),
                last_us=one.last_us,
                marks=marks.get(one.reviewer_id, frozenset()),
                away=one.away,
                suspended=one.suspended,
            )
            for one in reviewers
        ]

    def try_assign(self, connection: Connection, row: TaskRow, event: EventKind) -> TaskRow | None:
        """Give a task to whoever suits best; None, and nothing changed, where nobody does."""
        found = self.find_reviewer(connection, row)
        if found is None:
            return None
        new = self.give(connection, row, found)
        self.tell(connection, new, event, SERVICE, reviewer_id=found)
        return new


def capacity_of(reviewer: ReviewerRow, *, full_at: int) -> int:
    """Tasks at a time: the reviewer's own number, and never more than the rules allow."""
    return min(reviewer.capacity or full_at, full_at)


def reviewer_of(caller: Caller) -> str:
    """The id of a person who calls.

    Raises:
        ServiceError: REVIEWER_NOT_FOUND: what calls is no person.
    """
    if caller.kind is not Kind.USER:
        raise ServiceError(Reason.REVIEWER_NOT_FOUND, "Only people review.")
    return caller.name


def not_found() -> ServiceError:
    """There is no such task."""
    return ServiceError(Reason.REVIEW_TASK_NOT_FOUND, "There is no such review task.")


def _burdened(row: TaskRow) -> str | None:
    return row.reviewer_id if row.state == TaskState.ASSIGNED else None
