"""Organisations, their seals, who may use those and who did, and approvals under a seal."""

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

organisations = Table(
    "organisations",
    metadata,
    # Also the person of the vault under whose key everything of the organisation is sealed.
    Column("organisation_id", String(36), primary_key=True),
    # Who administers it: the account that registered it.
    Column("account_id", String(36), nullable=False),
    # Who may take its administration over.
    Column("offered_to", String(36)),
    Column("state", Integer, nullable=False),  # OrganisationState
    Column("profile", LargeBinary),  # sealed: name, numbers, legal representative
    Column("is_representative", Boolean, nullable=False),
    # Keyed digest of the organisation code, as it was handed in last.
    Column("number_key", LargeBinary(32)),
    Column("task_id", String(36)),
    # Until when a supplement is awaited.
    Column("supplement_us", BigInteger),
    Column("reasons", LargeBinary),  # sealed
    # Since when it is verified, as long as it is.
    Column("verified_us", BigInteger),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("state_us", BigInteger, nullable=False),
    # Counts the changes.
    Column("version", BigInteger, nullable=False),
    Index("ix_organisations_account", "account_id", "organisation_id"),
    Index("ix_organisations_offered", "offered_to", "organisation_id"),
    Index("ix_organisations_state", "state", "organisation_id"),
    # Of those that are verified, no two are the same one.
    Index("ux_organisations_number", "number_key", unique=True, **where(text("verified_us IS NOT NULL"))),
)

organisation_documents = Table(
    "organisation_documents",
    metadata,
    Column("organisation_id", String(36), ForeignKey("organisations.organisation_id"), primary_key=True),
    Column("document_id", String(36), primary_key=True),  # of the object
    Column("kind", Integer, nullable=False),  # OrganisationDocumentKind
    Column("added_us", BigInteger, nullable=False),
)

# Rows are added and never changed.
organisation_events = Table(
    "organisation_events",
    metadata,
    Column("organisation_id", String(36), ForeignKey("organisations.organisation_id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("event", Integer, nullable=False),  # OrganisationEvent
    Column("time_us", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),  # after it
    Column("caller", String(128), nullable=False),
)

seals = Table(
    "seals",
    metadata,
    Column("seal_id", String(36), primary_key=True),
    Column("organisation_id", String(36), ForeignKey("organisations.organisation_id"), nullable=False),
    Column("kind", Integer, nullable=False),  # SealKind
    Column("state", Integer, nullable=False),  # SealState
    Column("label", LargeBinary),  # sealed
    # The numbers of versions: which one signs, and which one came last.
    Column("approved_version", Integer),
    Column("newest_version", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("state_us", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Index("ix_seals_organisation", "organisation_id", "seal_id"),
    Index("ix_seals_state", "state", "seal_id"),
)

seal_versions = Table(
    "seal_versions",
    metadata,
    Column("version_id", String(36), primary_key=True),
    Column("seal_id", String(36), ForeignKey("seals.seal_id"), nullable=False),
    Column("organisation_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Integer, nullable=False),  # SealVersionState
    Column("source", Integer, nullable=False),  # SealSource
    Column("object_id", String(36), nullable=False),
    Column("image_sha256", LargeBinary(32), nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    # On paper, in tenths of a millimetre.
    Column("width_dmm", Integer, nullable=False),
    Column("height_dmm", Integer, nullable=False),
    Column("colour", Integer, nullable=False),  # SealColour
    Column("policy_version", Integer, nullable=False),
    Column("reasons", LargeBinary),  # sealed
    Column("task_id", String(36)),
    Column("submitted_by", String(36), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("decided_us", BigInteger),
    Index("ux_seal_versions_number", "seal_id", "version", unique=True),
    # One at a time is looked at.
    Index("ux_seal_versions_pending", "seal_id", unique=True, **where(text("state = 1"))),
)

seal_grants = Table(
    "seal_grants",
    metadata,
    Column("grant_id", String(36), primary_key=True),
    Column("seal_id", String(36), ForeignKey("seals.seal_id"), nullable=False),
    Column("organisation_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("state", Integer, nullable=False),  # SealGrantState, never EXPIRED
    # Bits: 1 << SealScope.
    Column("scopes", Integer, nullable=False),
    Column("valid_from_us", BigInteger, nullable=False),
    Column("valid_until_us", BigInteger, nullable=False),
    # 0: without a limit.
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("granted_by", String(36), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("version", BigInteger, nullable=False),
    Index("ix_seal_grants_seal", "seal_id", "grant_id"),
    Index("ix_seal_grants_account", "account_id", "seal_id"),
    Index("ix_seal_grants_organisation", "organisation_id", "account_id"),
)

# The database refuses to change or delete rows (cloud.store.append_only).
seal_uses = Table(
    "seal_uses",
    metadata,
    Column("use_id", String(36), primary_key=True),
    Column("seal_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("organisation_id", String(36), nullable=False),
    Column("grant_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("scope", Integer, nullable=False),  # SealScope
    # ROOM/ID of what was sealed, the digest of the document, and the field in it.
    Column("subject", String(128), nullable=False),
    Column("document_sha256", LargeBinary(32), nullable=False),
    Column("field_name", String(128), nullable=False),
    # Sealed under the account's key: from where.
    Column("place", LargeBinary),
    Column("time_us", BigInteger, nullable=False),
    Index("ix_seal_uses_seal", "seal_id", "use_id"),
    Index("ix_seal_uses_subject", "subject", "use_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", String(36), primary_key=True),
    Column("organisation_id", String(36), ForeignKey("organisations.organisation_id"), nullable=False),
    Column("state", Integer, nullable=False),  # ApprovalState
    Column("title", LargeBinary),  # sealed under the organisation's key
    Column("created_by", String(36), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("document_sha256", LargeBinary(32), nullable=False),
    Column("pages", Integer, nullable=False),
    # Of the sealed file.
    Column("sealed_object_id", String(36)),
    Column("sealed_sha256", LargeBinary(32)),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index("ix_approvals_organisation", "organisation_id", "approval_id"),
    Index("ix_approvals_state", "state", "approval_id"),
)

# The database refuses to change or delete rows (cloud.store.append_only).
approval_signatures = Table(
    "approval_signatures",
    metadata,
    Column("record_id", String(36), primary_key=True),
    Column("approval_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("organisation_id", String(36), nullable=False),
    Column("kind", Integer, nullable=False),  # SignatureKind
    Column("field", String(64), nullable=False),
    Column("serial", String(64), nullable=False),  # of the certificate
    Column("method", Integer, nullable=False),  # SignMethod
    Column("evidence_id", String(36), nullable=False),
    Column("verification_id", String(36), nullable=False),
    Column("document_sha256", LargeBinary(32), nullable=False),
    Column("challenge", LargeBinary(16), nullable=False),
    Column("before_sha256", LargeBinary(32), nullable=False),
    Column("after_sha256", LargeBinary(32), nullable=False),
    Column("seal_id", String(36), nullable=False),
    Column("seal_version", Integer, nullable=False),
    Column("authenticated_us", BigInteger, nullable=False),
    Column("signed_us", BigInteger, nullable=False),  # as the time-stamp says
    Index("ix_approval_signatures_approval", "approval_id", "record_id"),
)
