"""Rows of the audit chain and of its signed heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from cloud.store.schema import audit_chains, audit_events, audit_heads, log_leaves
from cloud.store.values import to_values

_CHAIN = "events"
_EVENTS_AT_ONCE = 1000

# Built once: every change that an operator asks for runs them.
_END = select(audit_chains.c.seq, audit_chains.c.sha256).where(audit_chains.c.chain == _CHAIN)
_LOCKED_END = _END.with_for_update()
_ADD_EVENT = insert(audit_events)
_MOVE_END = (
    update(audit_chains)
    .where(audit_chains.c.chain == _CHAIN, audit_chains.c.seq == bindparam("from_seq"))
    .values(seq=bindparam("to_seq"), sha256=bindparam("to_sha256"))
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """``content`` is the event as it was hashed; the rest was copied out of it."""

    seq: int
    content: bytes
    sha256: bytes
    time_us: int
    caller: str
    action: str
    subject: str
    outcome: int


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Seq and digest of the newest event; 0 and empty before the first."""

    seq: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A signed head and its leaf in the log."""

    seq: int
    log_index: int
    envelope: bytes
    certificate_sha256: bytes
    signed_us: int


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to list; an empty text stands for all."""

    caller: str = ""
    action: str = ""
    subject: str = ""
    outcome: int = 0


def lock_end(connection: Connection) -> ChainEnd:
    """The end of the chain, held until the transaction ends. Take it last: others wait for it.

    Raises:
        LookupError: the row is gone.
    """
    return _read_end(connection, lock=True)


def read_end(connection: Connection) -> ChainEnd:
    """The end of the chain.

    Raises:
        LookupError: the row is gone.
    """
    return _read_end(connection, lock=False)


def append(connection: Connection, row: EventRow, *, after: ChainEnd) -> None:
    """Add an event behind ``after``, which the caller holds locked.

    Raises:
        LookupError: the end is another one by now.
    """
    connection.execute(_ADD_EVENT, to_values(row))
    moved = connection.execute(_MOVE_END, {"from_seq": after.seq, "to_seq": row.seq, "to_sha256": row.sha256})
    if moved.rowcount != 1:
        raise LookupError("the end of the audit chain moved under its lock")


def all_events(connection: Connection, *, after: int = 0) -> Iterator[EventRow]:
    """Events behind ``after`` in order, read in pieces."""
    query = select(audit_events).where(audit_events.c.seq > after).order_by(audit_events.c.seq)
    for row in connection.execute(query, execution_options={"yield_per": _EVENTS_AT_ONCE}):
        yield EventRow(**row._mapping)


def select_events(wanted: EventFilter, before: int | None, limit: int) -> Select[Any]:
    """Newest first, those before seq ``before``."""
    query = select(audit_events).order_by(audit_events.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_events.c.seq < before)
    for column in ("caller", "action", "subject", "outcome"):
        value = getattr(wanted, column)
        if value:
            query = query.where(audit_events.c[column] == value)
    return query


def get_event(connection: Connection, seq: int) -> EventRow | None:
    """One event."""
    row = connection.execute(select(audit_events).where(audit_events.c.seq == seq)).one_or_none()
    return EventRow(**row._mapping) if row else None


def add_head(connection: Connection, row: HeadRow) -> None:
    """Keep a signed head."""
    connection.execute(insert(audit_heads).values(to_values(row)))


def last_head(connection: Connection) -> HeadRow | None:
    """The newest signed head."""
    newest = list_heads(connection, before=None, limit=1)
    return newest[0] if newest else None


def all_heads(connection: Connection) -> Iterator[HeadRow]:
    """Signed heads in the order in which they were signed."""
    query = select(audit_heads).order_by(audit_heads.c.log_index)
    for row in connection.execute(query, execution_options={"yield_per": _EVENTS_AT_ONCE}):
        yield HeadRow(**row._mapping)


def _read_end(connection: Connection, *, lock: bool) -> ChainEnd:
    row = connection.execute(_LOCKED_END if lock else _END).one_or_none()
    if row is None:
        raise LookupError("the row of the audit chain's end is gone")
    return ChainEnd(row.seq, bytes(row.sha256))


def leaves_without_record(connection: Connection) -> list[int]:
    """Places in the log that belong to no record: those of signed heads."""
    query = select(log_leaves.c.log_index).where(log_leaves.c.device_id.is_(None))
    return list(connection.execute(query.order_by(log_leaves.c.log_index)).scalars())


def list_heads(connection: Connection, *, before: int | None, limit: int) -> list[HeadRow]:
    """Newest first, those at places of the log before ``before``."""
    query = select(audit_heads).order_by(audit_heads.c.log_index.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_heads.c.log_index < before)
    return [HeadRow(**row._mapping) for row in connection.execute(query)]


def next_events(connection: Connection, *, after: int, limit: int) -> list[EventRow]:
    """The events right behind ``after``, in order."""
    query = select(audit_events).where(audit_events.c.seq > after).order_by(audit_events.c.seq).limit(limit)
    return [EventRow(**row._mapping) for row in connection.execute(query)]
