"""Customers, banks and verifications for banks."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _catalogue()
    _customers()
    _sessions()
    _signatures()
    _records()


def _catalogue() -> None:
    op.create_table(
        "banks",
        sa.Column("bank_id", sa.String(36), primary_key=True),
        sa.Column("code", sa.String(32), nullable=False, unique=True),
        sa.Column("name_zh", sa.String(100), nullable=False),
        sa.Column("name_en", sa.String(100), nullable=False),
        sa.Column("name_es", sa.String(100), nullable=False),
        sa.Column("periods", sa.String(128), nullable=False),
        sa.Column("enabled", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "bank_notices",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text_zh", sa.Text, nullable=False),
        sa.Column("text_en", sa.Text, nullable=False),
        sa.Column("text_es", sa.Text, nullable=False),
        sa.Column("published_us", sa.BigInteger, nullable=False),
    )


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.String(36), primary_key=True),
        sa.Column("id_number", sa.LargeBinary),
        sa.Column("id_number_blind", sa.LargeBinary(36), unique=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "customer_versions",
        sa.Column("version_id", sa.String(36), primary_key=True),
        sa.Column("customer_id", sa.String(36), sa.ForeignKey("customers.customer_id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("customer_id", "version"),
    )
    op.create_table(
        "customer_organisations",
        sa.Column("organisation_id", sa.String(36), primary_key=True),
        sa.Column("customer_id", sa.String(36), sa.ForeignKey("customers.customer_id"), nullable=False),
        sa.Column("name", sa.LargeBinary),
        sa.Column("linked_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
    )
    op.create_index(
        "ix_customer_organisations_customer", "customer_organisations", ["customer_id", "organisation_id"]
    )


def _sessions() -> None:
    op.create_table(
        "coop_sessions",
        sa.Column("session_id", sa.String(36), primary_key=True),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("language", sa.String(2), nullable=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("customer_id", sa.String(36)),
        sa.Column("check_id", sa.String(36)),
        sa.Column("check_input", sa.LargeBinary(36)),
        sa.Column("check_until_us", sa.BigInteger, nullable=False),
        sa.Column("card", sa.LargeBinary),
        sa.Column("authority_photo", sa.LargeBinary),
        sa.Column("items", sa.LargeBinary),
        sa.Column("nonce", sa.LargeBinary(32)),
        sa.Column("nonce_us", sa.BigInteger),
        sa.Column("face_tries", sa.Integer, nullable=False),
        sa.Column("attestation_id", sa.String(36)),
        sa.Column("envelope_sha256", sa.LargeBinary(32)),
        sa.Column("picture_sha256", sa.LargeBinary(32)),
        sa.Column("customer_version", sa.Integer, nullable=False),
        sa.Column("bank_id", sa.String(36)),
        sa.Column("period", sa.String(8)),
        sa.Column("organisation_id", sa.String(36)),
        sa.Column("organisation_name", sa.LargeBinary),
        sa.Column("notice_version", sa.Integer),
        sa.Column("notice_sha256", sa.LargeBinary(32)),
        sa.Column("steps", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.String(16)),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("deadline_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("cleared_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    is_open, is_kept = sa.text("ended_us IS NULL"), sa.text("cleared_us IS NULL")
    _partial("ux_coop_sessions_open", ["device_id", "slot"], is_open, unique=True)
    _partial("ix_coop_sessions_due", ["state", "deadline_us"], is_open)
    _partial("ix_coop_sessions_clear", ["state", "ended_us"], is_kept)
    op.create_index("ix_coop_sessions_person", "coop_sessions", ["person_id"])


def _partial(name: str, columns: list[str], condition: sa.TextClause, *, unique: bool = False) -> None:
    op.create_index(
        name, "coop_sessions", columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def _signatures() -> None:
    op.create_table(
        "coop_signatures",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("coop_sessions.session_id"), primary_key=True),
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("strokes", sa.LargeBinary),
        sa.Column("image", sa.LargeBinary),
        sa.Column("strokes_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("image_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_coop_signatures_customer_id", "coop_signatures", ["customer_id"])


def _records() -> None:
    op.create_table(
        "coop_numbers",
        sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "coop_records",
        sa.Column("record_id", sa.String(36), primary_key=True),
        sa.Column("number", sa.String(16), nullable=False, unique=True),
        sa.Column(
            "session_id",
            sa.String(36),
            sa.ForeignKey("coop_sessions.session_id"),
            nullable=False,
            unique=True,
        ),
        sa.Column("customer_id", sa.String(36), sa.ForeignKey("customers.customer_id"), nullable=False),
        sa.Column("bank_id", sa.String(36), sa.ForeignKey("banks.bank_id"), nullable=False),
        sa.Column("bank_names", sa.LargeBinary, nullable=False),
        sa.Column("organisation_id", sa.String(36)),
        sa.Column("organisation_name", sa.LargeBinary),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("period", sa.String(8), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("revocation", sa.Integer, nullable=False),
        sa.Column("explanation", sa.LargeBinary),
    )
    op.create_index("ix_coop_records_customer", "coop_records", ["customer_id", "record_id"])
    op.create_table(
        "coop_requests",
        sa.Column("record_id", sa.String(36), sa.ForeignKey("coop_records.record_id"), primary_key=True),
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("pdf", sa.LargeBinary),
        sa.Column("pdf_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
        sa.Column("evidence_sha256", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("ix_coop_requests_customer_id", "coop_requests", ["customer_id"])
