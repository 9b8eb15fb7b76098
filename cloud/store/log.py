"""Rows of the log: leaf hashes without gaps, and the checkpoints that were signed over them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, insert, select

from cloud.store.schema import checkpoints, log_leaves

_LEAVES_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class LeafRow:
    log_index: int
    leaf_hash: bytes


def all_leaves(connection: Connection) -> Iterator[LeafRow]:
    """Every leaf in order, read in pieces."""
    query = select(log_leaves.c.log_index, log_leaves.c.leaf_hash).order_by(log_leaves.c.log_index)
    for index, leaf_hash in connection.execute(query, execution_options={"yield_per": _LEAVES_AT_ONCE}):
        yield LeafRow(index, leaf_hash)


def get_leaf(connection: Connection, log_index: int) -> bytes | None:
    """The leaf hash at ``log_index``."""
    found: bytes | None = connection.execute(
        select(log_leaves.c.leaf_hash).where(log_leaves.c.log_index == log_index)
    ).scalar_one_or_none()
    return found


def add_leaves(connection: Connection, first_index: int, leaf_hashes: Sequence[bytes]) -> None:
    """Append leaves; the primary key refuses a second writer."""
    rows = [
        {"log_index": index, "leaf_hash": leaf_hash}
        for index, leaf_hash in enumerate(leaf_hashes, first_index)
    ]
    connection.execute(insert(log_leaves), rows)


def last_checkpoint(connection: Connection) -> str | None:
    """The note of the largest tree that was ever signed."""
    note: str | None = connection.execute(
        select(checkpoints.c.note).order_by(checkpoints.c.tree_size.desc()).limit(1)
    ).scalar_one_or_none()
    return note


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
