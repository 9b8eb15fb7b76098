"""Accounts: who they belong to, what opens them, who is signed in, and what was tried.

What is personal is sealed with the account's own key (person_keys; the account's id is the person's).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)

from cloud.store.schema.base import metadata, where

_LIVE = text("state <> 7")  # ACCOUNT_STATE_DEREGISTERED

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("state", Integer, nullable=False),  # AccountState
    Column("subject_type", Integer, nullable=False),  # SubjectType
    Column("source", Integer, nullable=False),  # AccountSource
    # Sealed. ``validity`` is absent where an earlier system did not know it.
    Column("name", LargeBinary),
    Column("id_number", LargeBinary),
    Column("validity", LargeBinary),
    Column("phone", LargeBinary),
    Column("email", LargeBinary),
    Column("login_name", LargeBinary),
    Column("organisation_name", LargeBinary),
    Column("organisation_code", LargeBinary),
    # Blind index: one live account for each id number.
    Column("id_mark", LargeBinary(36)),
    Column("language", String(2), nullable=False),
    Column("prefers", Integer, nullable=False),  # ContactChannel
    # The facial image that registration collected, in the object store.
    Column("facial_image_id", String(36)),
    # Whether business may be filed, and within which time. Without a time it may not.
    Column("filing_allowed", Boolean, nullable=False),
    Column("filing_from_us", BigInteger),
    Column("filing_until_us", BigInteger),
    Column("end_reason", Integer, nullable=False),  # DeregistrationReason, 0 while it lives
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # Since when it has its state: drafts that nobody goes on with end.
    Column("state_us", BigInteger, nullable=False),
    # Counts the changes.
    Column("version", BigInteger, nullable=False),
    Index("uq_accounts_live_id", "id_mark", unique=True, **where(_LIVE)),
    Index("ix_accounts_id_mark", "id_mark"),
    Index("ix_accounts_state", "state", "account_id"),
    Index("ix_accounts_state_us", "state", "state_us"),
)

# What somebody types to sign in: an id number, a telephone number or a login name. One key for all kinds:
# a login name that is another one's telephone number cannot stand here, whichever of the two came first.
account_identifiers = Table(
    "account_identifiers",
    metadata,
    Column("identifier_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("kind", Integer, nullable=False),  # IdentifierKind
    Column("value", LargeBinary),  # sealed
    Column("key", LargeBinary(36), unique=True),  # blind index
    Index("uq_account_identifiers_kind", "account_id", "kind", unique=True),
)

account_credentials = Table(
    "account_credentials",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.account_id"), primary_key=True),
    # $argon2id$..., nothing else.
    Column("password", String(256), nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    # Wrong passwords since the last right one; when the next one may be tried; until when none counts.
    Column("failures", Integer, nullable=False),
    Column("next_try_us", BigInteger, nullable=False),
    Column("locked_until_us", BigInteger, nullable=False),
)

account_sessions = Table(
    "account_sessions",
    metadata,
    Column("session_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("token_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
    # When the holder last gave a password or a code.
    Column("proven_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("device_id", String(36), nullable=False),
    Column("source", LargeBinary),  # sealed
    Index("ix_account_sessions_account", "account_id", "session_id"),
    Index("ix_account_sessions_expires", "expires_us"),
)

# Rows are added and never changed; who is erased leaves no source behind.
account_sign_ins = Table(
    "account_sign_ins",
    metadata,
    Column("sign_in_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("method", Integer, nullable=False),  # SignInMethod
    Column("outcome", Integer, nullable=False),  # SignInOutcome
    Column("device_id", String(36), nullable=False),
    Column("source", LargeBinary),  # sealed
    Index("ix_account_sign_ins_account", "account_id", "sign_in_id"),
)

# Look-ups of identifiers that nobody has, by where they came from: the times of the last ones.
account_lookups = Table(
    "account_lookups",
    metadata,
    Column("source_key", LargeBinary(32), primary_key=True),  # keyed digest
    Column("times", LargeBinary, nullable=False),  # 8 bytes each, microseconds, big endian
    Column("last_us", BigInteger, nullable=False),
    Index("ix_account_lookups_last", "last_us"),
)

account_activations = Table(
    "account_activations",
    metadata,
    Column("activation_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("token_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("state", Integer, nullable=False),  # cloud.accounts.states.ActivationState
    Column("challenge_id", String(36), nullable=False),
    Column("mismatches", Integer, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("ix_account_activations_account", "account_id"),
    Index("ix_account_activations_expires", "expires_us"),
)

# A telephone number that one person of the centre proposed, and another one has to confirm.
account_rebinds = Table(
    "account_rebinds",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.account_id"), primary_key=True),
    Column("phone", LargeBinary),  # sealed
    Column("proposed_by", String(128), nullable=False),
    Column("proposed_us", BigInteger, nullable=False),
)

# What clients found out about a line that failed.
client_diagnostics = Table(
    "client_diagnostics",
    metadata,
    Column("diagnostic_id", String(36), primary_key=True),
    Column("sender", String(128), nullable=False),  # device/ID or account/ID
    Column("error_code", String(64), nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),  # a serialised verifield.v1.Diagnostics
    Index("ix_client_diagnostics_sender", "sender", "diagnostic_id"),
    Index("ix_client_diagnostics_received", "received_us"),
)
