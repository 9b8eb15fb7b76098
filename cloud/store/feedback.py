"""Rows of feedback, and of who sent how much lately."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from cloud.store.lists import Begin
from cloud.store.schema import feedback, feedback_senders
from cloud.store.values import insert_new, to_values

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """``text`` is sealed under the key of ``person_id``; ``account_id`` None: nobody was signed in."""

    feedback_id: str
    ack_number: str
    category: int
    person_id: str
    account_id: str | None
    device_id: str
    text: bytes | None
    app: str
    app_version: str
    screen: str
    language: str
    received_us: int


@dataclass(frozen=True, slots=True)
class CountRow:
    """``from_accounts``: of them, those of people who had signed in."""

    category: int
    count: int
    from_accounts: int


def add_feedback(connection: Connection, row: FeedbackRow) -> None:
    """Insert feedback; a number that is taken is refused by its index."""
    connection.execute(insert(feedback).values(**to_values(row)))


def select_feedback(
    begin: Begin, limit: int, *, category: int = 0, start_us: int = 0, end_us: int = 0, ack_number: str = ""
) -> Select[Any]:
    """Feedback in order of id, which is that of time; empty or zero filters do not filter."""
    at = feedback.c
    columns = [at[field.name] for field in fields(FeedbackRow)]
    query = select(*columns).where(*begin.cut(at.feedback_id)).order_by(begin.order(at.feedback_id))
    if category:
        query = query.where(at.category == category)
    if start_us:
        query = query.where(at.received_us >= start_us)
    if end_us:
        query = query.where(at.received_us < end_us)
    if ack_number:
        query = query.where(at.ack_number == ack_number)
    return query.limit(limit)


def count_by_category(connection: Connection, *, start_us: int, end_us: int) -> list[CountRow]:
    """What came in a period, most first."""
    at = feedback.c
    count = func.count()
    query = (
        select(at.category, count.label("count"), func.count(at.account_id).label("from_accounts"))
        .where(at.received_us >= start_us, at.received_us < end_us)
        .group_by(at.category)
        .order_by(count.desc(), at.category)
    )
    return [CountRow(**row._mapping) for row in connection.execute(query)]


def lock_sender(connection: Connection, sender_key: bytes) -> list[int]:
    """When a sender sent lately, oldest first; nobody else reads or writes it until the transaction ends."""
    insert_new(connection, feedback_senders, {"sender_key": sender_key, "times": b"", "last_us": 0})
    at = feedback_senders.c
    query = select(at.times).where(at.sender_key == sender_key).with_for_update()
    times = bytes(connection.execute(query).scalar_one())
    return [
        int.from_bytes(times[start : start + _TIME_BYTES], "big")
        for start in range(0, len(times), _TIME_BYTES)
    ]


def put_sender(connection: Connection, sender_key: bytes, times: list[int]) -> None:
    """Write what :func:`lock_sender` read, with what came since."""
    query = update(feedback_senders).where(feedback_senders.c.sender_key == sender_key)
    packed = b"".join(time.to_bytes(_TIME_BYTES, "big") for time in times)
    connection.execute(query.values(times=packed, last_us=max(times, default=0)))


def drop_senders(connection: Connection, *, before_us: int, limit: int) -> int:
    """Forget senders who sent nothing since a moment; return how many."""
    at = feedback_senders.c
    old = select(at.sender_key).where(at.last_us < before_us).order_by(at.last_us).limit(limit)
    return connection.execute(delete(feedback_senders).where(at.sender_key.in_(old))).rowcount
