"""Reads pages of lists, also with conditions that no index helps with, at a bounded cost.

Rows are looked at in the order of an index, at most so many for a page. Where few of them meet the
condition, a page is shorter than was asked for, or empty, and the next one goes on behind the last row
that was looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, func, select

SCANNED_ROWS = 5000
"""Looked at for one page: some 20 ms, in which others are not held up."""

Condition = Callable[[FromClause], ColumnElement[bool]]
"""Makes the condition over columns of what it is given."""


@dataclass(frozen=True, slots=True)
class Page:
    """``end``: the position behind which the next page begins; None where this is the last one."""

    rows: list[Row[Any]]
    end: Any | None


def read_page(
    connection: Connection,
    read: Callable[[int], Select[Any]],
    *,
    size: int,
    position: str,
    descending: bool,
    condition: Condition | None = None,
) -> Page:
    """Up to ``size`` rows.

    ``read`` makes the query for so many rows behind where the page begins, in order of the column
    ``position``, whose values are all different.
    """
    if condition is None:
        rows = list(connection.execute(read(size + 1)))
        return _cut(rows, size, position)
    seen = read(SCANNED_ROWS).subquery()
    at = seen.c[position]
    query = select(seen).where(condition(seen)).order_by(at.desc() if descending else at).limit(size + 1)
    rows = list(connection.execute(query))
    if len(rows) > size:
        return _cut(rows, size, position)
    edge = func.min(at) if descending else func.max(at)
    count, last = connection.execute(select(func.count(), edge).select_from(seen)).one()
    return Page(rows, last if count == SCANNED_ROWS else None)


def _cut(rows: list[Row[Any]], size: int, position: str) -> Page:
    return Page(rows[:size], rows[size - 1]._mapping[position] if len(rows) > size else None)
