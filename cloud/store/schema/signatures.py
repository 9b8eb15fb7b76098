"""Signing: pictures of signatures, passkeys, acts of signing, and the signatures that were made."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, text

from cloud.store.schema.base import metadata, where

signature_assets = Table(
    "signature_assets",
    metadata,
    Column("asset_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("strokes", LargeBinary),  # sealed: SignatureStrokes
    Column("image", LargeBinary),  # sealed: PNG
    Column("image_sha256", LargeBinary(32), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("retired_us", BigInteger),
    Index("ix_signature_assets_account", "account_id", "asset_id"),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("passkey_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    # Of the id that its authenticator gave it.
    Column("credential_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("credential", LargeBinary),  # sealed: AttestedCredentialData of WebAuthn
    Column("name", LargeBinary),  # sealed
    Column("sign_count", BigInteger, nullable=False),
    Column("synced", Integer, nullable=False),  # 0 or 1
    Column("created_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("removed_us", BigInteger),
    Index("ix_passkeys_account", "account_id", "passkey_id"),
)

# One for each account: who begins anew forgets the one before.
passkey_registrations = Table(
    "passkey_registrations",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("registration_id", String(36), nullable=False),
    Column("challenge", LargeBinary(32), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

_OPEN = "state IN (1, 2, 3, 4)"
_AUTHENTICATED = "state IN (3, 4)"

signings = Table(
    "signings",
    metadata,
    Column("signing_id", String(36), primary_key=True),
    Column("contract_id", String(36), nullable=False),
    Column("party_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("organisation_id", String(36)),
    Column("state", Integer, nullable=False),  # SigningState
    Column("challenge", LargeBinary(16), nullable=False),
    Column("document_sha256", LargeBinary(32), nullable=False),
    # What the person chose and saw.
    Column("preview_sha256", LargeBinary(32)),
    Column("asset_id", String(36)),
    Column("seal_id", String(36)),
    # How the person authenticated.
    Column("method", Integer, nullable=False),  # SignMethod
    Column("evidence_id", String(36), nullable=False),
    Column("evidence_sha256", LargeBinary(32)),
    Column("evidence", LargeBinary),  # what a third party checks: of a passkey its assertion
    Column("device_id", String(36), nullable=False),
    Column("source", LargeBinary),  # sealed: from where the call came
    Column("authenticated_us", BigInteger),
    Column("signed_us", BigInteger),
    Column("reason", String(64), nullable=False),
    Column("site_id", String(64), nullable=False),
    Column("task_id", String(36), unique=True),
    Column("started_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    # When the signature is tried next, of those who have authenticated.
    Column("due_us", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    # When the flow began: the first page that was opened.
    Column("opened_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index("ux_signings_open", "party_id", "account_id", unique=True, **where(text(_OPEN))),
    Index("ux_signings_authenticated", "party_id", unique=True, **where(text(_AUTHENTICATED))),
    Index("ix_signings_due", "due_us", **where(text(_AUTHENTICATED))),
    Index("ix_signings_expire", "expires_us", **where(text("state IN (1, 2)"))),
    Index("ix_signings_contract", "contract_id", "signing_id"),
)

# Append-only, as the database sees to; a field is signed once.
signature_records = Table(
    "signature_records",
    metadata,
    Column("record_id", String(36), primary_key=True),
    Column("contract_id", String(36), nullable=False),
    Column("party_id", String(36), nullable=False),
    Column("signing_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("organisation_id", String(36)),
    Column("kind", Integer, nullable=False),  # SignatureKind
    Column("field", String(64), nullable=False),
    Column("serial", String(64), nullable=False),
    Column("method", Integer, nullable=False),  # SignMethod
    Column("evidence_id", String(36), nullable=False),
    Column("evidence_sha256", LargeBinary(32)),
    Column("evidence", LargeBinary),
    Column("device_id", String(36), nullable=False),
    Column("document_sha256", LargeBinary(32), nullable=False),
    Column("challenge", LargeBinary(16), nullable=False),
    Column("preview_sha256", LargeBinary(32), nullable=False),
    Column("before_sha256", LargeBinary(32), nullable=False),
    Column("after_sha256", LargeBinary(32), nullable=False),
    Column("seal_id", String(36)),
    Column("seal_version", Integer, nullable=False),
    Column("authenticated_us", BigInteger, nullable=False),
    Column("signed_us", BigInteger, nullable=False),
    # Digest of the contract and the field: what is unique is one column, as append_only needs it.
    Column("place", LargeBinary(32), nullable=False, unique=True),
    Index("ix_signature_records_contract", "contract_id", "record_id"),
)
