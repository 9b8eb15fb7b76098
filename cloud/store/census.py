"""Counts over the whole store, for figures and for a person who asks how things are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.exc import DBAPIError

from cloud.store.schema import alarms, devices, staged
from verifield.v1.device_service_pb2 import AlarmKind, DeviceState

COUNT_TIMEOUT_MS = 10_000
"""Where the engine can stop a statement: counting a million devices takes well under a second, and one that
takes longer than this is in trouble that figures would add to."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """By state and by kind: names of the contract's enums without prefix, lower case; 0 is counted too."""

    devices: dict[str, int]
    open_alarms: dict[str, int]
    oldest_alarm_us: int | None
    staged_records: int
    database_bytes: int | None
    schema_revision: str


def count(connection: Connection) -> StoreCounts:
    """Count, in the transaction of ``connection``.

    Raises:
        SQLAlchemyError: the database is away, or it took too long.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = {COUNT_TIMEOUT_MS}"))
    by_state = connection.execute(select(devices.c.state, func.count()).group_by(devices.c.state))
    open_ = alarms.c.acknowledged_us.is_(None)
    by_kind = connection.execute(select(alarms.c.kind, func.count()).where(open_).group_by(alarms.c.kind))
    oldest = connection.execute(select(func.min(alarms.c.raised_us)).where(open_)).scalar_one()
    return StoreCounts(
        devices=_named(by_state, DeviceState.items(), "DEVICE_STATE_"),
        open_alarms=_named(by_kind, AlarmKind.items(), "ALARM_KIND_"),
        oldest_alarm_us=oldest,
        staged_records=connection.execute(select(func.count()).select_from(staged)).scalar_one(),
        database_bytes=_size(connection),
        schema_revision=MigrationContext.configure(connection).get_current_revision() or "",
    )


def _named(rows: Iterable[Row[int, int]], names: Iterable[tuple[str, int]], prefix: str) -> dict[str, int]:
    known = {number: name.removeprefix(prefix).lower() for name, number in names if number}
    counted = dict.fromkeys(known.values(), 0)
    for number, many in rows:
        if number in known:
            counted[known[number]] = many
    return counted


def _size(connection: Connection) -> int | None:
    """Bytes, where the engine tells in a moment."""
    if connection.dialect.name == "sqlite":
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        return int(pages) * int(connection.execute(text("PRAGMA page_size")).scalar_one())
    try:
        with connection.begin_nested():  # engines that only speak PostgreSQL's language may not know it
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    except DBAPIError:
        return None
