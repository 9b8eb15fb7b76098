"""Rows of tickets to the information centre, and their history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, text, union_all, update

from cloud.store.lists import Begin
from cloud.store.schema import ticket_events, tickets
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class TicketRow:
    """``payload`` is sealed; ``..._by`` are KIND/NAME, empty where nobody has."""

    ticket_id: str
    kind: int
    account_id: str
    state: int
    payload: bytes | None
    opened_by: str
    opened_us: int
    taken_by: str = ""
    taken_us: int | None = None
    closed_by: str = ""
    closed_us: int | None = None


@dataclass(frozen=True, slots=True)
class TicketEventRow:
    """``note`` is sealed."""

    ticket_id: str
    number: int
    account_id: str
    kind: int
    time_us: int
    actor: str
    note: bytes | None = None


_COLUMNS = [tickets.c[field.name] for field in fields(TicketRow)]

# Said as the partial index says it.
_LIVE = text("state < 3")


def add_ticket(connection: Connection, row: TicketRow) -> None:
    """Insert a ticket."""
    connection.execute(insert(tickets).values(**to_values(row)))


def get_ticket(connection: Connection, ticket_id: str, *, lock: bool = False) -> TicketRow | None:
    """Read one ticket; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*_COLUMNS).where(tickets.c.ticket_id == ticket_id)
    return _ticket(connection.execute(query.with_for_update() if lock else query).one_or_none())


def live_ticket(connection: Connection, account_id: str, kind: int) -> TicketRow | None:
    """The ticket of a kind that an account has, and that has not ended."""
    query = select(*_COLUMNS).where(tickets.c.account_id == account_id, tickets.c.kind == kind, _LIVE)
    return _ticket(connection.execute(query).one_or_none())


def change_ticket(connection: Connection, row: TicketRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    for name in ("ticket_id", "kind", "account_id", "payload", "opened_by", "opened_us"):
        del values[name]
    connection.execute(update(tickets).where(tickets.c.ticket_id == row.ticket_id).values(**values))


def add_event(connection: Connection, row: TicketEventRow) -> None:
    """Append an event."""
    connection.execute(insert(ticket_events).values(**to_values(row)))


def next_number(connection: Connection, ticket_id: str) -> int:
    """Of the next event of a ticket whose row is locked."""
    query = select(func.max(ticket_events.c.number)).where(ticket_events.c.ticket_id == ticket_id)
    return (connection.execute(query).scalar() or 0) + 1


def events_of(connection: Connection, ticket_id: str, *, limit: int) -> list[TicketEventRow]:
    """What happened to a ticket, oldest first."""
    columns = [ticket_events.c[field.name] for field in fields(TicketEventRow)]
    query = (
        select(*columns)
        .where(ticket_events.c.ticket_id == ticket_id)
        .order_by(ticket_events.c.number)
        .limit(limit)
    )
    return [TicketEventRow(**row._mapping) for row in connection.execute(query)]


def select_tickets(
    begin: Begin, limit: int, *, states: Collection[int], kinds: Collection[int], account_id: str = ""
) -> Select[Any]:
    """Tickets in order of id, which is that of time: the first of each state and kind, merged."""
    at = tickets.c.ticket_id
    if account_id:
        query = select(*_COLUMNS).where(
            tickets.c.account_id == account_id,
            tickets.c.state.in_(states),
            tickets.c.kind.in_(kinds),
            *begin.cut(at),
        )
        return query.order_by(begin.order(at)).limit(limit)
    parts = [
        select(*_COLUMNS)
        .where(tickets.c.state == state, tickets.c.kind == kind, *begin.cut(at))
        .order_by(begin.order(at))
        .limit(limit)
        .subquery()
        for state in states
        for kind in kinds
    ]
    merged = union_all(*map(select, parts)).subquery()
    end = merged.c.ticket_id
    return select(merged).order_by(end.desc() if begin.descending else end).limit(limit)


def _ticket(found: Row[*tuple[Any, ...]] | None) -> TicketRow | None:
    return TicketRow(**found._mapping) if found else None
