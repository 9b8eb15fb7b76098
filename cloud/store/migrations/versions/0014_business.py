"""Rules with a date, requests for services, delegations, feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rule_editions",
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("effective_us", sa.BigInteger, nullable=False),
        sa.Column("published_us", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_us", sa.BigInteger),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    counts = sa.text("withdrawn_us IS NULL")
    op.create_index(
        "ux_rule_editions_effective",
        "rule_editions",
        ["kind", "effective_us"],
        unique=True,
        sqlite_where=counts,
        postgresql_where=counts,
    )
    _create_requests()
    _create_parts()
    _create_delegations()
    _create_feedback()


def _create_requests() -> None:
    op.create_table(
        "business_requests",
        sa.Column("business_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("agent_account_id", sa.String(36)),
        sa.Column("delegation_id", sa.String(36)),
        sa.Column("service_code", sa.String(64), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("text", sa.LargeBinary),
        sa.Column("permission", sa.LargeBinary, nullable=False),
        sa.Column("submit_permission", sa.LargeBinary),
        sa.Column("process_version", sa.BigInteger, nullable=False),
        sa.Column("task_id", sa.String(36)),
        sa.Column("supplement_us", sa.BigInteger),
        sa.Column("reasons", sa.LargeBinary),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("state_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_business_requests_account", "business_requests", ["account_id", "business_id"])
    agent = sa.text("agent_account_id IS NOT NULL")
    op.create_index(
        "ix_business_requests_agent",
        "business_requests",
        ["agent_account_id", "business_id"],
        sqlite_where=agent,
        postgresql_where=agent,
    )
    op.create_index("ix_business_requests_state", "business_requests", ["state", "business_id"])


def _create_parts() -> None:
    op.create_table(
        "business_documents",
        sa.Column(
            "business_id", sa.String(36), sa.ForeignKey("business_requests.business_id"), primary_key=True
        ),
        sa.Column("document_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("added_us", sa.BigInteger, nullable=False),
        sa.Column("added_by", sa.String(128), nullable=False),
    )
    op.create_table(
        "business_events",
        sa.Column(
            "business_id", sa.String(36), sa.ForeignKey("business_requests.business_id"), primary_key=True
        ),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("left_state", sa.Integer),
        sa.Column("lasted_us", sa.BigInteger),
        sa.Column("process_version", sa.BigInteger, nullable=False),
        sa.Column("caller", sa.String(128), nullable=False),
    )
    left = sa.text("left_state IS NOT NULL")
    op.create_index(
        "ix_business_events_left",
        "business_events",
        ["time_us"],
        sqlite_where=left,
        postgresql_where=left,
    )


def _create_delegations() -> None:
    op.create_table(
        "delegations",
        sa.Column("delegation_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("agent_account_id", sa.String(36), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("service_codes", sa.String(4200), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger, nullable=False),
        sa.Column("valid_until_us", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("answered_us", sa.BigInteger),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_delegations_account", "delegations", ["account_id", "delegation_id"])
    op.create_index("ix_delegations_agent", "delegations", ["agent_account_id", "delegation_id"])


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.String(36), primary_key=True),
        sa.Column("ack_number", sa.String(16), nullable=False, unique=True),
        sa.Column("category", sa.Integer, nullable=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36)),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("text", sa.LargeBinary),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("app_version", sa.String(64), nullable=False),
        sa.Column("screen", sa.String(64), nullable=False),
        sa.Column("language", sa.String(2), nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_feedback_received", "feedback", ["received_us"])
    op.create_index("ix_feedback_category", "feedback", ["category", "feedback_id"])
    op.create_table(
        "feedback_senders",
        sa.Column("sender_key", sa.LargeBinary(36), primary_key=True),
        sa.Column("times", sa.LargeBinary, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_feedback_senders_last", "feedback_senders", ["last_us"])
