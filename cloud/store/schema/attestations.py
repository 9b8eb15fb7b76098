"""What devices delivered: records in their chains, what waits, what stands beside, files and receipts."""

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
    Text,
    text,
)

from cloud.store.schema.base import lane_column, metadata, where

certificates = Table(
    "certificates",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("der", LargeBinary, nullable=False),
    # The next certificate of the chain; null below the root, which is left out.
    Column("issuer_sha256", LargeBinary(32), ForeignKey("certificates.sha256")),
)

attestations = Table(
    "attestations",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("attestation_id", String(36), nullable=False, unique=True),
    # Its leaf, which names this place in turn: whoever reads in the order of the log begins there.
    Column("log_index", BigInteger, nullable=False),
    lane_column(),
    # The bytes as the device wrote them.
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_sha256", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), nullable=False),
    # Copied out of the statement for listing.
    Column("site_id", String(64), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON list of codes
    Column("wall_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    # Size of the tree whose checkpoint the statement cites; null where it cites none of ours.
    Column("cited_tree_size", BigInteger),
    # Events have no outcome.
    Index("ix_attestations_outcome", "lane", "outcome", "log_index", **where(text("outcome > 0"))),
    Index(
        "ix_attestations_cited",
        "lane",
        "cited_tree_size",
        "log_index",
        **where(text("cited_tree_size IS NOT NULL")),
    ),
)

staged = Table(
    "staged",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_sha256", LargeBinary(32), nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), nullable=False),
    Column("excusing", Boolean, nullable=False),  # a GAP or a TOMBSTONE
    Column("received_us", BigInteger, nullable=False),
)

excuses = Table(
    "excuses",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    # The record that says so.
    Column("by_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    # What the record behind last_seq names as its predecessor.
    Column("last_sha256", LargeBinary(32), nullable=False),
    Column("refused", Boolean, nullable=False),  # a TOMBSTONE: counts only for refused bytes of this digest
)

epochs = Table(
    "epochs",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("opened_us", BigInteger, nullable=False),
    # Where the chain stood here: the closed head. Epoch 1 and seq 0 where there was none.
    Column("closed_epoch", BigInteger, nullable=False),
    Column("closed_seq", BigInteger, nullable=False),
    Column("closed_sha256", LargeBinary(32), nullable=False),
    # Where the device says it stood: null where its store was lost.
    Column("device_epoch", BigInteger),
    Column("device_seq", BigInteger),
    Column("device_sha256", LargeBinary(32)),
)

side_records = Table(
    "side_records",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),  # SideRecordKind
    # As claimed; 0 where nothing could be read.
    Column("chain_epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", String(36), nullable=False),  # UUID version 7: ascending with time
    Column("reason", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    # Cut, or empty, beyond the limits of cloud.attestations.limits.
    Column("content", LargeBinary, nullable=False),
    lane_column(),
    Index("ix_side_records_record", "lane", "record_id"),
)

media = Table(
    "media",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("attestation_id", String(36), nullable=False),
    Column("name", String(64), nullable=False),
    Column("named_us", BigInteger, nullable=False),
    Column("complete_us", BigInteger),
)

receipts = Table(
    "receipts",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
    # Leaf of the chain for the key that signed it; null in rows of schema 0001, whose key is still in use.
    Column("certificate_sha256", LargeBinary(32)),
    # The newest of a device.
    Index("ix_receipts_signed", "device_id", "signed_us"),
)
