"""Verifications of identity: how each account stands, every attempt, and the ledger of those by hand.

Nothing here says more of a person than the account's id, but for what is sealed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from cloud.store.schema.base import metadata, where

_PENDING = text("state = 1")  # VERIFICATION_STATE_PENDING
_OPEN = text("state = 1")  # SITE_VERIFICATION_STATE_OPEN

identities = Table(
    "identities",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.account_id"), primary_key=True),
    # When the four elements were verified, and by which attempt.
    Column("elements_us", BigInteger),
    Column("elements_id", String(36)),
    # By which attempt the person was, how, and when.
    Column("verification_id", String(36)),
    Column("method", Integer, nullable=False),
    Column("mark", Integer, nullable=False),
    Column("verified_us", BigInteger),
    # Since when it does not count any more, and why.
    Column("stale_us", BigInteger),
    Column("stale_code", String(64), nullable=False),
    # Since when it is known that the account has another card's validity.
    Column("conflict_us", BigInteger),
    Column("element_tries", Integer, nullable=False),
    Column("face_tries", Integer, nullable=False),
    # Those that grow old.
    Index(
        "ix_identities_verified",
        "verified_us",
        **where(text("verified_us IS NOT NULL AND stale_us IS NULL")),
    ),
)

verifications = Table(
    "verifications",
    metadata,
    Column("verification_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("method", Integer, nullable=False),  # VerificationMethod
    Column("state", Integer, nullable=False),  # VerificationState
    Column("code", String(64), nullable=False),
    Column("mark", Integer, nullable=False),  # VerificationMark
    # Of the request that began it, so that a repeated one does not ask the authority again.
    Column("request_id", String(36), nullable=False),
    # The record of a device that it stands on.
    Column("attestation_id", String(36), nullable=False),
    Column("device_id", String(36), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # While it is PENDING: when it ends as ERROR_RETRYABLE by itself.
    Column("expires_us", BigInteger, nullable=False),
    # One attempt of a method at a time.
    Index("uq_verifications_pending", "account_id", "method", unique=True, **where(_PENDING)),
    Index("ix_verifications_expires", "expires_us", **where(_PENDING)),
    Index("ix_verifications_account", "account_id", "verification_id"),
    Index("ix_verifications_state", "state", "verification_id"),
    Index("ix_verifications_method", "method", "verification_id"),
    Index("ix_verifications_tries", "account_id", "method", "created_us"),
)

face_checks = Table(
    "face_checks",
    metadata,
    Column("face_check_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("nonce", LargeBinary(32), nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),  # used, or another one was begun
    Column("verification_id", String(36), nullable=False),  # for which it was used, or empty
    Index("ix_face_checks_account", "account_id", "face_check_id"),
    Index("ix_face_checks_expires", "expires_us"),
    Index("ix_face_checks_used", "verification_id", **where(text("verification_id <> ''"))),
)

# Records of devices that were accepted as evidence: none is, twice.
used_evidence = Table(
    "used_evidence",
    metadata,
    Column("envelope_sha256", LargeBinary(32), primary_key=True),
    Column("attestation_id", String(36), nullable=False, unique=True),
    Column("subject", String(80), nullable=False),  # TABLE/ID of what it was used for
    Column("used_us", BigInteger, nullable=False),
    Index("ix_used_evidence_subject", "subject"),
)

ctid_transactions = Table(
    "ctid_transactions",
    metadata,
    Column("verification_id", String(36), ForeignKey("verifications.verification_id"), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("transaction_id", String(128), nullable=False),
    # Sealed, hexadecimal: an answer is that of this transaction by its nonce.
    Column("nonce", LargeBinary),
)

# Rows are added and never changed: triggers of the database see to it (cloud.store.append_only).
manual_ledger = Table(
    "manual_ledger",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without gaps
    Column("account_id", String(36), nullable=False),
    Column("verification_id", String(36), nullable=False, unique=True),
    Column("operator", String(128), nullable=False),  # KIND/NAME of the caller
    Column("recorded_us", BigInteger, nullable=False),
    Column("place", String(100), nullable=False),
    Column("documents", Text, nullable=False),  # JSON list of numbers of SeenDocument
    Column("reason", Integer, nullable=False),  # ManualReason
    Column("note", String(200), nullable=False),
    # Of the entry before this one, and over this one: see cloud.verifications.ledger.
    Column("previous_sha256", LargeBinary(32), nullable=False),
    Column("entry_sha256", LargeBinary(32), nullable=False),
    Index("ix_manual_ledger_recorded", "recorded_us", "number"),
)

# Which persons the operators are, so that none verifies oneself.
staff_identities = Table(
    "staff_identities",
    metadata,
    Column("user_id", String(36), ForeignKey("users.user_id"), primary_key=True),
    Column("id_number", LargeBinary),  # sealed with the user's own key
    Column("id_mark", LargeBinary(36)),  # blind index
    Column("declared_by", String(128), nullable=False),
    Column("declared_us", BigInteger, nullable=False),
    Index("ix_staff_identities_mark", "id_mark"),
)

site_tasks = Table(
    "site_tasks",
    metadata,
    Column("task_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("site_id", String(64), nullable=False),
    Column("state", Integer, nullable=False),  # SiteVerificationState
    Column("nonce", LargeBinary(32), nullable=False, unique=True),
    # Of the commitment to the person's number, as the devices have it.
    Column("number_digest", LargeBinary(32), nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("requested_by", String(128), nullable=False),
    Index("ix_site_tasks_account", "account_id", "task_id"),
    Index("ix_site_tasks_expires", "expires_us", **where(_OPEN)),
    Index("ix_site_tasks_site", "site_id", "task_id"),
    Index("ix_site_tasks_state", "state", "task_id"),
)

# Records that say what they were made for, as the ingest finds them: judged later, by a job.
purposes = Table(
    "purposes",
    metadata,
    Column("attestation_id", String(36), primary_key=True),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("task_id", String(36), nullable=False),  # empty where there was none
    Column("received_us", BigInteger, nullable=False),
    Column("judged_us", BigInteger),
    Index("ix_purposes_waiting", "received_us", "attestation_id", **where(text("judged_us IS NULL"))),
)

site_results = Table(
    "site_results",
    metadata,
    Column("attestation_id", String(36), primary_key=True),
    Column("task_id", String(36), ForeignKey("site_tasks.task_id"), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("device_id", String(36), nullable=False),
    Column("site_id", String(64), nullable=False),
    Column("outcome", Integer, nullable=False),  # Outcome of the statement
    # Made between these two.
    Column("not_before_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("code", String(64), nullable=False),
    Column("verification_id", String(36), nullable=False),
    Column("judged_us", BigInteger, nullable=False),
    Index("ix_site_results_account", "account_id", "judged_us"),
    Index("ix_site_results_task", "task_id", "judged_us"),
)

identity_conflicts = Table(
    "identity_conflicts",
    metadata,
    Column("conflict_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("kind", Integer, nullable=False),  # ConflictKind
    Column("state", Integer, nullable=False),  # ConflictState
    Column("first_id", String(36), nullable=False),  # attestation ids; the first one to be judged
    Column("second_id", String(36), nullable=False),
    Column("winner_id", String(36), nullable=False),
    Column("other_account_id", String(36), nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("settled_us", BigInteger),
    Column("settled_by", String(36), nullable=False),
    Index("uq_identity_conflicts_pair", "first_id", "second_id", unique=True),
    Index("ix_identity_conflicts_account", "account_id", "conflict_id"),
    Index("ix_identity_conflicts_state", "state", "conflict_id"),
)
