"""What reviews do by themselves: queues move, time limits pass, deadlines for supplements pass.

Each task is a transaction of its own: it is read again behind its lock, so that two servers may find the
same task and one of them does something. What a room's handler refuses does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from cloud.errors import ServiceError
from cloud.reviews.core import SERVICE, URGENT_US, Core
from cloud.reviews.manage import HELD, move_on
from cloud.reviews.port import ReviewKind
from cloud.reviews.states import MACHINE, TaskEvent, TaskState
from cloud.sources import from_us, to_us
from cloud.store import reviewers as staff
from cloud.store import reviews as rows
from cloud.store.database import Store
from cloud.store.reviews import TaskRow
from cloud.upkeep import Job
from verifield.v1 import review_service_pb2 as pb

AT_ONCE = 200
"""Tasks in one run of a job: a few seconds; where there were as many, the next run follows at once."""

EVERY_S = 5.0
"""A task that could not be given at once waits a moment, not minutes."""

LATE_EVERY_S = 30.0
"""Time limits are hours and days."""

AGAIN_AFTER = timedelta(minutes=10)
"""Until a task is tried again that nobody may have: those behind it are tried meanwhile."""

Count = Callable[[str], None]
"""Told the kind of each task whose time limit has passed."""

Turn = Callable[[Connection, TaskRow], str | None]
"""What is done with one task: None for nothing; a kind where a time limit was missed; else an empty text."""


def _count_nothing(_kind: str) -> None:
    """Where nobody scrapes."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Run by any number of servers at the same time."""

    core: Core
    store: Store
    overdue: Count = _count_nothing

    def jobs(self) -> list[Job]:
        """All that there is to do."""
        return [
            Job("reviews.assign", self.assign, EVERY_S, full=AT_ONCE),
            Job("reviews.overdue", self.find_overdue, LATE_EVERY_S, full=AT_ONCE),
            Job("reviews.expire", self.expire_supplements, LATE_EVERY_S, full=AT_ONCE),
            Job("reviews.stranded", self.move_stranded, LATE_EVERY_S, full=AT_ONCE),
        ]

    def assign(self) -> int:
        """Give tasks that nobody has to reviewers, as long as somebody has room; return how many it gave."""
        given = 0
        for kind in self.core.handlers:
            with self.store.reading() as connection:
                full_at = self.core.rules(connection).tasks_per_reviewer
                room = staff.suitable(connection, kind, full_at=full_at)
                ids = rows.queue(connection, kind, until_us=self.core.now_us, limit=AT_ONCE) if room else []
            given += self._each(ids, self._assign_one)
        return given

    def find_overdue(self) -> int:
        """Tell of time limits that have passed, put those tasks first, and give them to somebody else."""
        now_us = self.core.now_us
        with self.store.reading() as connection:
            ids = [
                task_id
                for state in (TaskState.ASSIGNED, TaskState.OPEN)
                for task_id in rows.due(connection, state, until_us=now_us, limit=AT_ONCE)
            ]
        return self._each(ids, self._miss_one)

    def expire_supplements(self) -> int:
        """End tasks whose applicants have not handed in what they were asked for."""
        with self.store.reading() as connection:
            ids = rows.due(connection, TaskState.WAITING_SUPPLEMENT, until_us=self.core.now_us, limit=AT_ONCE)
        return self._each(ids, self._expire_one)

    def move_stranded(self) -> int:
        """Move tasks of reviewers who were disabled, are reviewers no more, or were suspended with more tasks
        than one call moves.
        """
        with self.store.reading() as connection:
            held = {
                reviewer_id: rows.held_by(connection, reviewer_id, HELD, limit=AT_ONCE)
                for reviewer_id in staff.stranded(connection, limit=AT_ONCE)
            }
        return sum(
            self._each(ids, partial(_move_one, self.core, reviewer_id)) for reviewer_id, ids in held.items()
        )

    def _each(self, ids: Iterable[str], work: Turn) -> int:
        """Do ``work`` with each task, locked; return how often it did something.

        Raises:
            ServiceError: the last of those that handlers raised, after all tasks were tried.
        """
        done, fault = 0, None
        for task_id in ids:
            try:
                told = self.store.run(partial(self._one, task_id, work))
            except ServiceError as error:
                fault = error
                continue
            if told is not None:
                done += 1
            if told:
                self.overdue(told)
        if fault is not None:
            raise fault
        return done

    def _one(self, task_id: str, work: Turn, connection: Connection) -> str | None:
        return work(connection, self.core.hold(connection, task_id))

    def _assign_one(self, connection: Connection, row: TaskRow) -> str | None:
        core = self.core
        if row.state != TaskState.OPEN:
            return None
        event = pb.REVIEW_EVENT_KIND_REASSIGNED if row.last_reviewer_id else pb.REVIEW_EVENT_KIND_ASSIGNED
        if core.try_assign(connection, row, event) is not None:
            return ""
        full_at = core.rules(connection).tasks_per_reviewer
        if not staff.suitable(connection, row.kind, full_at=full_at):  # it keeps its place
            return None
        again_us = to_us(from_us(core.now_us) + AGAIN_AFTER)
        core.write(connection, row, replace(row, queue_us=again_us))
        return None

    def _miss_one(self, connection: Connection, row: TaskRow) -> str | None:
        core = self.core
        if not MACHINE.allows(TaskState(row.state), TaskEvent.MISS) or row.at_us > core.now_us:
            return None
        core.tell(connection, row, pb.REVIEW_EVENT_KIND_OVERDUE, SERVICE, reviewer_id=row.reviewer_id)
        # Who gets it now has half the time.
        new = replace(
            row,
            overdue_count=row.overdue_count + 1,
            at_us=core.now_us + core.decide_within_us(connection, row.kind) // 2,
            queue_us=URGENT_US,
        )
        core.write(connection, row, new)
        core.tell(connection, new, pb.REVIEW_EVENT_KIND_ESCALATED, SERVICE)
        # Where nobody else has room, who has it keeps it: that is better than nobody.
        event = pb.REVIEW_EVENT_KIND_REASSIGNED if row.reviewer_id else pb.REVIEW_EVENT_KIND_ASSIGNED
        core.try_assign(connection, new, event)
        return ReviewKind(row.kind).name

    def _expire_one(self, connection: Connection, row: TaskRow) -> str | None:
        core = self.core
        if row.state != TaskState.WAITING_SUPPLEMENT or row.at_us > core.now_us:
            return None
        state = MACHINE.after(TaskState(row.state), TaskEvent.EXPIRE)
        new = replace(row, state=int(state), at_us=core.now_us, left_us=None)
        core.write(connection, row, new)
        core.tell(
            connection,
            new,
            pb.REVIEW_EVENT_KIND_SUPPLEMENT_EXPIRED,
            SERVICE,
            reviewer_id=row.reviewer_id,
        )
        core.handler(row.kind).supplement_expired(connection, core.to_task(connection, new))
        return ""


def _move_one(core: Core, reviewer_id: str, connection: Connection, row: TaskRow) -> str | None:
    return "" if move_on(core, connection, row.task_id, reviewer_id) else None
