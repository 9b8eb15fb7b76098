"""Rows of the log: leaves without gaps, full tiles, the checkpoints signed over them, and the head."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from cloud.store.schema import checkpoints, log_head, log_leaves, log_tiles
from verifield.tiles import Tile

LEAVES_AT_ONCE = 10_000
"""Read at once: a megabyte."""

Place = tuple[str, int, int]
"""Device, epoch and seq of a record."""

_NO_PLACE = (None, None, None)
_HEAD_ID = 1

# Built once: they are executed for every group.
_HEAD = select(log_head.c.tree_size, log_head.c.note).where(log_head.c.id == _HEAD_ID)
_LOCKED_HEAD = _HEAD.with_for_update()
_MOVE_HEAD = (
    update(log_head)
    .where(log_head.c.id == _HEAD_ID, log_head.c.tree_size == bindparam("from_size"))
    .values(tree_size=bindparam("to_size"), note=bindparam("new_note"))
)
# In the drivers' own words, since there is a row for each record: SQLite takes them one by one in C, a server
# gets them as columns in one statement.
_ADD_LEAVES_SQLITE = (
    "INSERT INTO log_leaves (log_index, leaf_hash, device_id, chain_epoch, seq) VALUES (?, ?, ?, ?, ?)"
)
_ADD_LEAVES_POSTGRESQL = (
    "INSERT INTO log_leaves (log_index, leaf_hash, device_id, chain_epoch, seq)"
    " SELECT * FROM unnest(%b::bigint[], %b::bytea[], %b::text[], %b::bigint[], %b::bigint[])"
)
_LEAVES = (
    select(log_leaves.c.log_index, log_leaves.c.leaf_hash)
    .where(log_leaves.c.log_index >= bindparam("first"), log_leaves.c.log_index < bindparam("last"))
    .order_by(log_leaves.c.log_index)
)
_TILE = select(log_tiles.c.hashes).where(
    log_tiles.c.level == bindparam("level"), log_tiles.c.tile_index == bindparam("index")
)


@dataclass(frozen=True, slots=True)
class HeadRow:
    """The newest checkpoint ``note`` over ``tree_size`` leaves."""

    tree_size: int
    note: str


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A leaf; ``place`` of its record, None where it has none."""

    log_index: int
    leaf_hash: bytes
    place: Place | None


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint with the digest by which statements cite it."""

    tree_size: int
    note: str
    note_sha256: bytes


def get_head(connection: Connection, *, lock: bool = False) -> HeadRow | None:
    """Read the head; with ``lock`` nobody else may extend the log until the transaction ends."""
    row = connection.execute(_LOCKED_HEAD if lock else _HEAD).one_or_none()
    return HeadRow(row.tree_size, row.note) if row else None


def add_head(connection: Connection, head: HeadRow) -> None:
    """Write the first head; the primary key refuses a second one."""
    connection.execute(insert(log_head).values(id=_HEAD_ID, tree_size=head.tree_size, note=head.note))


def move_head(connection: Connection, head: HeadRow, *, from_size: int) -> bool:
    """Set the head; False where it does not stand at ``from_size``."""
    values = {"from_size": from_size, "to_size": head.tree_size, "new_note": head.note}
    return connection.execute(_MOVE_HEAD, values).rowcount == 1


def add_leaves(
    connection: Connection, first_index: int, leaf_hashes: Sequence[bytes], places: Sequence[Place | None]
) -> None:
    """Append leaves with the places of their records; the primary key refuses a second writer."""
    if not leaf_hashes:
        return
    indexes = range(first_index, first_index + len(leaf_hashes))
    parts = [place or _NO_PLACE for place in places]
    if connection.dialect.name == "sqlite":
        rows = [
            (index, leaf_hash, *part)
            for index, leaf_hash, part in zip(indexes, leaf_hashes, parts, strict=True)
        ]
        connection.exec_driver_sql(_ADD_LEAVES_SQLITE, rows)
    else:
        columns = [list(column) for column in zip(*parts, strict=True)]
        connection.exec_driver_sql(_ADD_LEAVES_POSTGRESQL, (list(indexes), list(leaf_hashes), *columns))


def leaf_hashes(connection: Connection, first: int, last: int) -> Iterator[list[bytes]]:
    """Leaves first to last - 1 in pieces; a piece ends early where a leaf is missing, and is the last one."""
    while first < last:
        bounds = {"first": first, "last": min(last, first + LEAVES_AT_ONCE)}
        rows = connection.execute(_LEAVES, bounds).all()
        hashes = [row.leaf_hash for number, row in enumerate(rows, first) if row.log_index == number]
        yield hashes
        if len(hashes) < bounds["last"] - first:
            return
        first += len(hashes)


def list_leaves(connection: Connection, first: int) -> list[LeafRow]:
    """The next LEAVES_AT_ONCE leaves from ``first`` on."""
    query = select(log_leaves).where(log_leaves.c.log_index >= first).order_by(log_leaves.c.log_index)
    rows = connection.execute(query.limit(LEAVES_AT_ONCE))
    return [LeafRow(row.log_index, row.leaf_hash, _place(row)) for row in rows]


def list_checkpoints(connection: Connection, *, after: int, limit: int) -> list[CheckpointRow]:
    """The next checkpoints over trees larger than ``after``."""
    query = (
        select(checkpoints.c.tree_size, checkpoints.c.note, checkpoints.c.note_sha256)
        .where(checkpoints.c.tree_size > after)
        .order_by(checkpoints.c.tree_size)
        .limit(limit)
    )
    return [CheckpointRow(**row._mapping) for row in connection.execute(query)]


def get_leaf(connection: Connection, log_index: int) -> bytes | None:
    """The leaf hash at ``log_index``."""
    found: bytes | None = connection.execute(
        select(log_leaves.c.leaf_hash).where(log_leaves.c.log_index == log_index)
    ).scalar_one_or_none()
    return found


def newest_index(connection: Connection) -> int | None:
    """The highest index that a leaf has."""
    query = select(log_leaves.c.log_index).order_by(log_leaves.c.log_index.desc()).limit(1)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def add_tiles(connection: Connection, tiles: Sequence[Tile]) -> None:
    """Keep full tiles."""
    if tiles:
        rows = [
            {"level": one.level, "tile_index": one.index, "root": one.root, "hashes": one.hashes}
            for one in tiles
        ]
        connection.execute(insert(log_tiles), rows)


def get_tile(connection: Connection, level: int, index: int) -> bytes | None:
    """The hashes of a full tile."""
    found: bytes | None = connection.execute(_TILE, {"level": level, "index": index}).scalar_one_or_none()
    return found


def tile_roots(connection: Connection, level: int, first: int, count: int) -> list[bytes]:
    """Roots of full tiles of one level, from ``first`` on; fewer than ``count`` where one is missing."""
    query = (
        select(log_tiles.c.tile_index, log_tiles.c.root)
        .where(
            log_tiles.c.level == level,
            log_tiles.c.tile_index >= first,
            log_tiles.c.tile_index < first + count,
        )
        .order_by(log_tiles.c.tile_index)
    )
    rows = connection.execute(query).all()
    return [row.root for number, row in enumerate(rows, first) if row.tile_index == number]


def last_checkpoint(connection: Connection) -> HeadRow | None:
    """The largest tree that was ever signed; the head says the same."""
    query = select(checkpoints.c.tree_size, checkpoints.c.note).order_by(checkpoints.c.tree_size.desc())
    row = connection.execute(query.limit(1)).one_or_none()
    return HeadRow(row.tree_size, row.note) if row else None


def add_checkpoint(connection: Connection, *, tree_size: int, note: str, signed_us: int) -> None:
    """Keep a checkpoint."""
    row = {
        "tree_size": tree_size,
        "note": note,
        "signed_us": signed_us,
        "note_sha256": sha256(note.encode()).digest(),
    }
    connection.execute(insert(checkpoints), row)


def get_checkpoint(connection: Connection, tree_size: int) -> str | None:
    """The note that was signed over the tree of this size, if one was."""
    query = select(checkpoints.c.note).where(checkpoints.c.tree_size == tree_size)
    note: str | None = connection.execute(query).scalar_one_or_none()
    return note


def sizes_of_notes(connection: Connection, digests: Collection[bytes]) -> dict[bytes, int]:
    """Tree sizes of those checkpoints whose notes have these digests."""
    if not digests:
        return {}
    query = select(checkpoints.c.note_sha256, checkpoints.c.tree_size).where(
        checkpoints.c.note_sha256.in_(digests)
    )
    return {row.note_sha256: row.tree_size for row in connection.execute(query)}


def _place(row: Row[Any]) -> Place | None:
    return None if row.device_id is None else (row.device_id, row.chain_epoch, row.seq)
