"""Signing: pictures of signatures, passkeys, acts of signing, and the signatures that were made."""

import sqlalchemy as sa
from alembic import op

from cloud.store.append_only import guard

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _assets()
    _passkeys()
    _signings()
    _records()
    guard(op.get_bind(), "signature_records", keys=("record_id", "place"))


def _assets() -> None:
    op.create_table(
        "signature_assets",
        sa.Column("asset_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("strokes", sa.LargeBinary),
        sa.Column("image", sa.LargeBinary),
        sa.Column("image_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("retired_us", sa.BigInteger),
    )
    op.create_index("ix_signature_assets_account", "signature_assets", ["account_id", "asset_id"])


def _passkeys() -> None:
    op.create_table(
        "passkeys",
        sa.Column("passkey_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("credential_sha256", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("credential", sa.LargeBinary),
        sa.Column("name", sa.LargeBinary),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("synced", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger),
        sa.Column("removed_us", sa.BigInteger),
    )
    op.create_index("ix_passkeys_account", "passkeys", ["account_id", "passkey_id"])
    op.create_table(
        "passkey_registrations",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("registration_id", sa.String(36), nullable=False),
        sa.Column("challenge", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )


def _signings() -> None:
    op.create_table(
        "signings",
        sa.Column("signing_id", sa.String(36), primary_key=True),
        sa.Column("contract_id", sa.String(36), nullable=False),
        sa.Column("party_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36)),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("challenge", sa.LargeBinary(16), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("preview_sha256", sa.LargeBinary(32)),
        sa.Column("asset_id", sa.String(36)),
        sa.Column("seal_id", sa.String(36)),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("evidence_id", sa.String(36), nullable=False),
        sa.Column("evidence_sha256", sa.LargeBinary(32)),
        sa.Column("evidence", sa.LargeBinary),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("source", sa.LargeBinary),
        sa.Column("authenticated_us", sa.BigInteger),
        sa.Column("signed_us", sa.BigInteger),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("task_id", sa.String(36), unique=True),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    _partial("ux_signings_open", ["party_id", "account_id"], "state IN (1, 2, 3, 4)", unique=True)
    _partial("ux_signings_authenticated", ["party_id"], "state IN (3, 4)", unique=True)
    _partial("ix_signings_due", ["due_us"], "state IN (3, 4)")
    _partial("ix_signings_expire", ["expires_us"], "state IN (1, 2)")
    op.create_index("ix_signings_contract", "signings", ["contract_id", "signing_id"])


def _records() -> None:
    op.create_table(
        "signature_records",
        sa.Column("record_id", sa.String(36), primary_key=True),
        sa.Column("contract_id", sa.String(36), nullable=False),
        sa.Column("party_id", sa.String(36), nullable=False),
        sa.Column("signing_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36)),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("evidence_id", sa.String(36), nullable=False),
        sa.Column("evidence_sha256", sa.LargeBinary(32)),
        sa.Column("evidence", sa.LargeBinary),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("challenge", sa.LargeBinary(16), nullable=False),
        sa.Column("preview_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("before_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("after_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("seal_id", sa.String(36)),
        sa.Column("seal_version", sa.Integer, nullable=False),
        sa.Column("authenticated_us", sa.BigInteger, nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
        sa.Column("place", sa.LargeBinary(32), nullable=False, unique=True),
    )
    op.create_index("ix_signature_records_contract", "signature_records", ["contract_id", "record_id"])


def _partial(name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, "signings", columns, unique=unique, sqlite_where=where, postgresql_where=where)
