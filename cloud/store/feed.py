"""Rows of what comes down to devices: the newest item of each kind and id in each scope."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from cloud.store.schema import feed_items, feed_scopes

SCOPE_ALL = "all"

MAX_CONTENT_BYTES = 2 * 1024 * 1024 + 64 * 1024
"""Of one item: the largest revocation list, and room; it fits a message of gRPC's default 4 MiB."""


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
    """The scope of all devices of a site."""
    return f"site:{site_id}"


def device_scope(device_id: str) -> str:
    """The scope of one device."""
    return f"device:{device_id}"


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
    counted = update(feed_scopes).where(feed_scopes.c.scope == scope).values(seq=feed_scopes.c.seq + 1)
    if connection.execute(counted).rowcount == 0:
        connection.execute(insert(feed_scopes).values(scope=scope, seq=1))
    seq = newest_seq(connection, scope)
    connection.execute(
        delete(feed_items).where(
            feed_items.c.scope == scope, feed_items.c.kind == kind, feed_items.c.item_id == item_id
        )
    )
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


def newest_seq(connection: Connection, scope: str) -> int:
    """How many items were ever published in a scope."""
    query = select(feed_scopes.c.seq).where(feed_scopes.c.scope == scope)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found or 0


def sizes_behind(connection: Connection, scope: str, *, seq: int, limit: int) -> list[tuple[int, int]]:
    """Seq and bytes of the first items of a scope behind ``seq``, in order."""
    query = select(feed_items.c.seq, func.length(feed_items.c.content)).where(
        feed_items.c.scope == scope, feed_items.c.seq > seq
    )
    rows = connection.execute(query.order_by(feed_items.c.seq).limit(limit))
    return [(found, size) for found, size in rows]


def read_behind(connection: Connection, scope: str, *, seq: int, through: int) -> list[FeedRow]:
    """Items of a scope behind ``seq``, up to and with ``through``, in order."""
    query = select(*feed_items.c).where(
        feed_items.c.scope == scope, feed_items.c.seq > seq, feed_items.c.seq <= through
    )
    return [FeedRow(**row._mapping) for row in connection.execute(query.order_by(feed_items.c.seq))]
