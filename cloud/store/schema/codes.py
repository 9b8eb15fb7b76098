"""One-time codes, how often text messages are sent, proofs of telephone numbers, and messages that wait."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, text

from cloud.store.schema.base import metadata, where

# Who sends, or is sent, text messages: a row to lock. Keyed digests under the service's secret.
send_meters = Table(
    "send_meters",
    metadata,
    Column("meter", LargeBinary(32), primary_key=True),
    Column("last_us", BigInteger, nullable=False),
    Index("ix_send_meters_last", "last_us"),
)

# Each accepted send, for as long as the longest window.
sms_sends = Table(
    "sms_sends",
    metadata,
    Column("send_id", String(36), primary_key=True),
    Column("phone", LargeBinary(32), nullable=False),  # meter of the number
    Column("source", LargeBinary(32), nullable=False),  # meter of the device or address
    Column("person", LargeBinary(32), nullable=False),  # meter of the account
    Column("purpose", Integer, nullable=False),  # CodePurpose
    Column("sent_us", BigInteger, nullable=False),
    Index("ix_sms_sends_phone", "phone", "sent_us"),
    Index("ix_sms_sends_source", "source", "sent_us"),
    Index("ix_sms_sends_person", "person", "sent_us"),
    Index("ix_sms_sends_sent", "sent_us"),
)

code_challenges = Table(
    "code_challenges",
    metadata,
    Column("challenge_id", String(36), primary_key=True),
    Column("person_id", String(64), nullable=False),
    Column("purpose", Integer, nullable=False),  # CodePurpose
    Column("state", Integer, nullable=False),  # ChallengeState
    Column("phone", LargeBinary(32), nullable=False),  # meter of the number
    Column("message_id", String(36), nullable=False),
    Column("code_mac", LargeBinary(32), nullable=False),
    Column("wrong", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index(
        "uq_code_challenges_open",
        "person_id",
        "purpose",
        unique=True,
        **where(text("state = 1")),
    ),
    Index("ix_code_challenges_expires", "expires_us", **where(text("state = 1"))),
)

phone_proofs = Table(
    "phone_proofs",
    metadata,
    Column("proof_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("phone", LargeBinary),  # sealed
    Column("method", Integer, nullable=False),  # PhoneMethod
    Column("evidence_id", String(36), nullable=False),  # of a challenge, or of a ticket
    # By hand: who asked at the window, and who vouched in the information centre (KIND/NAME).
    Column("requested_by", String(128), nullable=False),
    Column("confirmed_by", String(128), nullable=False),
    Column("match", Integer, nullable=False),  # PhoneMatch
    Column("proved_us", BigInteger, nullable=False),
    Index("ix_phone_proofs_account", "account_id", "proof_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("message_id", String(36), primary_key=True),
    Column("person_id", String(64), nullable=False),
    Column("channel", Integer, nullable=False),  # MessageChannel
    Column("template", String(64), nullable=False),
    Column("language", String(8), nullable=False),
    Column("state", Integer, nullable=False),  # MessageState
    Column("address", LargeBinary),  # sealed
    Column("content", LargeBinary),  # sealed; empty once it was delivered, or is of no more use
    Column("attempts", Integer, nullable=False),
    Column("fault", String(32), nullable=False),  # of the last attempt; empty: none
    # When somebody is to take it up: of one that waits its next attempt, of one that is sent its lease's end.
    Column("due_us", BigInteger, nullable=False),
    Column("lease", LargeBinary(16)),
    Column("expires_us", BigInteger),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # Those that expire wait for nobody else: each kind has its own.
    Index(
        "ix_messages_due",
        "channel",
        "due_us",
        "message_id",
        **where(text("state IN (1, 2) AND expires_us IS NULL")),
    ),
    Index(
        "ix_messages_due_brief",
        "channel",
        "due_us",
        "message_id",
        **where(text("state IN (1, 2) AND expires_us IS NOT NULL")),
    ),
    Index("ix_messages_person", "person_id", "message_id"),
    Index("ix_messages_state", "state", "message_id"),
)
