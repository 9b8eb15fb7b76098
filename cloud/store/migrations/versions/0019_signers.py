"""Certificates of signers and what was revoked of them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "signer_certificates",
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("reason", sa.SmallInteger),
    )
    op.create_index("ix_signer_certificates_issued", "signer_certificates", ["issued_us", "serial"])
    op.create_index(
        "ix_signer_certificates_account", "signer_certificates", ["account_id", "issued_us", "serial"]
    )
    is_revoked = sa.text("revoked_us IS NOT NULL")
    op.create_index(
        "ix_signer_certificates_revoked",
        "signer_certificates",
        ["revoked_us", "serial"],
        sqlite_where=is_revoked,
        postgresql_where=is_revoked,
    )
