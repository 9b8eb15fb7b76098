"""One-time codes, the ledger of text messages, messages that wait, telephone numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _meters()
    _challenges()
    _messages()


def _meters() -> None:
    op.create_table(
        "send_meters",
        sa.Column("meter", sa.LargeBinary(32), primary_key=True),
        sa.Column("last_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_send_meters_last", "send_meters", ["last_us"])
    op.create_table(
        "sms_sends",
        sa.Column("send_id", sa.String(36), primary_key=True),
        sa.Column("phone", sa.LargeBinary(32), nullable=False),
        sa.Column("source", sa.LargeBinary(32), nullable=False),
        sa.Column("person", sa.LargeBinary(32), nullable=False),
        sa.Column("purpose", sa.Integer, nullable=False),
        sa.Column("sent_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sms_sends_phone", "sms_sends", ["phone", "sent_us"])
    op.create_index("ix_sms_sends_source", "sms_sends", ["source", "sent_us"])
    op.create_index("ix_sms_sends_person", "sms_sends", ["person", "sent_us"])
    op.create_index("ix_sms_sends_sent", "sms_sends", ["sent_us"])


def _challenges() -> None:
    op.create_table(
        "code_challenges",
        sa.Column("challenge_id", sa.String(36), primary_key=True),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("purpose", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("phone", sa.LargeBinary(32), nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("code_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("wrong", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "uq_code_challenges_open",
        "code_challenges",
        ["person_id", "purpose"],
        unique=True,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_index(
        "ix_code_challenges_expires",
        "code_challenges",
        ["expires_us"],
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_table(
        "phone_proofs",
        sa.Column("proof_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("phone", sa.LargeBinary),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("evidence_id", sa.String(36), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("confirmed_by", sa.String(128), nullable=False),
        sa.Column("match", sa.Integer, nullable=False),
        sa.Column("proved_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_phone_proofs_account", "phone_proofs", ["account_id", "proof_id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(36), primary_key=True),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("channel", sa.Integer, nullable=False),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("address", sa.LargeBinary),
        sa.Column("content", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fault", sa.String(32), nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.LargeBinary(16)),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
    )
    for name, ends in (("ix_messages_due", "IS NULL"), ("ix_messages_due_brief", "IS NOT NULL")):
        waits = sa.text(f"state IN (1, 2) AND expires_us {ends}")
        op.create_index(
            name,
            "messages",
            ["channel", "due_us", "message_id"],
            sqlite_where=waits,
            postgresql_where=waits,
        )
    op.create_index("ix_messages_person", "messages", ["person_id", "message_id"])
    op.create_index("ix_messages_state", "messages", ["state", "message_id"])
