"""Accounts and their sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LIVE = sa.text("state <> 7")


def upgrade() -> None:
    """Create the tables."""
    _accounts()
    _identifiers_and_credentials()
    _sessions()
    _activations()
    op.create_table(
        "client_diagnostics",
        sa.Column("diagnostic_id", sa.String(36), primary_key=True),
        sa.Column("sender", sa.String(128), nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        _us("occurred_us"),
        _us("received_us"),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_client_diagnostics_sender", "client_diagnostics", ["sender", "diagnostic_id"])
    op.create_index("ix_client_diagnostics_received", "client_diagnostics", ["received_us"])


def _accounts() -> None:
    sealed = (
        "name",
        "id_number",
        "validity",
        "phone",
        "email",
        "login_name",
        "organisation_name",
        "organisation_code",
    )
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("subject_type", sa.Integer, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        *(sa.Column(name, sa.LargeBinary) for name in sealed),
        sa.Column("id_mark", sa.LargeBinary(36)),
        sa.Column("language", sa.String(2), nullable=False),
        sa.Column("prefers", sa.Integer, nullable=False),
        sa.Column("facial_image_id", sa.String(36)),
        sa.Column("filing_allowed", sa.Boolean, nullable=False),
        sa.Column("filing_from_us", sa.BigInteger),
        sa.Column("filing_until_us", sa.BigInteger),
        sa.Column("end_reason", sa.Integer, nullable=False),
        _us("created_us"),
        _us("updated_us"),
        _us("state_us"),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "uq_accounts_live_id",
        "accounts",
        ["id_mark"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index("ix_accounts_id_mark", "accounts", ["id_mark"])
    op.create_index("ix_accounts_state", "accounts", ["state", "account_id"])
    op.create_index("ix_accounts_state_us", "accounts", ["state", "state_us"])


def _identifiers_and_credentials() -> None:
    op.create_table(
        "account_identifiers",
        sa.Column("identifier_id", sa.String(36), primary_key=True),
        _account(),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("key", sa.LargeBinary(36), unique=True),
    )
    op.create_index("uq_account_identifiers_kind", "account_identifiers", ["account_id", "kind"], unique=True)
    op.create_table(
        "account_credentials",
        _account(primary_key=True),
        sa.Column("password", sa.String(256), nullable=False),
        _us("changed_us"),
        sa.Column("failures", sa.Integer, nullable=False),
        _us("next_try_us"),
        _us("locked_until_us"),
    )


def _sessions() -> None:
    op.create_table(
        "account_sessions",
        sa.Column("session_id", sa.String(36), primary_key=True),
        _account(),
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False, unique=True),
        _us("created_us"),
        _us("proven_us"),
        _us("seen_us"),
        _us("expires_us"),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("source", sa.LargeBinary),
    )
    op.create_index("ix_account_sessions_account", "account_sessions", ["account_id", "session_id"])
    op.create_index("ix_account_sessions_expires", "account_sessions", ["expires_us"])
    op.create_table(
        "account_sign_ins",
        sa.Column("sign_in_id", sa.String(36), primary_key=True),
        _account(),
        _us("time_us"),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("source", sa.LargeBinary),
    )
    op.create_index("ix_account_sign_ins_account", "account_sign_ins", ["account_id", "sign_in_id"])
    op.create_table(
        "account_lookups",
        sa.Column("source_key", sa.LargeBinary(32), primary_key=True),
        sa.Column("times", sa.LargeBinary, nullable=False),
        _us("last_us"),
    )
    op.create_index("ix_account_lookups_last", "account_lookups", ["last_us"])


def _activations() -> None:
    op.create_table(
        "account_activations",
        sa.Column("activation_id", sa.String(36), primary_key=True),
        _account(),
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("challenge_id", sa.String(36), nullable=False),
        sa.Column("mismatches", sa.Integer, nullable=False),
        _us("expires_us"),
    )
    op.create_index("ix_account_activations_account", "account_activations", ["account_id"])
    op.create_index("ix_account_activations_expires", "account_activations", ["expires_us"])
    op.create_table(
        "account_rebinds",
        _account(primary_key=True),
        sa.Column("phone", sa.LargeBinary),
        sa.Column("proposed_by", sa.String(128), nullable=False),
        _us("proposed_us"),
    )


def _us(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _account(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "account_id",
        sa.String(36),
        sa.ForeignKey("accounts.account_id"),
        primary_key=primary_key,
        nullable=False,
    )
