"""Rows of review tasks: their check items, what happened to them, and second reviews."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, union_all, update

from cloud.store.schema import (
    review_bars,
    review_checks,
    review_events,
    review_task_marks,
    review_tasks,
    second_reviews,
)
from cloud.store.values import insert_many, to_values
from verifield.v1 import review_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class TaskRow:
    """``supplement`` and ``reasons`` are sealed; see the table for the times."""

    task_id: str
    kind: int
    subject: str
    account_id: str
    state: int
    reviewer_id: str | None
    last_reviewer_id: str | None
    opened_us: int
    at_us: int
    left_us: int | None
    queue_us: int
    overdue_count: int
    supplement_count: int
    outcome: int | None
    first_task_id: str | None
    supplement: bytes | None
    reasons: bytes | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """``result`` is 0 until somebody records one; ``remark`` is sealed."""

    task_id: str
    position: int
    account_id: str
    item: str
    result: int = pb.CHECK_RESULT_UNSPECIFIED
    remark: bytes | None = None
    recorded_us: int | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """``note`` is sealed."""

    task_id: str
    number: int
    account_id: str
    kind: int
    time_us: int
    actor: str
    reviewer_id: str | None = None
    item: str = ""
    result: int = pb.CHECK_RESULT_UNSPECIFIED
    note: bytes | None = None


@dataclass(frozen=True, slots=True)
class SecondRow:
    """``task_id`` is that of the second task."""

    task_id: str
    first_task_id: str
    state: int
    opened_us: int
    ended_us: int | None = None


TASK_COLUMNS = [review_tasks.c[field.name] for field in fields(TaskRow)]

# Said as the partial indexes say it: parameters there would keep them from being used.
_LIVE_FIRST = text("state < 4 AND first_task_id IS NULL")
_OPEN = text("state = 1")


def add_task(
    connection: Connection,
    row: TaskRow,
    *,
    marks: Collection[bytes],
    items: Sequence[str],
    barred: Collection[str] = (),
) -> None:
    """Insert a task with the applicant's marks, its check items, and who must not have it."""
    connection.execute(insert(review_tasks).values(**to_values(row)))
    own = {"task_id": row.task_id, "account_id": row.account_id}
    insert_many(
        connection,
        review_task_marks,
        [own | {"position": place, "mark": mark} for place, mark in enumerate(sorted(set(marks)))],
    )
    insert_many(
        connection,
        review_checks,
        [
            own | {"position": place, "item": item, "result": pb.CHECK_RESULT_UNSPECIFIED}
            for place, item in enumerate(items)
        ],
    )
    insert_many(
        connection, review_bars, [{"task_id": row.task_id, "reviewer_id": one} for one in sorted(set(barred))]
    )


def get_task(connection: Connection, task_id: str, *, lock: bool = False) -> TaskRow | None:
    """Read one task; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*TASK_COLUMNS).where(review_tasks.c.task_id == task_id)
    return _task(connection.execute(query.with_for_update() if lock else query).one_or_none())


def live_task(connection: Connection, subject: str, *, lock: bool = False) -> TaskRow | None:
    """The task of a subject that has not ended; second reviews are none."""
    query = select(*TASK_COLUMNS).where(review_tasks.c.subject == subject, _LIVE_FIRST)
    return _task(connection.execute(query.with_for_update() if lock else query).one_or_none())


def has_task(connection: Connection, subject: str, reviewer_id: str) -> bool:
    """Whether a reviewer has a task of a subject, the first or a second one, that has not ended."""
    query = select(review_tasks.c.task_id).where(
        review_tasks.c.reviewer_id == reviewer_id,
        text("state < 4"),
        review_tasks.c.subject == subject,
    )
    return connection.execute(query.limit(1)).first() is not None


def newest_task(connection: Connection, subject: str, account_id: str) -> TaskRow | None:
    """The newest task of a subject, whatever its state; second reviews are none."""
    query = (
        select(*TASK_COLUMNS)
        .where(
            review_tasks.c.account_id == account_id,
            review_tasks.c.subject == subject,
            review_tasks.c.first_task_id.is_(None),
        )
        .order_by(review_tasks.c.task_id.desc())
        .limit(1)
    )
    return _task(connection.execute(query).one_or_none())


def change_task(connection: Connection, row: TaskRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    for name in ("task_id", "kind", "subject", "account_id", "opened_us", "first_task_id"):
        del values[name]
    connection.execute(update(review_tasks).where(review_tasks.c.task_id == row.task_id).values(**values))


def queue(connection: Connection, kind: int, *, until_us: int, limit: int) -> list[str]:
    """Ids of tasks of a kind that nobody has, in their order."""
    query = (
        select(review_tasks.c.task_id)
        .where(review_tasks.c.kind == kind, _OPEN, review_tasks.c.queue_us <= until_us)
        .order_by(review_tasks.c.queue_us, review_tasks.c.task_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def next_of_kinds(connection: Connection, kinds: Sequence[int], *, limit: int) -> list[str]:
    """Ids of tasks of these kinds that nobody has: the first of each kind, in the order of all."""
    if not kinds:
        return []
    at, task_id = review_tasks.c.queue_us, review_tasks.c.task_id
    parts = [
        select(at, task_id)
        .where(review_tasks.c.kind == kind, _OPEN)
        .order_by(at, task_id)
        .limit(limit)
        .subquery()
        for kind in kinds
    ]
    merged = union_all(*map(select, parts)).subquery()
    query = select(merged.c.task_id).order_by(merged.c.queue_us, merged.c.task_id).limit(limit)
    return list(connection.execute(query).scalars())


def due(connection: Connection, state: int, *, until_us: int, limit: int) -> list[str]:
    """Ids of tasks in a state whose time has come, the longest due first."""
    query = (
        select(review_tasks.c.task_id)
        .where(review_tasks.c.state == state, review_tasks.c.at_us <= until_us)
        .order_by(review_tasks.c.at_us, review_tasks.c.task_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def held_by(connection: Connection, reviewer_id: str, states: Collection[int], *, limit: int) -> list[str]:
    """Ids of tasks that a reviewer has, in the order of ids: in which they are locked."""
    query = (
        select(review_tasks.c.task_id)
        .where(review_tasks.c.reviewer_id == reviewer_id, review_tasks.c.state.in_(states))
        .limit(limit)
    )
    return sorted(connection.execute(query).scalars())


def marks_of(connection: Connection, task_id: str) -> frozenset[bytes]:
    """The applicant's marks."""
    query = select(review_task_marks.c.mark).where(
        review_task_marks.c.task_id == task_id, review_task_marks.c.mark.is_not(None)
    )
    return frozenset(map(bytes, connection.execute(query).scalars()))


