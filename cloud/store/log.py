"""Rows of the log: leaf hashes without gaps, and the checkpoints that were signed over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cloud.store.schema import checkpoints, log_leaves


@dataclass(frozen=True, slots=True)
class LeafRow:
    log_index: int
    leaf_hash: bytes


def all_leaves(connection: Connection) -> list[LeafRow]:
    """Every leaf in order."""
    query = select(log_leaves.c.log_index, log_leaves.c.leaf_hash).order_by(log_leaves.c.log_index)
    return [LeafRow(index, leaf_hash) for index, leaf_hash in connection.execute(query)]


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
    connection.execute(insert(checkpoints).values(tree_size=tree_size, note=note, signed_us=signed_us))
