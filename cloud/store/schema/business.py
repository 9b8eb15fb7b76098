"""Rules with a date, requests for services, who acts for whom, and feedback."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from cloud.store.schema.base import metadata, where

rule_editions = Table(
    "rule_editions",
    metadata,
    Column("kind", Integer, primary_key=True, autoincrement=False),  # RuleKind
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("effective_us", BigInteger, nullable=False),
    Column("published_us", BigInteger, nullable=False),
    Column("withdrawn_us", BigInteger),
    # KIND/NAME of a caller: nothing personal.
    Column("author", String(128), nullable=False),
    Column("note", String(500), nullable=False),
    # A message Rules.
    Column("content", LargeBinary, nullable=False),
    # Of those that count, no two begin at the same instant.
    Index(
        "ux_rule_editions_effective",
        "kind",
        "effective_us",
        unique=True,
        **where(text("withdrawn_us IS NULL")),
    ),
)

business_requests = Table(
    "business_requests",
    metadata,
    Column("business_id", String(36), primary_key=True),
    # The applicant, under whose key sealed columns are.
    Column("account_id", String(36), nullable=False),
    Column("agent_account_id", String(36)),
    Column("delegation_id", String(36)),
    Column("service_code", String(64), nullable=False),
    Column("state", Integer, nullable=False),  # BusinessState
    Column("text", LargeBinary),  # sealed
    # Messages PermissionSnapshot.
    Column("permission", LargeBinary, nullable=False),
    Column("submit_permission", LargeBinary),
    # The version of the rules PROCESS that it began with.
    Column("process_version", BigInteger, nullable=False),
    Column("task_id", String(36)),
    # Until when a supplement is awaited.
    Column("supplement_us", BigInteger),
    # Sealed: why it ended, or what is to be supplemented.
    Column("reasons", LargeBinary),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # Since when it is in its state.
    Column("state_us", BigInteger, nullable=False),
    # Counts the changes.
    Column("version", BigInteger, nullable=False),
    Index("ix_business_requests_account", "account_id", "business_id"),
    Index(
        "ix_business_requests_agent",
        "agent_account_id",
        "business_id",
        **where(text("agent_account_id IS NOT NULL")),
    ),
    Index("ix_business_requests_state", "state", "business_id"),
)

business_documents = Table(
    "business_documents",
    metadata,
    Column("business_id", String(36), ForeignKey("business_requests.business_id"), primary_key=True),
    Column("document_id", String(36), primary_key=True),  # of the object
    Column("kind", Integer, nullable=False),  # BusinessDocumentKind
    Column("added_us", BigInteger, nullable=False),
    Column("added_by", String(128), nullable=False),
)

# Rows are added and never changed.
business_events = Table(
    "business_events",
    metadata,
    Column("business_id", String(36), ForeignKey("business_requests.business_id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("event", Integer, nullable=False),  # BusinessEvent
    Column("time_us", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),  # after it
    # The state that it ended, and how long that one lasted; null where it ended none.
    Column("left_state", Integer),
    Column("lasted_us", BigInteger),
    Column("process_version", BigInteger, nullable=False),
    Column("caller", String(128), nullable=False),
    Index("ix_business_events_left", "time_us", **where(text("left_state IS NOT NULL"))),
)

delegations = Table(
    "delegations",
    metadata,
    Column("delegation_id", String(36), primary_key=True),
    # Who is acted for.
    Column("account_id", String(36), nullable=False),
    Column("agent_account_id", String(36), nullable=False),
    Column("state", Integer, nullable=False),  # DelegationState, never EXPIRED
    # Codes with spaces between them.
    Column("service_codes", String(4200), nullable=False),
    Column("valid_from_us", BigInteger, nullable=False),
    Column("valid_until_us", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("answered_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("version", BigInteger, nullable=False),
    Index("ix_delegations_account", "account_id", "delegation_id"),
    Index("ix_delegations_agent", "agent_account_id", "delegation_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", String(36), primary_key=True),
    Column("ack_number", String(16), nullable=False, unique=True),
    Column("category", Integer, nullable=False),  # FeedbackCategory
    # Under whose key the text is: the account, or the row itself where nobody was signed in.
    Column("person_id", String(36), nullable=False),
    Column("account_id", String(36)),
    Column("device_id", String(36), nullable=False),
    Column("text", LargeBinary),  # sealed
    Column("app", String(64), nullable=False),
    Column("app_version", String(64), nullable=False),
    Column("screen", String(64), nullable=False),
    Column("language", String(2), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Index("ix_feedback_received", "received_us"),
    Index("ix_feedback_category", "category", "feedback_id"),
)

# Who sent how much lately, by account or source: the times of the last ones.
feedback_senders = Table(
    "feedback_senders",
    metadata,
    Column("sender_key", LargeBinary(36), primary_key=True),  # keyed digest
    Column("times", LargeBinary, nullable=False),  # 8 bytes each, microseconds, big endian
    Column("last_us", BigInteger, nullable=False),
    Index("ix_feedback_senders_last", "last_us"),
)
