"""The queries behind the lists of reviews: each reads its first rows from an index, whatever is asked for.

Tasks are listed by their time and id. Filters are equalities in front of these in an index; where one of
them is open, the first rows of each of its few values are merged.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    or_,
    select,
    text,
    union_all,
)

from cloud.store.reviewers import CASE_COLUMNS
from cloud.store.reviews import TASK_COLUMNS, TaskRow
from cloud.store.schema import discipline_cases, review_tasks, second_reviews

# Said as the partial indexes say it: a parameter there would keep them from being used.
_OVERDUE = text("overdue_count > 0")


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """``kind`` None: any of ``all_kinds``. An empty reviewer does not filter."""

    states: tuple[int, ...]
    kind: int | None
    all_kinds: tuple[int, ...]
    reviewer_id: str = ""
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """The last row of the page before."""

    at_us: int
    task_id: str


def read_tasks(
    connection: Connection,
    wanted: TaskFilter,
    limit: int,
    *,
    behind: Behind | None = None,
    descending: bool = False,
) -> list[TaskRow]:
    """Tasks in order of their time, then of their id."""
    # The index over states alone has all kinds in one order; the others are led by the kind too.
    by_kind = wanted.kind is not None or bool(wanted.reviewer_id) or wanted.overdue
    kinds = (wanted.kind,) if wanted.kind is not None else wanted.all_kinds if by_kind else (None,)
    query = _select_tasks(
        _Shape(
            wanted.states,
            kinds,
            of_reviewer=bool(wanted.reviewer_id),
            overdue=wanted.overdue,
            behind=behind is not None,
            descending=descending,
        )
    )
    values: dict[str, Any] = {"limit": limit}
    if wanted.reviewer_id:
        values["reviewer"] = wanted.reviewer_id
    if behind is not None:
        values |= {"behind_us": behind.at_us, "behind_id": behind.task_id}
    return [TaskRow(**row._mapping) for row in connection.execute(query, values)]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What makes another statement, and not only other values in it."""

    states: tuple[int, ...]
    kinds: tuple[int | None, ...]
    of_reviewer: bool
    overdue: bool
    behind: bool
    descending: bool


@lru_cache(maxsize=1024)  # more than there are; making one takes longer than it takes to answer
def _select_tasks(shape: _Shape) -> Select[Any]:
    at, task_id = review_tasks.c.at_us, review_tasks.c.task_id
    order = [at.desc(), task_id.desc()] if shape.descending else [at, task_id]
    parts = [
        select(*TASK_COLUMNS)
        .where(*_conditions(shape, state, kind))
        .order_by(*order)
        .limit(bindparam("limit"))
        for state, kind in product(shape.states, shape.kinds)
    ]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    ends = (merged.c.at_us, merged.c.task_id)
    return (
        select(merged)
        .order_by(*(end.desc() if shape.descending else end for end in ends))
        .limit(bindparam("limit"))
    )


def _conditions(shape: _Shape, state: int, kind: int | None) -> list[ColumnElement[bool]]:
    found: list[Any] = [review_tasks.c.state == state]
    if kind is not None:
        found.append(review_tasks.c.kind == kind)
    if shape.of_reviewer:
        found.append(review_tasks.c.reviewer_id == bindparam("reviewer"))
    if shape.overdue:
        found.append(_OVERDUE)
    if not shape.behind:
        return found
    at, task_id = review_tasks.c.at_us, review_tasks.c.task_id
    last_us: BindParameter[int] = bindparam("behind_us")
    last_id: BindParameter[str] = bindparam("behind_id")
    # The first condition alone bounds the index; rows of one microsecond are few.
    if shape.descending:
        return [*found, at <= last_us, or_(at < last_us, and_(at == last_us, task_id < last_id))]
    return [*found, at >= last_us, or_(at > last_us, and_(at == last_us, task_id > last_id))]


def select_seconds(states: Collection[int], limit: int, *, behind: str = "") -> Select[Any]:
    """Second reviews, newest first."""
    return _newest(second_reviews, list(second_reviews.c), "task_id", states, limit, behind=behind)


def select_cases(
    states: Collection[int], limit: int, *, behind: str = "", reviewer_id: str = ""
) -> Select[Any]:
    """Discipline cases, newest first."""
    return _newest(
        discipline_cases,
        CASE_COLUMNS,
        "case_id",
        states,
        limit,
        behind=behind,
        more=[discipline_cases.c.reviewer_id == reviewer_id] if reviewer_id else [],
    )


def _newest(
    table: Table,
    columns: list[Any],
    key: str,
    states: Collection[int],
    limit: int,
    *,
    behind: str,
    more: Collection[ColumnElement[bool]] = (),
) -> Select[Any]:
    at = table.c[key]
    parts = [
        select(*columns)
        .where(table.c.state == state, *more, *([at < behind] if behind else []))
        .order_by(at.desc())
        .limit(limit)
        .subquery()
        for state in states
    ]
    merged = union_all(*map(select, parts)).subquery()
    return select(merged).order_by(merged.c[key].desc()).limit(limit)
