"""The transparency log: leaves, full tiles, signed checkpoints, and the head that lets one writer in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, String, Table, Text, text

from cloud.store.schema.base import metadata, where

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    # The record's place in its chain; null only for a leaf whose record has none.
    Column("device_id", String(36)),
    Column("chain_epoch", BigInteger),
    Column("seq", BigInteger),
    # The service's own leaves, a few in millions, for whoever checks that none is missing.
    Index("ix_log_leaves_own", "log_index", **where(text("device_id IS NULL"))),
)

log_head = Table(
    "log_head",
    metadata,
    # Always 1: there is one log. Who extends it locks this row first, and moves it from the size extended.
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("tree_size", BigInteger, nullable=False),
    # The checkpoint over it: what is signed, not the rows, says what the log is.
    Column("note", Text, nullable=False),
)

log_tiles = Table(
    "log_tiles",
    metadata,
    # C2SP tlog-tiles, full ones only: they never change.
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("tile_index", BigInteger, primary_key=True, autoincrement=False),
    # Over its hashes: a hash of the level above, which is read without this tile.
    Column("root", LargeBinary(32), nullable=False),
    Column("hashes", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
    # Statements cite a checkpoint by it.
    Column("note_sha256", LargeBinary(32), nullable=False, server_default=text("''")),
    Index("ix_checkpoints_note", "note_sha256"),
)
