"""The audit chain, sealed personal data and its keys."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the row that who appends to the chain holds."""
    _create_chain()
    _create_heads()
    op.create_table(
        "person_keys",
        sa.Column("person_id", sa.String(64), primary_key=True),
        sa.Column("ring_version", sa.Integer, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("erased_us", sa.BigInteger),
    )
    op.create_index("ix_person_keys_version", "person_keys", ["ring_version", "person_id"])
    own = sa.text("device_id IS NULL")
    op.create_index("ix_log_leaves_own", "log_leaves", ["log_index"], sqlite_where=own, postgresql_where=own)


def _create_chain() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("caller", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
    )
    for column in ("caller", "action", "subject"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column, "seq"])
    chains = op.create_table(
        "audit_chains",
        sa.Column("chain", sa.String(16), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    )
    op.execute(sa.insert(chains).values(chain="events", seq=0, sha256=b""))


def _create_heads() -> None:
    op.create_table(
        "audit_heads",
        sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column(
            "certificate_sha256", sa.LargeBinary(32), sa.ForeignKey("certificates.sha256"), nullable=False
        ),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
    )
