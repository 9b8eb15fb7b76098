"""Organisations, their proof of who they are, and their seals."""

import sqlalchemy as sa
from alembic import op

from cloud.store.append_only import guard

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_organisations()
    _create_organisation_documents()
    _create_organisation_events()
    _create_seals()
    _create_seal_versions()
    _create_seal_grants()
    _create_seal_uses()
    _create_approvals()
    _create_approval_signatures()
    guard(op.get_bind(), "seal_uses", keys=("use_id",))
    guard(op.get_bind(), "approval_signatures", keys=("record_id",))


def _create_organisations() -> None:
    op.create_table(
        "organisations",
        sa.Column("organisation_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("offered_to", sa.String(36)),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("profile", sa.LargeBinary),
        sa.Column("is_representative", sa.Boolean, nullable=False),
        sa.Column("number_key", sa.LargeBinary(32)),
        sa.Column("task_id", sa.String(36)),
        sa.Column("supplement_us", sa.BigInteger),
        sa.Column("reasons", sa.LargeBinary),
        sa.Column("verified_us", sa.BigInteger),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("state_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_organisations_account", "organisations", ["account_id", "organisation_id"])
    op.create_index("ix_organisations_offered", "organisations", ["offered_to", "organisation_id"])
    op.create_index("ix_organisations_state", "organisations", ["state", "organisation_id"])
    op.create_index(
        "ux_organisations_number",
        "organisations",
        ["number_key"],
        unique=True,
        sqlite_where=sa.text("verified_us IS NOT NULL"),
        postgresql_where=sa.text("verified_us IS NOT NULL"),
    )


def _create_organisation_documents() -> None:
    op.create_table(
        "organisation_documents",
        sa.Column(
            "organisation_id", sa.String(36), sa.ForeignKey("organisations.organisation_id"), primary_key=True
        ),
        sa.Column("document_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("added_us", sa.BigInteger, nullable=False),
    )


def _create_organisation_events() -> None:
    op.create_table(
        "organisation_events",
        sa.Column(
            "organisation_id", sa.String(36), sa.ForeignKey("organisations.organisation_id"), primary_key=True
        ),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("caller", sa.String(128), nullable=False),
    )


def _create_seals() -> None:
    op.create_table(
        "seals",
        sa.Column("seal_id", sa.String(36), primary_key=True),
        sa.Column(
            "organisation_id", sa.String(36), sa.ForeignKey("organisations.organisation_id"), nullable=False
        ),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("label", sa.LargeBinary),
        sa.Column("approved_version", sa.Integer),
        sa.Column("newest_version", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("state_us", sa.BigInteger, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_seals_organisation", "seals", ["organisation_id", "seal_id"])
    op.create_index("ix_seals_state", "seals", ["state", "seal_id"])


def _create_seal_versions() -> None:
    op.create_table(
        "seal_versions",
        sa.Column("version_id", sa.String(36), primary_key=True),
        sa.Column("seal_id", sa.String(36), sa.ForeignKey("seals.seal_id"), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("image_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("width_dmm", sa.Integer, nullable=False),
        sa.Column("height_dmm", sa.Integer, nullable=False),
        sa.Column("colour", sa.Integer, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("reasons", sa.LargeBinary),
        sa.Column("task_id", sa.String(36)),
        sa.Column("submitted_by", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("decided_us", sa.BigInteger),
    )
    op.create_index("ux_seal_versions_number", "seal_versions", ["seal_id", "version"], unique=True)
    op.create_index(
        "ux_seal_versions_pending",
        "seal_versions",
        ["seal_id"],
        unique=True,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )


def _create_seal_grants() -> None:
    op.create_table(
        "seal_grants",
        sa.Column("grant_id", sa.String(36), primary_key=True),
        sa.Column("seal_id", sa.String(36), sa.ForeignKey("seals.seal_id"), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("scopes", sa.Integer, nullable=False),
        sa.Column("valid_from_us", sa.BigInteger, nullable=False),
        sa.Column("valid_until_us", sa.BigInteger, nullable=False),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("granted_by", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_seal_grants_seal", "seal_grants", ["seal_id", "grant_id"])
    op.create_index("ix_seal_grants_account", "seal_grants", ["account_id", "seal_id"])
    op.create_index("ix_seal_grants_organisation", "seal_grants", ["organisation_id", "account_id"])


def _create_seal_uses() -> None:
    op.create_table(
        "seal_uses",
        sa.Column("use_id", sa.String(36), primary_key=True),
        sa.Column("seal_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("grant_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("scope", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("field_name", sa.String(128), nullable=False),
        sa.Column("place", sa.LargeBinary),
        sa.Column("time_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_seal_uses_seal", "seal_uses", ["seal_id", "use_id"])
    op.create_index("ix_seal_uses_subject", "seal_uses", ["subject", "use_id"])


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(36), primary_key=True),
        sa.Column(
            "organisation_id", sa.String(36), sa.ForeignKey("organisations.organisation_id"), nullable=False
        ),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("title", sa.LargeBinary),
        sa.Column("created_by", sa.String(36), nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("pages", sa.Integer, nullable=False),
        sa.Column("sealed_object_id", sa.String(36)),
        sa.Column("sealed_sha256", sa.LargeBinary(32)),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_approvals_organisation", "approvals", ["organisation_id", "approval_id"])
    op.create_index("ix_approvals_state", "approvals", ["state", "approval_id"])


def _create_approval_signatures() -> None:
    op.create_table(
        "approval_signatures",
        sa.Column("record_id", sa.String(36), primary_key=True),
        sa.Column("approval_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("evidence_id", sa.String(36), nullable=False),
        sa.Column("verification_id", sa.String(36), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("challenge", sa.LargeBinary(16), nullable=False),
        sa.Column("before_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("after_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("seal_id", sa.String(36), nullable=False),
        sa.Column("seal_version", sa.Integer, nullable=False),
        sa.Column("authenticated_us", sa.BigInteger, nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_approval_signatures_approval", "approval_signatures", ["approval_id", "record_id"])
