"""Rows of approvals, and of the signatures in them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from cloud.store.lists import Begin
from cloud.store.schema import approval_signatures, approvals
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """Names of columns. ``title`` is sealed."""

    approval_id: str
    organisation_id: str
    state: int
    title: bytes | None
    created_by: str
    object_id: str
    document_sha256: bytes
    pages: int
    sealed_object_id: str | None
    sealed_sha256: bytes | None
    created_us: int
    updated_us: int
    version: int


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """One seal in one field, with what shows who put it there. Rows are never changed."""

    record_id: str
    approval_id: str
    account_id: str
    organisation_id: str
    kind: int
    field: str
    serial: str
    method: int
    evidence_id: str
    verification_id: str
    document_sha256: bytes
    challenge: bytes
    before_sha256: bytes
    after_sha256: bytes
    seal_id: str
    seal_version: int
    authenticated_us: int
    signed_us: int


def add_approval(connection: Connection, row: ApprovalRow) -> None:
    """Insert an approval."""
    connection.execute(insert(approvals).values(**to_values(row)))


def get_approval(connection: Connection, approval_id: str, *, lock: bool = False) -> ApprovalRow | None:
    """Read one; ``lock``: nobody else changes it until the transaction ends."""
    query = select(*approvals.c).where(approvals.c.approval_id == approval_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return ApprovalRow(**row._mapping) if row else None


def change_approval(connection: Connection, row: ApprovalRow) -> None:
    """Write a row that was read with a lock."""
    query = update(approvals).where(approvals.c.approval_id == row.approval_id)
    connection.execute(query.values(**to_values(row)))


def count_approvals(connection: Connection, organisation_id: str, *, state: int) -> int:
    """Of an organisation, in a state."""
    at = approvals.c
    query = select(func.count()).where(at.organisation_id == organisation_id, at.state == state)
    return connection.execute(query).scalar_one()


def select_approvals(begin: Begin, limit: int, *, organisation_id: str = "", state: int = 0) -> Select[Any]:
    """In order of id; empty filters do not filter."""
    at = approvals.c
    columns = [at[field.name] for field in fields(ApprovalRow)]
    query = select(*columns).where(*begin.cut(at.approval_id)).order_by(begin.order(at.approval_id))
    if organisation_id:
        query = query.where(at.organisation_id == organisation_id)
    if state:
        query = query.where(at.state == state)
    return query.limit(limit)


def add_signature(connection: Connection, row: SignatureRow) -> None:
    """Append a signature."""
    connection.execute(insert(approval_signatures).values(**to_values(row)))


def signatures_of(connection: Connection, approval_id: str) -> list[SignatureRow]:
    """In the order in which they were made."""
    at = approval_signatures.c
    query = select(*at).where(at.approval_id == approval_id).order_by(at.record_id)
    return [SignatureRow(**row._mapping) for row in connection.execute(query)]
