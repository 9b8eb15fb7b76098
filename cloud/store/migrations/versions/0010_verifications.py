"""Verifications of identity and the ledger of those by hand."""

import sqlalchemy as sa
from alembic import op

from cloud.store.append_only import guard

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _verifications()
    _evidence()
    _ledger()
    _sites()
    _results()
    guard(op.get_bind(), "manual_ledger", keys=("number", "verification_id"))


def _verifications() -> None:
    op.create_table(
        "identities",
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.account_id"), primary_key=True),
        sa.Column("elements_us", sa.BigInteger),
        sa.Column("elements_id", sa.String(36)),
        sa.Column("verification_id", sa.String(36)),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("mark", sa.Integer, nullable=False),
        sa.Column("verified_us", sa.BigInteger),
        sa.Column("stale_us", sa.BigInteger),
        sa.Column("stale_code", sa.String(64), nullable=False),
        sa.Column("conflict_us", sa.BigInteger),
        sa.Column("element_tries", sa.Integer, nullable=False),
        sa.Column("face_tries", sa.Integer, nullable=False),
    )
    op.create_index(
        "ix_identities_verified",
        "identities",
        ["verified_us"],
        sqlite_where=sa.text("verified_us IS NOT NULL AND stale_us IS NULL"),
        postgresql_where=sa.text("verified_us IS NOT NULL AND stale_us IS NULL"),
    )
    op.create_table(
        "verifications",
        sa.Column("verification_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("mark", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("attestation_id", sa.String(36), nullable=False),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_verifications_account", "verifications", ["account_id", "verification_id"])
    op.create_index(
        "ix_verifications_expires",
        "verifications",
        ["expires_us"],
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_index("ix_verifications_state", "verifications", ["state", "verification_id"])
    op.create_index("ix_verifications_method", "verifications", ["method", "verification_id"])
    op.create_index("ix_verifications_tries", "verifications", ["account_id", "method", "created_us"])
    op.create_index(
        "uq_verifications_pending",
        "verifications",
        ["account_id", "method"],
        unique=True,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )


def _evidence() -> None:
    op.create_table(
        "face_checks",
        sa.Column("face_check_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("nonce", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("verification_id", sa.String(36), nullable=False),
    )
    op.create_index("ix_face_checks_account", "face_checks", ["account_id", "face_check_id"])
    op.create_index("ix_face_checks_expires", "face_checks", ["expires_us"])
    op.create_index(
        "ix_face_checks_used",
        "face_checks",
        ["verification_id"],
        sqlite_where=sa.text("verification_id <> ''"),
        postgresql_where=sa.text("verification_id <> ''"),
    )
    op.create_table(
        "used_evidence",
        sa.Column("envelope_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("attestation_id", sa.String(36), nullable=False, unique=True),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("used_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_used_evidence_subject", "used_evidence", ["subject"])
    op.create_table(
        "ctid_transactions",
        sa.Column(
            "verification_id", sa.String(36), sa.ForeignKey("verifications.verification_id"), primary_key=True
        ),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("nonce", sa.LargeBinary),
    )


def _ledger() -> None:
    op.create_table(
        "manual_ledger",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("verification_id", sa.String(36), nullable=False, unique=True),
        sa.Column("operator", sa.String(128), nullable=False),
        sa.Column("recorded_us", sa.BigInteger, nullable=False),
        sa.Column("place", sa.String(100), nullable=False),
        sa.Column("documents", sa.Text, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("previous_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("entry_sha256", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("ix_manual_ledger_recorded", "manual_ledger", ["recorded_us", "number"])
    op.create_table(
        "staff_identities",
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.user_id"), primary_key=True),
        sa.Column("id_number", sa.LargeBinary),
        sa.Column("id_mark", sa.LargeBinary(36)),
        sa.Column("declared_by", sa.String(128), nullable=False),
        sa.Column("declared_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_staff_identities_mark", "staff_identities", ["id_mark"])


def _sites() -> None:
    op.create_table(
        "site_tasks",
        sa.Column("task_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("nonce", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("number_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
    )
    op.create_index("ix_site_tasks_account", "site_tasks", ["account_id", "task_id"])
    op.create_index(
        "ix_site_tasks_expires",
        "site_tasks",
        ["expires_us"],
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_index("ix_site_tasks_site", "site_tasks", ["site_id", "task_id"])
    op.create_index("ix_site_tasks_state", "site_tasks", ["state", "task_id"])
    op.create_table(
        "purposes",
        sa.Column("attestation_id", sa.String(36), primary_key=True),
        sa.Column("nonce", sa.LargeBinary(32), nullable=False),
        sa.Column("task_id", sa.String(36), nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("judged_us", sa.BigInteger),
    )
    op.create_index(
        "ix_purposes_waiting",
        "purposes",
        ["received_us", "attestation_id"],
        sqlite_where=sa.text("judged_us IS NULL"),
        postgresql_where=sa.text("judged_us IS NULL"),
    )


def _results() -> None:
    op.create_table(
        "site_results",
        sa.Column("attestation_id", sa.String(36), primary_key=True),
        sa.Column("task_id", sa.String(36), sa.ForeignKey("site_tasks.task_id"), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("not_before_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("verification_id", sa.String(36), nullable=False),
        sa.Column("judged_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_site_results_account", "site_results", ["account_id", "judged_us"])
    op.create_index("ix_site_results_task", "site_results", ["task_id", "judged_us"])
    op.create_table(
        "identity_conflicts",
        sa.Column("conflict_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("first_id", sa.String(36), nullable=False),
        sa.Column("second_id", sa.String(36), nullable=False),
        sa.Column("winner_id", sa.String(36), nullable=False),
        sa.Column("other_account_id", sa.String(36), nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("settled_us", sa.BigInteger),
        sa.Column("settled_by", sa.String(36), nullable=False),
    )
    op.create_index("ix_identity_conflicts_account", "identity_conflicts", ["account_id", "conflict_id"])
    op.create_index("ix_identity_conflicts_state", "identity_conflicts", ["state", "conflict_id"])
    op.create_index(
        "uq_identity_conflicts_pair", "identity_conflicts", ["first_id", "second_id"], unique=True
    )
