"""Copies of objects on several stores."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "object_stores",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("marked", sa.Boolean, nullable=False),
        sa.Column("added_us", sa.BigInteger, nullable=False),
        sa.Column("seen_us", sa.BigInteger),
        sa.Column("fault", sa.String(16), nullable=False),
        sa.Column("fault_us", sa.BigInteger),
        sa.Column("listed_us", sa.BigInteger),
    )
    op.create_table(
        "object_replicas",
        sa.Column("store", sa.String(32), sa.ForeignKey("object_stores.name"), primary_key=True),
        sa.Column("sealed_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("since_us", sa.BigInteger, nullable=False),
        sa.Column("checked_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("fault", sa.String(16), nullable=False),
    )
    op.create_index("ix_object_replicas_checked", "object_replicas", ["store", "checked_us"])
    op.create_index("ix_object_replicas_file", "object_replicas", ["sealed_sha256"])
    behind = sa.text("state IN (2, 3, 5)")
    op.create_index(
        "ix_object_replicas_due",
        "object_replicas",
        ["store", "due_us"],
        sqlite_where=behind,
        postgresql_where=behind,
    )
