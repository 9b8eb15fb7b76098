"""Rows of messages to people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, text, update

from cloud.store.schema import messages
from cloud.store.values import to_values
from verifield.v1.message_service_pb2 import (
    MESSAGE_STATE_DELIVERED,
    MESSAGE_STATE_FAILED,
)

_OVER = (MESSAGE_STATE_DELIVERED, MESSAGE_STATE_FAILED)


@dataclass(frozen=True, slots=True)
class Lane:
    """Messages that wait for each other, and for no others. ``brief``: those that expire."""

    channel: int
    brief: bool


@dataclass(frozen=True, slots=True)
class MessageRow:
    """``address`` and ``content`` are sealed; ``content`` is None once nobody needs it any more.

    ``due_us``: of one that waits its next attempt, of one that is sent the end of its lease.
    """

    message_id: str
    person_id: str
    channel: int
    template: str
    language: str
    state: int
    address: bytes | None
    content: bytes | None
    attempts: int
    fault: str
    due_us: int
    lease: bytes | None
    expires_us: int | None
    created_us: int
    updated_us: int


def add_message(connection: Connection, row: MessageRow) -> None:
    """Insert a message."""
    connection.execute(insert(messages).values(**to_values(row)))


def get_message(connection: Connection, message_id: str, *, lock: bool = False) -> MessageRow | None:
    """Read one message; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*messages.c).where(messages.c.message_id == message_id)
    return _row(connection.execute(query.with_for_update() if lock else query).one_or_none())


def lock_messages(connection: Connection, message_ids: Collection[str]) -> dict[str, MessageRow]:
    """Read messages by their ids; no other transaction may change them meanwhile."""
    query = select(*messages.c).where(messages.c.message_id.in_(message_ids))
    found = connection.execute(query.order_by(messages.c.message_id).with_for_update())
    return {row.message_id: MessageRow(**row._mapping) for row in found}


def has_due(connection: Connection, lane: Lane, *, now_us: int) -> bool:
    """Whether a message is to be taken up."""
    query = select(messages.c.message_id).where(_due(lane, now_us)).limit(1)
    return connection.execute(query).first() is not None


def lock_due(connection: Connection, lane: Lane, *, now_us: int, limit: int) -> list[MessageRow]:
    """Messages to be taken up, longest due first, locked; those that another server locks are left to it."""
    query = (
        select(*messages.c)
        .where(_due(lane, now_us))
        .order_by(messages.c.due_us, messages.c.message_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [MessageRow(**row._mapping) for row in connection.execute(query)]


def change_message(connection: Connection, row: MessageRow, *, lease: bytes | None) -> bool:
    """Write what changes of a message, where it still has this lease; False where it has not."""
    mine = messages.c.lease == lease if lease is not None else messages.c.lease.is_(None)
    change = (
        update(messages)
        .where(messages.c.message_id == row.message_id, mine)
        .values(
            state=row.state,
            content=row.content,
            attempts=row.attempts,
            fault=row.fault,
            due_us=row.due_us,
            lease=row.lease,
            expires_us=row.expires_us,
            updated_us=row.updated_us,
        )
    )
    return connection.execute(change).rowcount == 1


def page_of_messages(
    connection: Connection, *, behind: str, limit: int, state: int = 0, person_id: str = ""
) -> list[MessageRow]:
    """Messages before ``behind`` (an id; empty: the newest) in falling order; empty filters do not filter."""
    query = select(*messages.c).order_by(messages.c.message_id.desc()).limit(limit)
    if behind:
        query = query.where(messages.c.message_id < behind)
    if state:
        query = query.where(messages.c.state == state)
    if person_id:
        query = query.where(messages.c.person_id == person_id)
    return [MessageRow(**row._mapping) for row in connection.execute(query)]


def count_since(connection: Connection, person_id: str, template: str, *, since_us: int) -> int:
    """How many of a template were left for a person since then."""
    at = messages.c
    query = select(func.count()).where(
        at.person_id == person_id, at.message_id >= before_id(since_us), at.template == template
    )
    return connection.execute(query).scalar_one()


def erased_among(connection: Connection, message_ids: Collection[str]) -> set[str]:
    """Which of these messages were to people who have been erased since."""
    at = messages.c
    query = select(at.message_id).where(at.message_id.in_(message_ids), at.address.is_(None))
    return set(connection.execute(query).scalars())


def empty_contents(connection: Connection, *, before_us: int, limit: int) -> int:
    """Empty what was given up before that time and may still have content; return how many there were."""
    old = (
        select(messages.c.message_id)
        .where(
            messages.c.state == MESSAGE_STATE_FAILED,
            messages.c.message_id < before_id(before_us),
            messages.c.content.is_not(None),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(old).scalars())
    connection.execute(update(messages).where(messages.c.message_id.in_(ids)).values(content=None))
    return len(ids)


def drop_old(connection: Connection, *, before_us: int, limit: int) -> int:
    """Delete what was made before that time and is over; return how many there were."""
    old = (
        select(messages.c.message_id)
        .where(messages.c.state.in_(_OVER), messages.c.message_id < before_id(before_us))
        .order_by(messages.c.message_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids: Collection[str] = list(connection.execute(old).scalars())
    connection.execute(delete(messages).where(messages.c.message_id.in_(ids)))
    return len(ids)


def before_id(at_us: int) -> str:
    """The id (UUID version 7) that stands before those made at this time or later."""
    digits = f"{max(at_us, 0) // 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _due(lane: Lane, now_us: int) -> ColumnElement[bool]:
    # Said as the indexes say it: parameters there would keep them from being used.
    waits = text("state IN (1, 2)")
    ends = messages.c.expires_us.is_not(None) if lane.brief else messages.c.expires_us.is_(None)
    return and_(waits, ends, messages.c.channel == lane.channel, messages.c.due_us <= now_us)


def _row(found: Row[*tuple[Any, ...]] | None) -> MessageRow | None:
    return MessageRow(**found._mapping) if found else None
