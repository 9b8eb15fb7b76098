"""Answers to requests, kept so that a repeated one is done once; labels of devices."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; no request of the versions before named an id."""
    op.create_table(
        "kept_answers",
        sa.Column("request_key", sa.LargeBinary(32), primary_key=True),
        sa.Column("request_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("kept_us", sa.BigInteger, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
    )
    op.create_index("ix_kept_answers_subject", "kept_answers", ["subject"])
    op.create_index("ix_kept_answers_bucket", "kept_answers", ["bucket", "kept_us"])
    op.create_table(
        "device_labels",
        sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id"), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
    )
