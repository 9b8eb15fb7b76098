"""Verification for banks: the catalogue, customers, sessions at devices, requests and records."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from cloud.store.schema.base import metadata, where

banks = Table(
    "banks",
    metadata,
    Column("bank_id", String(36), primary_key=True),
    Column("code", String(32), nullable=False, unique=True),
    Column("name_zh", String(100), nullable=False),
    Column("name_en", String(100), nullable=False),
    Column("name_es", String(100), nullable=False),
    Column("periods", String(128), nullable=False),  # P90D P6M P1Y, with spaces between
    Column("enabled", Integer, nullable=False),  # 0 or 1
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# Version 0 is in the code.
bank_notices = Table(
    "bank_notices",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text_zh", Text, nullable=False),
    Column("text_en", Text, nullable=False),
    Column("text_es", Text, nullable=False),
    Column("published_us", BigInteger, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("customer_id", String(36), primary_key=True),
    # Sealed, and found by a blind index.
    Column("id_number", LargeBinary),
    Column("id_number_blind", LargeBinary(36), unique=True),
    Column("version", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
)

customer_versions = Table(
    "customer_versions",
    metadata,
    Column("version_id", String(36), primary_key=True),
    Column("customer_id", String(36), ForeignKey("customers.customer_id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", LargeBinary),  # sealed: Customer
    Column("session_id", String(36), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("customer_id", "version"),
)

customer_organisations = Table(
    "customer_organisations",
    metadata,
    Column("organisation_id", String(36), primary_key=True),
    Column("customer_id", String(36), ForeignKey("customers.customer_id"), nullable=False),
    Column("name", LargeBinary),  # sealed
    Column("linked_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Index("ix_customer_organisations_customer", "customer_id", "organisation_id"),
)

coop_sessions = Table(
    "coop_sessions",
    metadata,
    Column("session_id", String(36), primary_key=True),
    Column("device_id", String(36), nullable=False),
    # 1 to the most sessions that a device may have open.
    Column("slot", Integer, nullable=False),
    Column("state", Integer, nullable=False),  # CoopState
    Column("end", Integer, nullable=False),  # CoopEnd
    Column("language", String(2), nullable=False),
    # Whose key seals what is personal here: the customer's, or the session's own.
    Column("person_id", String(36), nullable=False),
    Column("customer_id", String(36)),
    # The one question to the authority that may be under way.
    Column("check_id", String(36)),
    Column("check_input", LargeBinary(36)),  # keyed digest
    Column("check_until_us", BigInteger, nullable=False),
    Column("card", LargeBinary),  # sealed: CoopCard
    Column("authority_photo", LargeBinary),  # sealed
    Column("items", LargeBinary),  # CoopSession.items and outcome alone
    Column("nonce", LargeBinary(32)),
    Column("nonce_us", BigInteger),
    Column("face_tries", Integer, nullable=False),
    Column("attestation_id", String(36)),
    Column("envelope_sha256", LargeBinary(32)),
    Column("picture_sha256", LargeBinary(32)),
    Column("customer_version", Integer, nullable=False),
    Column("bank_id", String(36)),
    Column("period", String(8)),
    Column("organisation_id", String(36)),
    Column("organisation_name", LargeBinary),  # sealed
    Column("notice_version", Integer),
    Column("notice_sha256", LargeBinary(32)),
    Column("steps", LargeBinary, nullable=False),  # CoopEvidence.steps alone
    Column("number", String(16)),
    Column("started_us", BigInteger, nullable=False),
    Column("deadline_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    # When what is personal here was taken away.
    Column("cleared_us", BigInteger),
    Column("version", BigInteger, nullable=False),
    Index("ux_coop_sessions_open", "device_id", "slot", unique=True, **where(text("ended_us IS NULL"))),
    Index("ix_coop_sessions_due", "state", "deadline_us", **where(text("ended_us IS NULL"))),
    Index("ix_coop_sessions_clear", "state", "ended_us", **where(text("cleared_us IS NULL"))),
    Index("ix_coop_sessions_person", "person_id"),
)

coop_signatures = Table(
    "coop_signatures",
    metadata,
    Column("session_id", String(36), ForeignKey("coop_sessions.session_id"), primary_key=True),
    Column("customer_id", String(36), nullable=False, index=True),
    Column("strokes", LargeBinary),  # sealed: SignatureStrokes
    Column("image", LargeBinary),  # sealed: PNG
    Column("strokes_sha256", LargeBinary(32), nullable=False),
    Column("image_sha256", LargeBinary(32), nullable=False),
    Column("signed_us", BigInteger, nullable=False),
)

# One row for each year: who issues holds it, so that no number is left out.
coop_numbers = Table(
    "coop_numbers",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

coop_records = Table(
    "coop_records",
    metadata,
    Column("record_id", String(36), primary_key=True),
    Column("number", String(16), nullable=False, unique=True),
    Column("session_id", String(36), ForeignKey("coop_sessions.session_id"), nullable=False, unique=True),
    Column("customer_id", String(36), ForeignKey("customers.customer_id"), nullable=False),
    Column("bank_id", String(36), ForeignKey("banks.bank_id"), nullable=False),
    Column("bank_names", LargeBinary, nullable=False),  # Bank: its names then
    Column("organisation_id", String(36)),
    Column("organisation_name", LargeBinary),  # sealed
    Column("outcome", Integer, nullable=False),  # CoopOutcome
    Column("period", String(8), nullable=False),
    Column("valid_from_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("revocation", Integer, nullable=False),  # CoopRevocation
    Column("explanation", LargeBinary),  # sealed
    Index("ix_coop_records_customer", "customer_id", "record_id"),
)

coop_requests = Table(
    "coop_requests",
    metadata,
    Column("record_id", String(36), ForeignKey("coop_records.record_id"), primary_key=True),
    Column("customer_id", String(36), nullable=False, index=True),
    Column("pdf", LargeBinary),  # sealed
    Column("pdf_sha256", LargeBinary(32), nullable=False),
    Column("evidence", LargeBinary, nullable=False),  # CoopEvidence
    Column("evidence_sha256", LargeBinary(32), nullable=False),
)
