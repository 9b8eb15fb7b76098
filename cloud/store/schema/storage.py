"""Stores of files, and which of them has what."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)

from cloud.store.schema.base import metadata, where

object_stores = Table(
    "object_stores",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("role", Integer, nullable=False),  # StoreRole
    Column("kind", String(16), nullable=False),
    Column("provider", String(64), nullable=False),
    # Whether the store has a mark, without which it is away.
    Column("marked", Boolean, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger),  # when it answered last
    Column("fault", String(16), nullable=False),
    Column("fault_us", BigInteger),
    # Up to when all objects were entered.
    Column("listed_us", BigInteger),
)

object_replicas = Table(
    "object_replicas",
    metadata,
    Column("store", String(32), ForeignKey("object_stores.name"), primary_key=True),
    Column("sealed_sha256", LargeBinary(32), primary_key=True),
    Column("state", Integer, nullable=False),  # ReplicaState
    # Since when it is behind; else when its state came about.
    Column("since_us", BigInteger, nullable=False),
    Column("checked_us", BigInteger, nullable=False),  # 0: never since it was written
    Column("due_us", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("fault", String(16), nullable=False),
    Index("ix_object_replicas_checked", "store", "checked_us"),
    Index("ix_object_replicas_file", "sealed_sha256"),
    # LAGGING, CORRUPT, DROPPED: what somebody has to do.
    Index("ix_object_replicas_due", "store", "due_us", **where(text("state IN (2, 3, 5)"))),
)
