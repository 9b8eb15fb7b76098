"""Rows beside the applications: rules in editions, limits, measures, what is to be certified again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from cloud.store.certifications import ApplicationRow
from cloud.store.schema import certification_applications as applications
from cloud.store.schema import certification_measures as measures
from cloud.store.schema import certification_meters as meters
from cloud.store.schema import certification_recerts as recerts
from cloud.store.schema import certification_rounds as rounds
from cloud.store.schema import certification_rules as rules
from cloud.store.values import insert_new, to_values

TYPE = "TYPE"
DECLARATION = "DECLARATION"

_PASSED = 5


@dataclass(frozen=True, slots=True)
class RuleRow:
    """``content``: a serialised CertificationType or CertificationText."""

    kind: str
    code: str
    version: int
    content: bytes
    effective_us: int
    author: str
    created_us: int


@dataclass(frozen=True, slots=True)
class MeterRow:
    """What began before ``counted_from_us`` does not count; nothing begins before ``blocked_until_us``."""

    account_id: str
    counted_from_us: int
    blocked_until_us: int


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """``reason`` is sealed."""

    measure_id: str
    account_id: str
    kind: int
    application_id: str | None
    reason: bytes | None
    caller: str
    at_us: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One day's look through all certifications. ``position``: the last one that was looked at."""

    day: str
    position: str
    checked: int
    flagged: int
    started_us: int
    ended_us: int | None


def add_rule(connection: Connection, row: RuleRow) -> bool:
    """Insert one; False where its version is there already."""
    return insert_new(connection, rules, to_values(row))


def rules_of(connection: Connection, kind: str, *, code: str | None = None) -> list[RuleRow]:
    """All editions of a kind, the oldest first."""
    query = select(*rules.c).where(rules.c.kind == kind).order_by(rules.c.code, rules.c.version)
    if code is not None:
        query = query.where(rules.c.code == code)
    return [RuleRow(**row._mapping) for row in connection.execute(query)]


def lock_meter(connection: Connection, account_id: str) -> MeterRow:
    """The meter of an account, made where there is none; nobody else has it until this transaction ends."""
    insert_new(connection, meters, to_values(MeterRow(account_id, 0, 0)))
    query = select(*meters.c).where(meters.c.account_id == account_id).with_for_update()
    return MeterRow(**connection.execute(query).one()._mapping)


def change_meter(connection: Connection, row: MeterRow) -> None:
    """Write one that was locked."""
    values = {"counted_from_us": row.counted_from_us, "blocked_until_us": row.blocked_until_us}
    connection.execute(update(meters).where(meters.c.account_id == row.account_id).values(**values))


def add_measure(connection: Connection, row: MeasureRow) -> None:
    """Insert one."""
    connection.execute(insert(measures).values(**to_values(row)))


def measures_of(connection: Connection, account_id: str) -> list[MeasureRow]:
    """Oldest first."""
    query = select(*measures.c).where(measures.c.account_id == account_id).order_by(measures.c.measure_id)
    return [MeasureRow(**row._mapping) for row in connection.execute(query)]


def add_recert(
    connection: Connection, application_id: str, *, why: int, account_id: str, now_us: int
) -> bool:
    """Note that something has to be certified again; False where that is noted, and was not settled."""
    values: dict[str, Any] = {
        "application_id": application_id,
        "why": why,
        "account_id": account_id,
        "created_us": now_us,
        "settled_us": None,
    }
    again = update(recerts).where(
        recerts.c.application_id == application_id,
        recerts.c.why == why,
        recerts.c.settled_us.is_not(None),
    )
    if insert_new(connection, recerts, values):
        return True
    return connection.execute(again.values(created_us=now_us, settled_us=None)).rowcount == 1


def recerts_of(connection: Connection, application_id: str) -> list[int]:
    """Why an application has to be made again, or handed in again."""
    query = (
        select(recerts.c.why)
        .where(recerts.c.application_id == application_id, recerts.c.settled_us.is_(None))
        .order_by(recerts.c.why)
    )
    return list(connection.execute(query).scalars())


def settle_recerts(connection: Connection, account_id: str, type_code: str, *, now_us: int) -> None:
    """A new one of this type was passed."""
    of_type = select(applications.c.application_id).where(
        applications.c.account_id == account_id, applications.c.type_code == type_code
    )
    _settle(connection, recerts.c.application_id.in_(of_type), now_us=now_us)


def settle_recerts_of(connection: Connection, application_id: str, *, now_us: int) -> None:
    """It was handed in again."""
    _settle(connection, recerts.c.application_id == application_id, now_us=now_us)


def _settle(connection: Connection, which: ColumnElement[bool], *, now_us: int) -> None:
    change = update(recerts).where(which, recerts.c.settled_us.is_(None))
    connection.execute(change.values(settled_us=now_us))


def begin_round(connection: Connection, day: str, *, now_us: int) -> RoundRow:
    """The round of a day, locked; begun where nobody did."""
    insert_new(connection, rounds, to_values(RoundRow(day, "", 0, 0, now_us, None)))
    query = select(*rounds.c).where(rounds.c.day == day).with_for_update()
    return RoundRow(**connection.execute(query).one()._mapping)


def get_round(connection: Connection, day: str) -> RoundRow | None:
    """The round of a day, where one was begun."""
    found = connection.execute(select(*rounds.c).where(rounds.c.day == day)).one_or_none()
    return RoundRow(**found._mapping) if found else None


def change_round(connection: Connection, row: RoundRow) -> None:
    """Write one that was locked."""
    values = to_values(row)
    del values["day"], values["started_us"]
    connection.execute(update(rounds).where(rounds.c.day == row.day).values(**values))


def passed_after(connection: Connection, position: str, *, limit: int) -> list[ApplicationRow]:
    """Applications that count as passed, behind a position; no other one took their place."""
    query = (
        select(*applications.c)
        .where(
            applications.c.state == _PASSED,
            applications.c.application_id > position,
            applications.c.superseded_us.is_(None),
        )
        .order_by(applications.c.application_id)
        .limit(limit)
        .with_for_update()
    )
    return [ApplicationRow(**row._mapping) for row in connection.execute(query)]
