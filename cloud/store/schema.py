"""The tables, as SQLAlchemy Core. Times are microseconds since 1970 (UTC), digests are raw SHA-256.

Migrations build these in a database; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

devices = Table(
    "devices",
    metadata,
    Column("device_id", String(36), primary_key=True),
    Column("site_id", String(64), nullable=False),
    Column("key_protection", Integer, nullable=False),
    # SHA-256 of the attestation key's SubjectPublicKeyInfo: one key never has two chains.
    Column("attestation_key_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("enrolled_us", BigInteger, nullable=False),
    # Head of the device's chain; seq 0 and an empty digest before the first record.
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("head_sha256", LargeBinary(32), nullable=False),
    Column("last_delivery_us", BigInteger),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    # The token itself is never kept.
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("site_id", String(64), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("device_id", String(36), ForeignKey("devices.device_id")),
)

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
    Column(
        "log_index", BigInteger, ForeignKey("log_leaves.log_index"), primary_key=True, autoincrement=False
    ),
    Column("attestation_id", String(36), nullable=False, unique=True),
    Column("device_id", String(36), ForeignKey("devices.device_id"), nullable=False),
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # The bytes as the device wrote them.
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_sha256", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), ForeignKey("certificates.sha256"), nullable=False),
    # Copied out of the statement for listing.
    Column("site_id", String(64), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON list of codes
    Column("wall_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    UniqueConstraint("device_id", "chain_epoch", "seq", name="uq_attestations_position"),
    Index("ix_attestations_device", "device_id", "log_index"),
    Index("ix_attestations_outcome", "outcome", "log_index"),
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("device_id", String(36), ForeignKey("devices.device_id"), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
)
