"""Rows of organisations, of their documents, and of what happened to them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from cloud.store.lists import Begin
from cloud.store.schema import organisation_documents, organisation_events, organisations
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class OrganisationRow:
    """Names of columns. ``profile`` and ``reasons`` are sealed."""

    organisation_id: str
    account_id: str
    offered_to: str | None
    state: int
    profile: bytes | None
    is_representative: bool
    number_key: bytes | None
    task_id: str | None
    supplement_us: int | None
    reasons: bytes | None
    verified_us: int | None
    created_us: int
    updated_us: int
    state_us: int
    version: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    organisation_id: str
    document_id: str
    kind: int
    added_us: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """``state``: after it."""

    organisation_id: str
    seq: int
    event: int
    time_us: int
    state: int
    caller: str


def add_organisation(connection: Connection, row: OrganisationRow) -> None:
    """Insert an organisation."""
    connection.execute(insert(organisations).values(**to_values(row)))


def get_organisation(
    connection: Connection, organisation_id: str, *, lock: bool = False
) -> OrganisationRow | None:
    """Read one; ``lock``: nobody else changes it until the transaction ends."""
    query = select(*organisations.c).where(organisations.c.organisation_id == organisation_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return OrganisationRow(**row._mapping) if row else None


def change_organisation(connection: Connection, row: OrganisationRow) -> None:
    """Write a row that was read with a lock."""
    query = update(organisations).where(organisations.c.organisation_id == row.organisation_id)
    connection.execute(query.values(**to_values(row)))


def ids_of(connection: Connection, account_id: str) -> list[str]:
    """Of the organisations that an account administers, in the order of their ids."""
    at = organisations.c
    query = select(at.organisation_id).where(at.account_id == account_id).order_by(at.organisation_id)
    return list(connection.execute(query).scalars())


def find_verified(connection: Connection, number_key: bytes) -> OrganisationRow | None:
    """The one verified organisation with a number."""
    at = organisations.c
    query = select(*at).where(at.number_key == number_key, at.verified_us.is_not(None))
    row = connection.execute(query).one_or_none()
    return OrganisationRow(**row._mapping) if row else None


def select_organisations(
    begin: Begin, limit: int, *, account_id: str = "", state: int = 0, offered_to: str = ""
) -> Select[Any]:
    """In order of id, which is that of time; empty filters do not filter."""
    at = organisations.c
    columns = [at[field.name] for field in fields(OrganisationRow)]
    query = select(*columns).where(*begin.cut(at.organisation_id)).order_by(begin.order(at.organisation_id))
    if account_id:
        query = query.where(at.account_id == account_id)
    if offered_to:
        query = query.where(at.offered_to == offered_to)
    if state:
        query = query.where(at.state == state)
    return query.limit(limit)


def add_document(connection: Connection, row: DocumentRow) -> None:
    """Insert a document."""
    connection.execute(insert(organisation_documents).values(**to_values(row)))


def list_documents(connection: Connection, organisation_id: str) -> list[DocumentRow]:
    """In the order in which they came."""
    at = organisation_documents.c
    query = select(*at).where(at.organisation_id == organisation_id).order_by(at.document_id)
    return [DocumentRow(**row._mapping) for row in connection.execute(query)]


def drop_document(connection: Connection, organisation_id: str, document_id: str) -> bool:
    """False where it was not there."""
    at = organisation_documents.c
    query = delete(organisation_documents).where(
        at.organisation_id == organisation_id, at.document_id == document_id
    )
    return connection.execute(query).rowcount == 1


def rename_documents(connection: Connection, organisation_id: str, kind: int, new: int) -> None:
    """Those of a kind are of another one from now on."""
    at = organisation_documents.c
    query = update(organisation_documents).where(at.organisation_id == organisation_id, at.kind == kind)
    connection.execute(query.values(kind=new))


def add_event(connection: Connection, row: EventRow) -> None:
    """Insert an event; the primary key refuses a number twice."""
    connection.execute(insert(organisation_events).values(**to_values(row)))


def list_events(connection: Connection, organisation_id: str) -> list[EventRow]:
    """In the order in which they happened."""
    at = organisation_events.c
    query = select(*at).where(at.organisation_id == organisation_id).order_by(at.seq)
    return [EventRow(**row._mapping) for row in connection.execute(query)]


def newest_seq(connection: Connection, organisation_id: str) -> int:
    """Of the events of an organisation; 0 before the first."""
    at = organisation_events.c
    query = select(func.max(at.seq)).where(at.organisation_id == organisation_id)
    return connection.execute(query).scalar_one() or 0
