"""Rows of requests for registration business, and of who may act for whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from cloud.store.lists import Begin
from cloud.store.schema import business_documents, business_events, business_requests, delegations
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class BusinessRow:
    """Names of columns. ``text`` and ``reasons`` are sealed."""

    business_id: str
    account_id: str
    agent_account_id: str | None
    delegation_id: str | None
    service_code: str
    state: int
    text: bytes | None
    permission: bytes
    submit_permission: bytes | None
    process_version: int
    task_id: str | None
    supplement_us: int | None
    reasons: bytes | None
    created_us: int
    updated_us: int
    state_us: int
    version: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    business_id: str
    document_id: str
    kind: int
    added_us: int
    added_by: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """``left_state``, ``lasted_us``: which state it ended after how long; None where it ended none."""

    business_id: str
    seq: int
    event: int
    time_us: int
    state: int
    left_state: int | None
    lasted_us: int | None
    process_version: int
    caller: str


@dataclass(frozen=True, slots=True)
class DelegationRow:
    """``service_codes`` with spaces between them."""

    delegation_id: str
    account_id: str
    agent_account_id: str
    state: int
    service_codes: str
    valid_from_us: int
    valid_until_us: int
    created_us: int
    answered_us: int | None
    ended_us: int | None
    version: int


def add_request(connection: Connection, row: BusinessRow) -> None:
    """Insert a request."""
    connection.execute(insert(business_requests).values(**to_values(row)))


def get_request(connection: Connection, business_id: str, *, lock: bool = False) -> BusinessRow | None:
    """Read one request; ``lock``: nobody else changes it until the transaction ends."""
    query = select(*business_requests.c).where(business_requests.c.business_id == business_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return BusinessRow(**row._mapping) if row else None


def change_request(connection: Connection, row: BusinessRow) -> None:
    """Write a row that was read with a lock."""
    query = update(business_requests).where(business_requests.c.business_id == row.business_id)
    connection.execute(query.values(**to_values(row)))


def newest_begun(connection: Connection, account_id: str, *, since_us: int, limit: int) -> list[int]:
    """When an account began the last requests after a moment, for itself or for others; oldest first."""
    at = business_requests.c
    own = select(at.created_us).where(at.account_id == account_id, at.agent_account_id.is_(None))
    others = select(at.created_us).where(at.agent_account_id == account_id)
    newest = [one.order_by(at.business_id.desc()).limit(limit) for one in (own, others)]
    begun = sorted(time for query in newest for time in connection.execute(query).scalars())
    return [time for time in begun if time > since_us][-limit:]


def lock_open(connection: Connection, account_id: str, *, states: Collection[int]) -> list[BusinessRow]:
    """An applicant's requests in these states; nobody else changes them until the transaction ends."""
    at = business_requests.c
    query = select(*at).where(at.account_id == account_id, at.state.in_(states)).order_by(at.business_id)
    return [BusinessRow(**row._mapping) for row in connection.execute(query.with_for_update())]


def select_requests(
    begin: Begin, limit: int, *, account_id: str = "", agent_account_id: str = "", state: int = 0
) -> Select[Any]:
    """Requests in order of id, which is that of time; empty or zero filters do not filter."""
    at = business_requests.c
    columns = [at[field.name] for field in fields(BusinessRow)]
    query = select(*columns).where(*begin.cut(at.business_id)).order_by(begin.order(at.business_id))
    if account_id:
        query = query.where(at.account_id == account_id)
    if agent_account_id:
        query = query.where(at.agent_account_id == agent_account_id)
    if state:
        query = query.where(at.state == state)
    return query.limit(limit)


def add_document(connection: Connection, row: DocumentRow) -> None:
    """Insert a document of a request."""
    connection.execute(insert(business_documents).values(**to_values(row)))


