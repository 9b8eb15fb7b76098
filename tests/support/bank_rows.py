"""All rows of tables as they stand, to see that nothing changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, select

from cloud.store.schema import metadata
from tests.support.cloud import RunningCloud

ROOM = (
    "bank",
    "coop_",
    "customer",
    "person_keys",
    "kept_answers",
    "audit_events",
    "used_evidence",
)
"""Beginnings of the names of all tables that a call may change."""


def dump(cloud: RunningCloud, *begins: str) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by table, of those whose name begins so."""
    with cloud.database() as connection:
        known = set(inspect(connection).get_table_names())
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(*table.c))), key=repr)
            for table in metadata.sorted_tables
            if table.name in known and table.name.startswith(begins or ROOM)
        }
