"""Devices, join tokens, certificates, attestations, the log and receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first schema."""
    _create_devices()
    _create_log()
    _create_attestations()


def _create_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.String(36), primary_key=True),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("key_protection", sa.Integer, nullable=False),
        sa.Column("attestation_key_sha256", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("enrolled_us", sa.BigInteger, nullable=False),
        sa.Column("chain_epoch", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("head_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("last_delivery_us", sa.BigInteger),
    )
    op.create_table(
        "join_tokens",
        sa.Column("token_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger),
        sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id")),
    )


def _create_log() -> None:
    op.create_table(
        "log_leaves",
        sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("tree_size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
    )


def _create_attestations() -> None:
    op.create_table(
        "certificates",
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("issuer_sha256", sa.LargeBinary(32), sa.ForeignKey("certificates.sha256")),
    )
    op.create_table(
        "attestations",
        sa.Column(
            "log_index",
            sa.BigInteger,
            sa.ForeignKey("log_leaves.log_index"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("attestation_id", sa.String(36), nullable=False, unique=True),
        sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id"), nullable=False),
        sa.Column("chain_epoch", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("envelope_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column(
            "certificate_sha256", sa.LargeBinary(32), sa.ForeignKey("certificates.sha256"), nullable=False
        ),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("wall_us", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("device_id", "chain_epoch", "seq", name="uq_attestations_position"),
    )
    op.create_index("ix_attestations_device", "attestations", ["device_id", "log_index"])
    op.create_index("ix_attestations_outcome", "attestations", ["outcome", "log_index"])
    op.create_table(
        "receipts",
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id"), nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
    )
