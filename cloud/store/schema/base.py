"""What all tables belong to, and what several of them have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, MetaData, SmallInteger, TextClause

metadata = MetaData()


def lane_column() -> Column[int]:
    """The lane of the row's device: leads what would else be led by time, see ``cloud.store.lanes``."""
    return Column("lane", SmallInteger, nullable=False)


def where(condition: TextClause) -> dict[str, Any]:
    """Options of an index over some rows only."""
    return {"sqlite_where": condition, "postgresql_where": condition}
