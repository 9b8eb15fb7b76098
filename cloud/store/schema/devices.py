"""Devices, how they came in, their certificates, and the alarms that they raised."""

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

from cloud.store.schema.base import lane_column, metadata, where

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
    Column("state", Integer, nullable=False, server_default=text("2")),  # DeviceState
    Column("account_id", String(64), nullable=False, server_default=text("''")),
    # The device whose place this one took.
    Column("predecessor_id", String(36)),
    # A TPM has proved that the attestation key lives in it.
    Column("residency", Boolean, nullable=False, server_default=text("FALSE")),
    # SubjectPublicKeyInfo, DER; null only for a device of schema 0001 that has delivered nothing since.
    Column("attestation_key", LargeBinary),
    # To the minute: see devices.touch.
    Column("last_contact_us", BigInteger),
    Index("ix_devices_state", "state", "device_id"),
    Index("ix_devices_site", "site_id", "device_id"),
    Index("ix_devices_predecessor", "predecessor_id", **where(text("predecessor_id IS NOT NULL"))),
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
    Column("device_id", String(36)),
    Column("account_id", String(64), nullable=False, server_default=text("''")),
    Column("predecessor_id", String(36)),
    Column("waive_approval", Boolean, nullable=False, server_default=text("FALSE")),
)

issued_certificates = Table(
    "issued_certificates",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("serial", String(40), primary_key=True),  # lower-case hex
    Column("purpose", String(16), nullable=False),  # attestation or tls_client
    Column("issued_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("reason", Integer),  # RevocationReason
    # Leaf of the chain, for attestation certificates: a renewal gives a young one again.
    Column("certificate_sha256", LargeBinary(32)),
    Index("ix_issued_certificates_revoked", "revoked_us", **where(text("revoked_us IS NOT NULL"))),
)

tpm_challenges = Table(
    "tpm_challenges",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("device_id", String(36), ForeignKey("devices.device_id"), primary_key=True),
    Column("alarm_id", String(36), primary_key=True),  # UUID version 7: ascending with time
    Column("kind", Integer, nullable=False),  # AlarmKind
    Column("raised_us", BigInteger, nullable=False),
    Column("chain_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("acknowledged_us", BigInteger),
    lane_column(),
    Index("ix_alarms_alarm", "lane", "alarm_id"),
    # Few are open among all that ever were: whoever looks for them must not read the others.
    Index("ix_alarms_open", "lane", "alarm_id", **where(text("acknowledged_us IS NULL"))),
)
