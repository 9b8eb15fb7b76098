"""The audit chain with its signed heads, and the keys of persons."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from cloud.store.schema.base import metadata

audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # The event as it was hashed.
    Column("content", LargeBinary, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    # Copied out of the content for listing.
    Column("time_us", BigInteger, nullable=False),
    Column("caller", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("outcome", Integer, nullable=False),  # AuditOutcome
    Index("ix_audit_events_caller", "caller", "seq"),
    Index("ix_audit_events_action", "action", "seq"),
    Index("ix_audit_events_subject", "subject", "seq"),
)

# One row, "events": who appends holds it.
audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", String(16), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    # The event that it names.
    Column("seq", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("certificate_sha256", LargeBinary(32), ForeignKey("certificates.sha256"), nullable=False),
    Column("signed_us", BigInteger, nullable=False),
)

person_keys = Table(
    "person_keys",
    metadata,
    # Also the digest of a feed's scope, for its tasks.
    Column("person_id", String(64), primary_key=True),
    # Version of the ring's key that wraps this one; 0 once the key is destroyed.
    Column("ring_version", Integer, nullable=False),
    # Sealed; empty once the key is destroyed.
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("erased_us", BigInteger),
    Index("ix_person_keys_version", "ring_version", "person_id"),
)
