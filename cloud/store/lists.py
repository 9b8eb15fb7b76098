"""The queries behind the lists that operators page through, each in the order of an index.

A page begins behind a position: the id of a device or an alarm, the login of a user, the log
index of a record.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    literal,
    literal_column,
    select,
    tuple_,
)

from cloud.store.alarms import AlarmRow
from cloud.store.attestations import SummaryRow
from cloud.store.devices import DeviceRow
from cloud.store.lanes import first_of_all
from cloud.store.schema import alarms, attestations, devices, log_leaves, user_roles, users
from cloud.store.users import UserRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PLACE = ("device_id", "chain_epoch", "seq")


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a page begins: ``behind`` a position (None: at the first), and in which direction it goes."""

    behind: Any | None
    descending: bool

    def cut(self, column: Column[Any]) -> list[ColumnElement[bool]]:
        """The condition that a row is on this page or a later one."""
        if self.behind is None:
            return []
        return [column < self.behind if self.descending else column > self.behind]

    def order(self, column: Column[Any]) -> ColumnElement[Any]:
        return column.desc() if self.descending else column.asc()


def select_devices(begin: Begin, limit: int, *, state: int = 0, site_id: str = "") -> Select[Any]:
    """Devices in order of id; empty or zero filters do not filter."""
    at = devices.c.device_id
    query = select(*_columns(devices, DeviceRow)).where(*begin.cut(at)).order_by(begin.order(at)).limit(limit)
    if state:
        query = query.where(devices.c.state == state)
    return query.where(devices.c.site_id == site_id) if site_id else query


def select_alarms(begin: Begin, limit: int, *, device_id: str = "", open_only: bool = False) -> Select[Any]:
    """Alarms in order of id, which is that of time; an empty device does not filter."""
    at, columns = alarms.c.alarm_id, _columns(alarms, AlarmRow)
    conditions = begin.cut(at)
    if open_only:
        conditions.append(alarms.c.acknowledged_us.is_(None))
    if device_id:
        query = select(*columns).where(alarms.c.device_id == device_id, *conditions)
        return query.order_by(begin.order(at)).limit(limit)
    return first_of_all(alarms, columns, conditions, order=[(at, begin.descending)], limit=limit)


def select_attestations(
    connection: Connection, begin: Begin, limit: int, *, device_id: str = "", outcome: int = 0
) -> Select[Any]:
    """Records in order of the log; empty or zero filters do not filter."""
    at, columns = attestations.c.log_index, _columns(attestations, SummaryRow)
    if device_id:
        query = _of_device(connection, device_id, begin).limit(limit)
        return query.where(attestations.c.outcome == outcome) if outcome else query
    if outcome:
        # Said as the index says it: a parameter there would keep it from being used.
        conditions = [attestations.c.outcome == outcome, literal_column("outcome > 0"), *begin.cut(at)]
        return first_of_all(attestations, columns, conditions, order=[(at, begin.descending)], limit=limit)
    leaf = log_leaves.c.log_index
    same = and_(*(attestations.c[name] == log_leaves.c[name] for name in _PLACE))
    query = select(*columns).join(log_leaves, same).where(*begin.cut(leaf))
    return query.order_by(begin.order(leaf)).limit(limit)


def select_users(begin: Begin, limit: int, *, state: int = 0, role: int = 0) -> Select[Any]:
    """Users in order of login; zero filters do not filter."""
    at = users.c.login
    query = select(*_columns(users, UserRow)).where(*begin.cut(at)).order_by(begin.order(at)).limit(limit)
    if state:
        query = query.where(users.c.state == state)
    if role:
        having = select(user_roles.c.user_id).where(user_roles.c.role == role)
        query = query.where(users.c.user_id.in_(having))
    return query


def _of_device(connection: Connection, device_id: str, begin: Begin) -> Select[Any]:
    """The records of one device: in the order of its chain, which is that of the log."""
    place = attestations.c.chain_epoch, attestations.c.seq
    query = select(*_columns(attestations, SummaryRow)).where(attestations.c.device_id == device_id)
    query = query.order_by(*map(begin.order, place))
    if begin.behind is None:
        return query
    leaf = select(log_leaves.c.device_id, log_leaves.c.chain_epoch, log_leaves.c.seq)
    end = connection.execute(leaf.where(log_leaves.c.log_index == begin.behind)).one_or_none()
    if end is not None and end.device_id == device_id:  # the last one of the page before
        last = tuple_(literal(end.chain_epoch), literal(end.seq))
        query = query.where(tuple_(*place) < last if begin.descending else tuple_(*place) > last)
    return query.where(*begin.cut(attestations.c.log_index))


def _columns(table: Table, row: type[DataclassInstance]) -> list[Column[Any]]:
    return [table.c[field.name] for field in fields(row)]
