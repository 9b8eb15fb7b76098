"""What goes down to devices: policies and the feed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, UniqueConstraint

from cloud.store.schema.base import metadata

policies = Table(
    "policies",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    # Of the signed payload, as statements name it.
    Column("payload_sha256", LargeBinary(32), nullable=False),
    Column("issued_us", BigInteger, nullable=False),
)

feed_scopes = Table(
    "feed_scopes",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

feed_items = Table(
    "feed_items",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Integer, nullable=False),  # DownItemKind
    Column("item_id", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("removed", Boolean, nullable=False),
    UniqueConstraint("scope", "kind", "item_id", name="uq_feed_items_item"),
)
