"""Contracts: what is agreed, by whom, where marks stand, what became of the document, and what happened."""

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

_CONTRACT = "contracts.contract_id"

contracts = Table(
    "contracts",
    metadata,
    Column("contract_id", String(36), primary_key=True),
    Column("sender_account_id", String(36), nullable=False),
    Column("sender_organisation_id", String(36)),
    Column("state", Integer, nullable=False),  # ContractState
    Column("flow", Integer, nullable=False),  # ContractFlow
    # Sealed under the contract's own key: title, number, amount, note, tags, folder.
    Column("details", LargeBinary),
    Column("category", String(32), nullable=False),
    # One bit for each SigningMethod that is allowed.
    Column("allowed_methods", Integer, nullable=False),
    Column("deadline_us", BigInteger),
    Column("deadline_by_default", Boolean, nullable=False),
    # IANA name: in which the dates of signing are shown on the document.
    Column("time_zone", String(64), nullable=False),
    # The file as it came.
    Column("upload_id", String(36), nullable=False),
    Column("upload_sha256", LargeBinary(32), nullable=False),
    # Width and height of each page in thousandths of a point, as JSON.
    Column("pages", LargeBinary, nullable=False),
    Column("page_count", Integer, nullable=False),
    # The file frozen at send: what is read, and what every signature is bound to.
    Column("document_id", String(36)),
    Column("document_sha256", LargeBinary(32)),
    # The file as it is now.
    Column("revision_id", String(36)),
    Column("revision_no", Integer, nullable=False),
    Column("revision_sha256", LargeBinary(32)),
    # A signature waits for a time-stamp since then.
    Column("stamp_waits_us", BigInteger),
    Column("review_required", Boolean, nullable=False),
    Column("copied_from", String(36)),
    Column("sent_us", BigInteger),
    Column("completed_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("retention_until_us", BigInteger),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index("ix_contracts_sender", "sender_account_id", "contract_id"),
    Index("ix_contracts_sent", "sender_account_id", "sent_us"),
    Index("ix_contracts_organisation", "sender_organisation_id", "contract_id"),
    # SENT, PARTIALLY_SIGNED: what may expire, and who may be reminded.
    Index("ix_contracts_deadline", "deadline_us", **where(text("state IN (3, 4)"))),
    # DRAFT, INTERNAL_REVIEW: what may be forgotten.
    Index("ix_contracts_drafts", "updated_us", **where(text("state IN (1, 2)"))),
    # DECLINED, WITHDRAWN, EXPIRED: what is kept for a time.
    Index("ix_contracts_ended", "retention_until_us", **where(text("state IN (7, 8, 9)"))),
)

contract_parties = Table(
    "contract_parties",
    metadata,
    Column("party_id", String(36), primary_key=True),
    Column("contract_id", String(36), ForeignKey(_CONTRACT), nullable=False),
    # From 1, as the sender listed them.
    Column("number", Integer, nullable=False),
    Column("kind", Integer, nullable=False),  # PartyKind
    Column("role", Integer, nullable=False),  # PartyRole
    # Groups act one after the other, those of one group in any order.
    Column("group_no", Integer, nullable=False),
    Column("state", Integer, nullable=False),  # PartyState
    Column("is_sender", Boolean, nullable=False),
    # Whose part it is, once that is certain.
    Column("account_id", String(36)),
    Column("organisation_id", String(36)),
    # Sealed under the contract's key.
    Column("name", LargeBinary),
    Column("address", LargeBinary),
    Column("asked", LargeBinary),
    Column("decline_reason", LargeBinary),
    # SHA-256 of the token of the link that counts now.
    Column("link_digest", LargeBinary(32), unique=True),
    Column("link_tries", Integer, nullable=False),
    # One bit for each page that was delivered to this party.
    Column("pages_seen", LargeBinary, nullable=False),
    # While it is this party's turn to act.
    Column("turn_us", BigInteger),
    Column("notified_us", BigInteger),
    Column("opened_us", BigInteger),
    Column("read_us", BigInteger),
    Column("read_sha256", LargeBinary(32)),
    Column("authenticated_us", BigInteger),
    Column("acted_us", BigInteger),
    # Who acted for an organisation.
    Column("acted_by", String(36)),
    Column("reminders", Integer, nullable=False),
    Column("reminded_us", BigInteger),
    Index("ux_contract_parties_number", "contract_id", "number", unique=True),
    Index(
        "ux_contract_parties_account",
        "contract_id",
        "account_id",
        unique=True,
        **where(text("organisation_id IS NULL AND account_id IS NOT NULL")),
    ),
    Index(
        "ux_contract_parties_organisation",
        "contract_id",
        "organisation_id",
        unique=True,
        **where(text("organisation_id IS NOT NULL")),
    ),
    Index("ix_contract_parties_account", "account_id", "contract_id"),
    Index("ix_contract_parties_organisation", "organisation_id", "contract_id"),
    Index("ix_contract_parties_turn", "turn_us", **where(text("turn_us IS NOT NULL"))),
)

contract_widgets = Table(
    "contract_widgets",
    metadata,
    Column("widget_id", String(36), primary_key=True),
    Column("contract_id", String(36), ForeignKey(_CONTRACT), nullable=False, index=True),
    Column("party_id", String(36), nullable=False),
    # From 1, as they were placed.
    Column("number", Integer, nullable=False),
    Column("kind", Integer, nullable=False),  # MarkKind
    Column("state", Integer, nullable=False),  # ContractMarkState
    # Of the signature field in the document; unique within the contract.
    Column("field_name", String(64), nullable=False),
    Column("page", Integer, nullable=False),
    # Thousandths of a point, from the top left corner of the page.
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    # Placed by the service, because nobody placed any.
    Column("by_default", Boolean, nullable=False),
)

contract_reviews = Table(
    "contract_reviews",
    metadata,
    Column("review_id", String(36), primary_key=True),
    Column("contract_id", String(36), ForeignKey(_CONTRACT), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("state", Integer, nullable=False),  # ContractReviewState
    Column("reason", LargeBinary),  # sealed
    Column("decided_us", BigInteger),
    Index("ux_contract_reviews_account", "contract_id", "account_id", unique=True),
    Index("ix_contract_reviews_account", "account_id", "contract_id"),
)

contract_events = Table(
    "contract_events",
    metadata,
    Column("contract_id", String(36), ForeignKey(_CONTRACT), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", Integer, nullable=False),  # ContractEventKind
    Column("state", Integer, nullable=False),  # the one that followed
    Column("at_us", BigInteger, nullable=False),
    Column("party_id", String(36)),
)

# Rows are added and never changed: triggers of the database see to it (cloud.store.append_only).
contract_revisions = Table(
    "contract_revisions",
    metadata,
    # CONTRACT/NUMBER: the one column that names a row, as the guard wants it.
    Column("revision_id", String(48), primary_key=True),
    Column("contract_id", String(36), ForeignKey(_CONTRACT), nullable=False, index=True),
    # 0: frozen at send.
    Column("revision_no", Integer, nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("party_id", String(36)),
    Column("at_us", BigInteger, nullable=False),
)

# Keyed digests of words: found without the words standing anywhere.
contract_words = Table(
    "contract_words",
    metadata,
    Column("contract_id", String(36), ForeignKey(_CONTRACT), primary_key=True),
    Column("digest", LargeBinary(16), primary_key=True),
    Index("ix_contract_words_digest", "digest", "contract_id"),
)
