"""Rows of the answers that were given (``cloud.mutations`` says what they are for)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cloud.store.schema import kept_answers
from cloud.store.values import to_values

BUCKETS = 16
"""Parts of the table that are cleaned by turns; enough that two writers rarely clean the same one."""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """``answer`` is sealed; with ``subject`` empty only inside the transaction that works it out."""

    request_key: bytes
    request_mac: bytes
    answer: bytes
    kept_us: int
    bucket: int
    subject: str = ""


def bucket_of(request_key: bytes) -> int:
    """The part of the table in which a row stands."""
    return request_key[0] % BUCKETS


def claim(connection: Connection, row: KeptRow) -> bool:
    """Insert a row; False where there is one already.

    Waits for another transaction that has claimed the same key until its end is known.
    """
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    put = make(kept_answers).values(**to_values(row)).on_conflict_do_nothing()
    return connection.execute(put.returning(kept_answers.c.request_key)).first() is not None


def get_kept(connection: Connection, request_key: bytes) -> KeptRow | None:
    """Read one row."""
    query = select(*kept_answers.c).where(kept_answers.c.request_key == request_key)
    row = connection.execute(query).one_or_none()
    return KeptRow(**row._mapping) if row else None


def put_answer(connection: Connection, request_key: bytes, answer: bytes, *, subject: str) -> None:
    """Fill in a claimed row."""
    row = kept_answers.c.request_key == request_key
    connection.execute(update(kept_answers).where(row).values(answer=answer, subject=subject))


def drop(connection: Connection, request_key: bytes) -> None:
    """Let go of a claim whose request was refused: it may be tried again."""
    connection.execute(delete(kept_answers).where(kept_answers.c.request_key == request_key))


def forget_subject(connection: Connection, subject: str) -> int:
    """Delete what was answered about a subject; return how many answers that were."""
    return int(connection.execute(delete(kept_answers).where(kept_answers.c.subject == subject)).rowcount)


def drop_old(connection: Connection, request_key: bytes, *, before_us: int, limit: int) -> int:
    """Delete the row of this key where it is older, and up to ``limit`` older ones of its part.

    Rows that another transaction is deleting are left to it. Return how many went.
    """
    own = delete(kept_answers).where(
        kept_answers.c.request_key == request_key, kept_answers.c.kept_us < before_us
    )
    old = (
        select(kept_answers.c.request_key)
        .where(kept_answers.c.bucket == bucket_of(request_key), kept_answers.c.kept_us < before_us)
        .order_by(kept_answers.c.kept_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = [row.request_key for row in connection.execute(old)]
    gone = int(connection.execute(own).rowcount)
    return gone + int(
        connection.execute(delete(kept_answers).where(kept_answers.c.request_key.in_(keys))).rowcount
    )
