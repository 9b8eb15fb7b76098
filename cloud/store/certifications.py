"""Rows of certifications: applications, their material and what happened to them, results, badges."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cloud.store.schema import certification_applications as applications
from cloud.store.schema import certification_badges as badges
from cloud.store.schema import certification_events as events
from cloud.store.schema import certification_materials as materials
from cloud.store.schema import certification_results as results
from cloud.store.values import insert_new, to_values

_CLOCKS_US = 60_000_000
"""Between the time of a decision and that in its id: a clock may be set in between."""


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """``form`` and ``supplement`` are sealed. ``result_id``: of the newest result."""

    application_id: str
    account_id: str
    type_code: str
    type_version: int
    process_version: int
    state: int
    form: bytes | None
    declaration_version: int | None
    declaration_sha256: bytes | None
    declared_us: int | None
    previous_id: str | None
    task_id: str | None
    reviewer: str | None
    supplement: bytes | None
    supplement_due_us: int | None
    result_id: str | None
    created_us: int
    updated_us: int
    decided_us: int | None
    superseded_us: int | None
    version: int


@dataclass(frozen=True, slots=True)
class MaterialRow:
    """``object_id``: where the content is."""

    material_id: str
    application_id: str
    category: int
    kind: str
    object_id: str
    created_us: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """``number`` counts the events of an application."""

    application_id: str
    number: int
    event: int
    state: int
    at_us: int
    reviewer: str | None
    due_us: int | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """``reasons`` are sealed. ``files``: JSON of names in the archive and ids of objects."""

    result_id: str
    application_id: str
    account_id: str
    type_code: str
    outcome: int
    reviewer: str
    reasons: bytes | None
    document_id: str
    files: str
    manifest_id: str
    decided_us: int


@dataclass(frozen=True, slots=True)
class BadgeRow:
    """``signed`` is sealed."""

    badge_id: str
    application_id: str
    account_id: str
    signed: bytes | None
    issued_us: int
    expires_us: int
    revoked_us: int | None
    revoked_why: int | None


def add_application(connection: Connection, row: ApplicationRow) -> bool:
    """Insert one; False where one of its type is open already."""
    return insert_new(connection, applications, to_values(row))


def get_application(
    connection: Connection, application_id: str, *, lock: bool = False
) -> ApplicationRow | None:
    """Read one; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*applications.c).where(applications.c.application_id == application_id)
    return _application(connection.execute(query.with_for_update() if lock else query).one_or_none())


