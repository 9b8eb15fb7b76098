"""Users, their roles, and how they sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; before, whoever had the operator token was the operator."""
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(36), primary_key=True),
        sa.Column("login", sa.String(32), nullable=False, unique=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("display_name", sa.LargeBinary),
        sa.Column("issuer", sa.String(256)),
        sa.Column("subject", sa.LargeBinary),
        sa.Column("identity", sa.LargeBinary(36), unique=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "user_roles",
        _user_id(),
        sa.Column("role", sa.Integer, primary_key=True, autoincrement=False),
    )
    op.create_index("ix_user_roles_role", "user_roles", ["role", "user_id"])
    op.create_table(
        "user_certificates",
        _user_id(),
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
    )


def _user_id() -> sa.Column[str]:
    return sa.Column("user_id", sa.String(36), sa.ForeignKey("users.user_id"), primary_key=True)