def add_marks(connection: Connection, row: TaskRow, marks: Collection[bytes]) -> None:
    """What the applicant shares by now, beside what is known; nothing is forgotten."""
    new = sorted(set(marks) - marks_of(connection, row.task_id))
    place = review_task_marks.c.position
    query = select(func.max(place)).where(review_task_marks.c.task_id == row.task_id)
    last = connection.execute(query).scalar()
    first = 0 if last is None else last + 1
    own = {"task_id": row.task_id, "account_id": row.account_id}
    insert_many(
        connection,
        review_task_marks,
        [own | {"position": number, "mark": mark} for number, mark in enumerate(new, start=first)],
    )


def bars_of(connection: Connection, task_id: str) -> frozenset[str]:
    """Reviewers who must not have a task."""
    query = select(review_bars.c.reviewer_id).where(review_bars.c.task_id == task_id)
    return frozenset(connection.execute(query).scalars())


def checks_of(connection: Connection, task_id: str) -> list[CheckRow]:
    """The check items of a task, in their order."""
    columns = [review_checks.c[field.name] for field in fields(CheckRow)]
    query = select(*columns).where(review_checks.c.task_id == task_id).order_by(review_checks.c.position)
    return [CheckRow(**row._mapping) for row in connection.execute(query)]


def record_check(connection: Connection, row: CheckRow) -> None:
    """Write the result of a check item, in the place of an earlier one."""
    connection.execute(
        update(review_checks)
        .where(review_checks.c.task_id == row.task_id, review_checks.c.position == row.position)
        .values(result=row.result, remark=row.remark, recorded_us=row.recorded_us)
    )


def clear_checks(connection: Connection, task_id: str) -> None:
    """All of them are to be done again: there is new material."""
    connection.execute(
        update(review_checks)
        .where(review_checks.c.task_id == task_id)
        .values(result=pb.CHECK_RESULT_UNSPECIFIED, remark=None, recorded_us=None)
    )


def next_number(connection: Connection, task_id: str) -> int:
    """Of the next event of a task whose row is locked."""
    query = select(func.max(review_events.c.number)).where(review_events.c.task_id == task_id)
    return (connection.execute(query).scalar() or 0) + 1


def add_event(connection: Connection, row: EventRow) -> None:
    """Append an event."""
    connection.execute(insert(review_events).values(**to_values(row)))


def events_of(
    connection: Connection, task_id: str, *, behind: int = 0, limit: int, kinds: Collection[int] = ()
) -> list[EventRow]:
    """Events of a task, oldest first; only of these kinds, where some are given."""
    columns = [review_events.c[field.name] for field in fields(EventRow)]
    query = (
        select(*columns)
        .where(review_events.c.task_id == task_id, review_events.c.number > behind)
        .where(*([review_events.c.kind.in_(kinds)] if kinds else []))
        .order_by(review_events.c.number)
        .limit(limit)
    )
    return [EventRow(**row._mapping) for row in connection.execute(query)]


def released_by(connection: Connection, task_id: str) -> frozenset[str]:
    """Reviewers who gave a task back."""
    query = select(review_events.c.reviewer_id).where(
        review_events.c.task_id == task_id, review_events.c.kind == pb.REVIEW_EVENT_KIND_RELEASED
    )
    return frozenset(connection.execute(query).scalars())


def add_second(connection: Connection, row: SecondRow) -> None:
    """Note that a decision gets a second review."""
    connection.execute(insert(second_reviews).values(**to_values(row)))


def get_second(connection: Connection, task_id: str, *, lock: bool = False) -> SecondRow | None:
    """By the second task."""
    columns = [second_reviews.c[field.name] for field in fields(SecondRow)]
    query = select(*columns).where(second_reviews.c.task_id == task_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return SecondRow(**row._mapping) if row else None


def change_second(connection: Connection, task_id: str, *, state: int, ended_us: int) -> None:
    """A second review was decided or settled."""
    connection.execute(
        update(second_reviews)
        .where(second_reviews.c.task_id == task_id)
        .values(state=state, ended_us=ended_us)
    )


def _task(found: Row[*tuple[Any, ...]] | None) -> TaskRow | None:
    return TaskRow(**found._mapping) if found else None
