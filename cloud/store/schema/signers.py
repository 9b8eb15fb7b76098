"""Certificates of signers: what was issued, to which account, and what of it was revoked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, String, Table, text

from cloud.store.schema.base import metadata, where

signer_certificates = Table(
    "signer_certificates",
    metadata,
    # Lower-case hex of 40 characters at most: serial numbers have 20 bytes.
    Column("serial", String(40), primary_key=True),
    # Of a person, of a person for an organisation, or of the platform. Names stand in documents alone.
    Column("kind", SmallInteger, nullable=False),
    # Empty for the platform's.
    Column("account_id", String(36), nullable=False),
    Column("certificate_sha256", LargeBinary(32), nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("reason", SmallInteger),
    Index("ix_signer_certificates_issued", "issued_us", "serial"),
    Index("ix_signer_certificates_account", "account_id", "issued_us", "serial"),
    Index(
        "ix_signer_certificates_revoked",
        "revoked_us",
        "serial",
        **where(text("revoked_us IS NOT NULL")),
    ),
)
