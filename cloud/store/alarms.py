"""Rows of alarms: what a person should look into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, func, insert, select, update

from cloud.store.lanes import LANES, lane_of
from cloud.store.schema import alarms
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """``alarm_id`` is a UUID version 7, so that ids ascend with time; ``kind`` a number of AlarmKind."""

    device_id: str
    alarm_id: str
    kind: int
    raised_us: int
    chain_epoch: int
    seq: int
    reason: str
    acknowledged_us: int | None = None


_COLUMNS = [alarms.c[field.name] for field in fields(AlarmRow)]


def add_alarm(connection: Connection, row: AlarmRow) -> None:
    """Raise an alarm."""
    connection.execute(insert(alarms).values(**to_values(row), lane=lane_of(row.device_id)))


def get_alarm(connection: Connection, alarm_id: str) -> AlarmRow | None:
    """Read one alarm."""
    query = select(*_COLUMNS).where(alarms.c.lane.in_(range(LANES)), alarms.c.alarm_id == alarm_id)
    row = connection.execute(query).one_or_none()
    return AlarmRow(**row._mapping) if row else None


def acknowledge(connection: Connection, row: AlarmRow, *, now_us: int) -> bool:
    """Close an alarm; False where it was closed already."""
    result = connection.execute(
        update(alarms)
        .where(
            alarms.c.device_id == row.device_id,
            alarms.c.alarm_id == row.alarm_id,
            alarms.c.acknowledged_us.is_(None),
        )
        .values(acknowledged_us=now_us)
    )
    return bool(result.rowcount == 1)


def has_open(
    connection: Connection, device_id: str, *, kind: int | None = None, chain_epoch: int | None = None
) -> bool:
    """Whether nobody has acknowledged an alarm of a device, of this kind and epoch where they are given."""
    query = select(alarms.c.alarm_id).where(
        alarms.c.device_id == device_id, alarms.c.acknowledged_us.is_(None)
    )
    if kind is not None:
        query = query.where(alarms.c.kind == kind)
    if chain_epoch is not None:
        query = query.where(alarms.c.chain_epoch == chain_epoch)
    return connection.execute(query.limit(1)).first() is not None


def was_raised(connection: Connection, device_id: str, *, kind: int, chain_epoch: int, seq: int) -> bool:
    """Whether an alarm of this kind was ever raised for this place."""
    query = select(alarms.c.alarm_id).where(
        alarms.c.device_id == device_id,
        alarms.c.kind == kind,
        alarms.c.chain_epoch == chain_epoch,
        alarms.c.seq == seq,
    )
    return connection.execute(query).first() is not None


def count_open(connection: Connection, device_ids: Sequence[str]) -> dict[str, int]:
    """How many alarms are open, for those of these devices that have any."""
    query = (
        select(alarms.c.device_id, func.count().label("open"))
        .where(alarms.c.device_id.in_(device_ids), alarms.c.acknowledged_us.is_(None))
        .group_by(alarms.c.device_id)
    )
    return {row.device_id: row.open for row in connection.execute(query)}
