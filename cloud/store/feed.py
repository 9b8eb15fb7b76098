"""Rows of what comes down to devices: the newest item of each kind and id in each scope.

A seq is a counter with random bits behind it, so that none is given out twice, also by a store that was
restored from a backup. Of an item that was replaced a mark stays at its seq. So a seq that has a row here
is one of this very store: everything up to it is known to whoever has it. One that has none is of a store
that was lost, or so old that its mark is gone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from cloud.store.schema import feed_items, feed_scopes

SCOPE_ALL = "all"

MAX_CONTENT_BYTES = 2 * 1024 * 1024 + 64 * 1024
"""Of one item: the largest revocation list, and room; it fits a message of gRPC's default 4 MiB."""


RANDOM_BITS = 31
"""Behind the counter: two stores give out the same seq once in two thousand million times; 2**32 items of
one scope still fit into the column."""

MARK = 0
"""The kind of a mark; no DownItemKind has this number."""

MARKS_KEPT = 10_000
"""Newest publications of a scope whose marks stay: a device that was away for longer may begin anew."""

_PRUNE_EVERY = 256
"""Publications between two looks for old marks, which read the scope."""


@dataclass(frozen=True, slots=True)
class FeedRow:
    """``seq`` counts up within the scope; ``kind`` is a number of DownItemKind."""

    scope: str
    seq: int
    kind: int
    item_id: str
    content: bytes
    removed: bool


def site_scope(site_id: str) -> str:
    """The scope of the tasks of all devices of a site."""
    return f"site:{site_id}"


def device_scope(device_id: str) -> str:
    """The scope of the directives of one device."""
    return f"device:{device_id}"


def task_scope(device_id: str) -> str:
    """The scope of the tasks that one device alone is told; its directives have a scope of their own."""
    return f"tasks:{device_id}"


def lock_scope(connection: Connection, scope: str) -> None:
    """Let nobody else publish in a scope until the transaction ends: for content that depends on other rows.

    Where nothing was ever published there is no row to lock: of two first ones, the database asks the second
    transaction again (``Store.run``).
    """
    connection.execute(select(feed_scopes.c.seq).where(feed_scopes.c.scope == scope).with_for_update())


def publish(
    connection: Connection,
    scope: str,
    *,
    kind: int,
    item_id: str,
    content: bytes = b"",
    removed: bool = False,
) -> int:
    """Put an item at the end of its scope, in place of the one of its kind and id; return its seq.

    The counter's row is locked until the transaction ends: who reads seq n finds all that come before.
    """
    if len(content) > MAX_CONTENT_BYTES or (removed and content):
        raise ValueError("an item is too large, or one that is removed has content")
    step, chance = 1 << RANDOM_BITS, secrets.randbits(RANDOM_BITS)
    old = feed_scopes.c.seq
    counted = update(feed_scopes).where(feed_scopes.c.scope == scope)
    if connection.execute(counted.values(seq=old - old % step + step + chance)).rowcount == 0:
        connection.execute(insert(feed_scopes).values(scope=scope, seq=step + chance))
    seq = newest_seq(connection, scope)
    _leave_mark(connection, scope, kind=kind, item_id=item_id)
    if (seq >> RANDOM_BITS) % _PRUNE_EVERY == 0:
        _drop_marks(connection, scope, before=seq - (MARKS_KEPT << RANDOM_BITS))
    connection.execute(
        insert(feed_items).values(
            scope=scope, seq=seq, kind=kind, item_id=item_id, content=content, removed=removed
        )
    )
    return seq


def get_item(connection: Connection, scope: str, *, kind: int, item_id: str) -> FeedRow | None:
    """The newest item of this kind and id in a scope."""
    query = select(*feed_items.c).where(
        feed_items.c.scope == scope, feed_items.c.kind == kind, feed_items.c.item_id == item_id
    )
    row = connection.execute(query).one_or_none()
    return FeedRow(**row._mapping) if row else None


def is_known(connection: Connection, scope: str, seq: int) -> bool:
    """Whether this store gave out ``seq``, as far as it remembers; 0, the beginning, is known everywhere."""
    query = select(feed_items.c.seq).where(feed_items.c.scope == scope, feed_items.c.seq == seq)
    return seq == 0 or connection.execute(query).one_or_none() is not None


def newest_seq(connection: Connection, scope: str) -> int:
    """The newest seq of a scope; 0 where nothing was ever published."""
    query = select(feed_scopes.c.seq).where(feed_scopes.c.scope == scope)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found or 0


def sizes_behind(connection: Connection, scope: str, *, seq: int, limit: int) -> list[tuple[int, int]]:
    """Seq and bytes of the first items of a scope behind ``seq``, in order."""
    query = select(feed_items.c.seq, func.length(feed_items.c.content)).where(
        feed_items.c.scope == scope, feed_items.c.seq > seq, feed_items.c.kind != MARK
    )
    rows = connection.execute(query.order_by(feed_items.c.seq).limit(limit))
    return [(found, size) for found, size in rows]


def read_behind(connection: Connection, scope: str, *, seq: int, through: int) -> list[FeedRow]:
    """Items of a scope behind ``seq``, up to and with ``through``, in order."""
    query = select(*feed_items.c).where(
        feed_items.c.scope == scope,
        feed_items.c.seq > seq,
        feed_items.c.seq <= through,
        feed_items.c.kind != MARK,
    )
    return [FeedRow(**row._mapping) for row in connection.execute(query.order_by(feed_items.c.seq))]


def _leave_mark(connection: Connection, scope: str, *, kind: int, item_id: str) -> None:
    """Turn the newest item of this kind and id into a mark."""
    known = get_item(connection, scope, kind=kind, item_id=item_id)
    if known is not None:
        connection.execute(
            update(feed_items)
            .where(feed_items.c.scope == scope, feed_items.c.seq == known.seq)
            .values(kind=MARK, item_id=str(known.seq), content=b"", removed=True)
        )


def _drop_marks(connection: Connection, scope: str, *, before: int) -> None:
    connection.execute(
        delete(feed_items).where(
            feed_items.c.scope == scope, feed_items.c.seq < before, feed_items.c.kind == MARK
        )
    )