def change_application(connection: Connection, row: ApplicationRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    for name in ("application_id", "account_id", "type_code", "type_version", "created_us"):
        del values[name]
    query = update(applications).where(applications.c.application_id == row.application_id)
    connection.execute(query.values(**values))


def supersede(connection: Connection, application_id: str, *, now_us: int) -> None:
    """Another one took the place of this one, which was passed."""
    query = update(applications).where(applications.c.application_id == application_id)
    connection.execute(query.values(superseded_us=now_us))


def applications_of(
    connection: Connection, account_id: str, states: Collection[int], *, lock: bool = False
) -> list[ApplicationRow]:
    """Those of an account in one of these states, the oldest first."""
    query = (
        select(*applications.c)
        .where(applications.c.account_id == account_id, applications.c.state.in_(states))
        .order_by(applications.c.application_id)
    )
    return [
        ApplicationRow(**row._mapping)
        for row in connection.execute(query.with_for_update() if lock else query)
    ]


def page_of_applications(
    connection: Connection, account_id: str, *, before: str, limit: int
) -> list[ApplicationRow]:
    """Those of an account, newest first; ``before``: the last one of the page before."""
    query = select(*applications.c).where(applications.c.account_id == account_id)
    if before:
        query = query.where(applications.c.application_id < before)
    query = query.order_by(applications.c.application_id.desc()).limit(limit)
    return [ApplicationRow(**row._mapping) for row in connection.execute(query)]


def count_created(connection: Connection, account_id: str, *, since_us: int) -> list[int]:
    """When the applications of an account since then were begun, ascending."""
    query = (
        select(applications.c.created_us)
        .where(applications.c.account_id == account_id, applications.c.created_us > since_us)
        .order_by(applications.c.created_us)
    )
    return list(connection.execute(query).scalars())


def add_material(connection: Connection, row: MaterialRow) -> None:
    """Insert one."""
    connection.execute(insert(materials).values(**to_values(row)))


def materials_of(connection: Connection, application_id: str) -> list[MaterialRow]:
    """In the order in which they came."""
    query = (
        select(*materials.c)
        .where(materials.c.application_id == application_id)
        .order_by(materials.c.material_id)
    )
    return [MaterialRow(**row._mapping) for row in connection.execute(query)]


def drop_material(connection: Connection, material_id: str) -> None:
    """Delete one."""
    connection.execute(delete(materials).where(materials.c.material_id == material_id))


def add_event(
    connection: Connection,
    application_id: str,
    *,
    event: int,
    state: int,
    at_us: int,
    reviewer: str | None,
    due_us: int | None,
) -> None:
    """Append one to an application that is locked."""
    count = func.count(events.c.number)
    number = connection.execute(select(count).where(events.c.application_id == application_id)).scalar_one()
    row = EventRow(application_id, number + 1, event, state, at_us, reviewer, due_us)
    connection.execute(insert(events).values(**to_values(row)))


def events_of(connection: Connection, application_id: str) -> list[EventRow]:
    """Oldest first."""
    query = select(*events.c).where(events.c.application_id == application_id).order_by(events.c.number)
    return [EventRow(**row._mapping) for row in connection.execute(query)]


def add_result(connection: Connection, row: ResultRow) -> None:
    """Insert one."""
    connection.execute(insert(results).values(**to_values(row)))


def get_result(connection: Connection, result_id: str) -> ResultRow | None:
    """Read one."""
    query = select(*results.c).where(results.c.result_id == result_id)
    found = connection.execute(query).one_or_none()
    return ResultRow(**found._mapping) if found else None


def results_of(connection: Connection, application_ids: Sequence[str]) -> dict[str, list[ResultRow]]:
    """By application, newest first."""
    query = (
        select(*results.c)
        .where(results.c.application_id.in_(application_ids))
        .order_by(results.c.result_id.desc())
    )
    found: dict[str, list[ResultRow]] = {}
    for row in connection.execute(query):
        found.setdefault(row.application_id, []).append(ResultRow(**row._mapping))
    return found


def page_of_results(
    connection: Connection,
    *,
    before: str,
    limit: int,
    account_id: str = "",
    outcome: int = 0,
    reviewer: str = "",
    from_us: int | None = None,
    until_us: int | None = None,
) -> list[tuple[ResultRow, int]]:
    """Results, newest first, each with the state of its application; empty filters do not filter."""
    query = select(*results.c, applications.c.state.label("_state")).join(
        applications, applications.c.application_id == results.c.application_id
    )
    if before:
        query = query.where(results.c.result_id < before)
    if account_id:
        query = query.where(results.c.account_id == account_id)
    if outcome:
        query = query.where(results.c.outcome == outcome)
    if reviewer:
        query = query.where(results.c.reviewer == reviewer)
    # Ids begin with the time at which they were made, a moment after the decision's: with both ends in the
    # index, nothing is read through that was decided since.
    if from_us is not None:
        query = query.where(
            results.c.decided_us >= from_us, results.c.result_id >= _id_of(from_us - _CLOCKS_US)
        )
    if until_us is not None:
        query = query.where(
            results.c.decided_us < until_us, results.c.result_id < _id_of(until_us + _CLOCKS_US)
        )
    query = query.order_by(results.c.result_id.desc()).limit(limit)
    found = []
    for row in connection.execute(query):
        values = dict(row._mapping)
        state = values.pop("_state")
        found.append((ResultRow(**values), state))
    return found


def add_badge(connection: Connection, row: BadgeRow) -> None:
    """Insert one."""
    connection.execute(insert(badges).values(**to_values(row)))


def get_badge(connection: Connection, badge_id: str) -> BadgeRow | None:
    """Read one."""
    found = connection.execute(select(*badges.c).where(badges.c.badge_id == badge_id)).one_or_none()
    return BadgeRow(**found._mapping) if found else None


def badge_of(connection: Connection, application_id: str) -> BadgeRow | None:
    """The newest badge of an application."""
    query = (
        select(*badges.c)
        .where(badges.c.application_id == application_id)
        .order_by(badges.c.badge_id.desc())
        .limit(1)
    )
    found = connection.execute(query).one_or_none()
    return BadgeRow(**found._mapping) if found else None


def revoke_badges(connection: Connection, application_id: str, *, now_us: int, why: int) -> None:
    """End all badges of an application that count."""
    change = (
        update(badges)
        .where(badges.c.application_id == application_id, badges.c.revoked_us.is_(None))
        .values(revoked_us=now_us, revoked_why=why)
    )
    connection.execute(change)


def _id_of(time_us: int) -> str:
    """How ids (UUID version 7) begin that were made at a time."""
    digits = f"{min(max(time_us, 0) // 1000, 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _application(found: Row[*tuple[Any, ...]] | None) -> ApplicationRow | None:
    return ApplicationRow(**found._mapping) if found else None
