"""Rows of what clients found out about lines that failed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from cloud.store.schema import client_diagnostics
from cloud.store.values import insert_new, to_values

_T = client_diagnostics.c


@dataclass(frozen=True, slots=True)
class DiagnosticRow:
    """``content``: a serialised verifield.v1.Diagnostics."""

    diagnostic_id: str
    sender: str
    error_code: str
    occurred_us: int
    received_us: int
    content: bytes


def add_diagnostics(connection: Connection, row: DiagnosticRow) -> bool:
    """Insert one; False where its id is known."""
    return insert_new(connection, client_diagnostics, to_values(row))


def get_diagnostics(connection: Connection, diagnostic_id: str) -> DiagnosticRow | None:
    """Read one."""
    query = select(*_T).where(_T.diagnostic_id == diagnostic_id)
    found = connection.execute(query).one_or_none()
    return DiagnosticRow(**found._mapping) if found else None


def list_diagnostics(connection: Connection, *, sender: str, behind: str, limit: int) -> list[DiagnosticRow]:
    """In order of their ids; an empty sender does not filter."""
    query = select(*_T).where(_T.diagnostic_id > behind)
    if sender:
        query = query.where(_T.sender == sender)
    found = connection.execute(query.order_by(_T.diagnostic_id).limit(limit))
    return [DiagnosticRow(**row._mapping) for row in found]


def drop_surplus(connection: Connection, sender: str, *, keep: int) -> None:
    """Delete the oldest of a sender who has more than ``keep``."""
    newest = select(_T.diagnostic_id).where(_T.sender == sender)
    old = newest.order_by(_T.received_us.desc(), _T.diagnostic_id).offset(keep)
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(delete(client_diagnostics).where(_T.diagnostic_id.in_(ids)))


def drop_old(connection: Connection, *, before_us: int) -> int:
    """Delete what came before; return how many went."""
    return int(connection.execute(delete(client_diagnostics).where(_T.received_us < before_us)).rowcount)
