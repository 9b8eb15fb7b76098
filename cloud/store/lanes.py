"""Reads the newest rows of all devices, from indexes that are not led by time.

An index whose first column grows with time puts all new rows of all devices at its one end: on an engine
that spreads an index over machines by ranges, one machine gets them all. So each device has a lane, and an
index is led by it: new rows go to as many places as there are lanes, and the newest of all are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Column, ColumnElement, Select, Table, select, union_all

LANES = 8
"""Enough for a cluster of that many machines in a busy minute; each is one more place to look at in a list.
It can never change: rows keep the lane that they were written with."""


def lane_of(device_id: str) -> int:
    """The lane of a device."""
    return crc32(device_id.encode()) % LANES


def first_of_all(
    table: Table,
    columns: Sequence[Column[Any]],
    conditions: Sequence[ColumnElement[bool]],
    *,
    order: Sequence[tuple[Column[Any], bool]],
    limit: int,
) -> Select[Any]:
    """The first ``limit`` rows over all lanes; ``order``: columns, and whether they descend."""
    lanes = [
        select(*columns)
        .where(table.c.lane == lane, *conditions)
        .order_by(*(column.desc() if down else column for column, down in order))
        .limit(limit)
        .subquery()
        for lane in range(LANES)
    ]
    merged = union_all(*map(select, lanes)).subquery()
    ends = [(merged.c[column.name], down) for column, down in order]
    return select(merged).order_by(*(column.desc() if down else column for column, down in ends)).limit(limit)