def list_documents(connection: Connection, business_id: str) -> list[DocumentRow]:
    """In the order in which they came."""
    at = business_documents.c
    query = select(*at).where(at.business_id == business_id).order_by(at.added_us, at.document_id)
    return [DocumentRow(**row._mapping) for row in connection.execute(query)]


def drop_document(connection: Connection, business_id: str, document_id: str) -> bool:
    """False where it was not there."""
    at = business_documents.c
    query = delete(business_documents).where(at.business_id == business_id, at.document_id == document_id)
    return connection.execute(query).rowcount == 1


def add_event(connection: Connection, row: EventRow) -> None:
    """Insert an event; the primary key refuses a number twice."""
    connection.execute(insert(business_events).values(**to_values(row)))


def list_events(connection: Connection, business_id: str) -> list[EventRow]:
    """In the order in which they happened."""
    at = business_events.c
    query = select(*at).where(at.business_id == business_id).order_by(at.seq)
    return [EventRow(**row._mapping) for row in connection.execute(query)]


def newest_seq(connection: Connection, business_id: str) -> int:
    """Of the events of a request; 0 before the first."""
    at = business_events.c
    query = select(func.max(at.seq)).where(at.business_id == business_id)
    return connection.execute(query).scalar_one() or 0


def add_delegation(connection: Connection, row: DelegationRow) -> None:
    """Insert a delegation."""
    connection.execute(insert(delegations).values(**to_values(row)))


def get_delegation(connection: Connection, delegation_id: str, *, lock: bool = False) -> DelegationRow | None:
    """Read one delegation; ``lock`` as for :func:`get_request`."""
    query = select(*delegations.c).where(delegations.c.delegation_id == delegation_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return DelegationRow(**row._mapping) if row else None


def change_delegation(connection: Connection, row: DelegationRow) -> None:
    """Write a row that was read with a lock."""
    query = update(delegations).where(delegations.c.delegation_id == row.delegation_id)
    connection.execute(query.values(**to_values(row)))


def list_between(
    connection: Connection, account_id: str, agent_account_id: str, *, state: int, lock: bool = False
) -> list[DelegationRow]:
    """The delegations from one account to another that have a state; ``lock`` as for :func:`get_request`."""
    at = delegations.c
    query = select(*at).where(
        at.account_id == account_id, at.agent_account_id == agent_account_id, at.state == state
    )
    query = query.order_by(at.delegation_id)
    found = connection.execute(query.with_for_update() if lock else query)
    return [DelegationRow(**row._mapping) for row in found]


def lock_delegations(
    connection: Connection, account_id: str, *, states: Collection[int]
) -> list[DelegationRow]:
    """Those that an account gave or was given, in these states; locked as by :func:`lock_open`."""
    at = delegations.c
    either = or_(at.account_id == account_id, at.agent_account_id == account_id)
    query = select(*at).where(either, at.state.in_(states)).order_by(at.delegation_id)
    return [DelegationRow(**row._mapping) for row in connection.execute(query.with_for_update())]


def count_delegations(
    connection: Connection, account_id: str, *, states: Collection[int], now_us: int, since_us: int
) -> int:
    """How many an account gave that have one of these states and are not over, or were given lately."""
    at = delegations.c
    lives = and_(at.state.in_(states), at.valid_until_us > now_us)
    query = select(func.count()).where(at.account_id == account_id, or_(lives, at.created_us > since_us))
    return connection.execute(query).scalar_one()


def select_delegations(
    begin: Begin, limit: int, *, account_id: str = "", agent_account_id: str = ""
) -> Select[Any]:
    """Delegations in order of id, which is that of time; empty filters do not filter."""
    at = delegations.c
    columns = [at[field.name] for field in fields(DelegationRow)]
    query = select(*columns).where(*begin.cut(at.delegation_id)).order_by(begin.order(at.delegation_id))
    if account_id:
        query = query.where(at.account_id == account_id)
    if agent_account_id:
        query = query.where(at.agent_account_id == agent_account_id)
    return query.limit(limit)
