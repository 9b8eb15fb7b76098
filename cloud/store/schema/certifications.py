"""Files of persons; and certifications: rules, applications, results, badges, what was done about them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from cloud.store.schema.base import metadata, where

_APPLICATION = "certification_applications.application_id"

objects = Table(
    "objects",
    metadata,
    Column("object_id", String(36), primary_key=True),
    Column("person_id", String(36), nullable=False, index=True),
    # Sealed under the person's key: the object's own key, and the digest of its content.
    Column("opener", LargeBinary),
    Column("sealed_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("media_type", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("dropped_us", BigInteger),
    Index("ix_objects_gone", "object_id", **where(text("opener IS NULL"))),
)

certification_rules = Table(
    "certification_rules",
    metadata,
    # TYPE and the code of a type, or DECLARATION and an empty code.
    Column("kind", String(16), primary_key=True),
    Column("code", String(32), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
    Column("effective_us", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

certification_applications = Table(
    "certification_applications",
    metadata,
    Column("application_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("type_code", String(32), nullable=False),
    Column("type_version", Integer, nullable=False),
    # The version of the rules PROCESS that it began with.
    Column("process_version", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),  # ApplicationState
    Column("form", LargeBinary),  # sealed
    Column("declaration_version", Integer),
    Column("declaration_sha256", LargeBinary(32)),
    Column("declared_us", BigInteger),
    Column("previous_id", String(36)),
    Column("task_id", String(36)),
    Column("reviewer", String(32)),  # a number, no name
    Column("supplement", LargeBinary),  # sealed: what the reviewer asks for
    Column("supplement_due_us", BigInteger),
    Column("result_id", String(36)),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("decided_us", BigInteger),
    Column("superseded_us", BigInteger),
    Column("version", BigInteger, nullable=False),
    Index("ix_certification_applications_account", "account_id", "application_id"),
    # DRAFT, SUBMITTED, IN_REVIEW, SUPPLEMENT_REQUIRED: one of a type at a time, beside what is reviewed anew.
    Index(
        "ux_certification_applications_live",
        "account_id",
        "type_code",
        unique=True,
        **where(text("state IN (1, 2, 3, 4) AND result_id IS NULL")),
    ),
    # PASSED: what the periodic review walks through.
    Index("ix_certification_applications_passed", "application_id", **where(text("state = 5"))),
)

certification_materials = Table(
    "certification_materials",
    metadata,
    Column("material_id", String(36), primary_key=True),
    Column("application_id", String(36), ForeignKey(_APPLICATION), nullable=False, index=True),
    Column("category", Integer, nullable=False),  # MaterialCategory
    Column("kind", String(32), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

certification_events = Table(
    "certification_events",
    metadata,
    Column("application_id", String(36), ForeignKey(_APPLICATION), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", Integer, nullable=False),  # ApplicationEvent
    Column("state", Integer, nullable=False),  # the one that followed
    Column("at_us", BigInteger, nullable=False),
    Column("reviewer", String(32)),
    Column("due_us", BigInteger),
    Index("ix_certification_events_at", "at_us"),
)

certification_results = Table(
    "certification_results",
    metadata,
    Column("result_id", String(36), primary_key=True),
    Column("application_id", String(36), ForeignKey(_APPLICATION), nullable=False, index=True),
    Column("account_id", String(36), nullable=False),
    Column("type_code", String(32), nullable=False),
    Column("outcome", Integer, nullable=False),  # ResultOutcome
    Column("reviewer", String(32), nullable=False),
    Column("reasons", LargeBinary),  # sealed
    Column("document_id", String(36), nullable=False),
    # Names and objects of what was archived, as JSON; document_id is one of them.
    Column("files", Text, nullable=False),
    Column("manifest_id", String(36), nullable=False),
    Column("decided_us", BigInteger, nullable=False),
    Index("ix_certification_results_account", "account_id", "result_id"),
    Index("ix_certification_results_reviewer", "reviewer", "result_id"),
    Index("ix_certification_results_outcome", "outcome", "result_id"),
)

certification_badges = Table(
    "certification_badges",
    metadata,
    Column("badge_id", String(36), primary_key=True),
    Column("application_id", String(36), ForeignKey(_APPLICATION), nullable=False, index=True),
    Column("account_id", String(36), nullable=False, index=True),
    Column("signed", LargeBinary),  # sealed: SignedBadge
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("revoked_why", Integer),  # BadgeRevocation
)

certification_recerts = Table(
    "certification_recerts",
    metadata,
    Column("application_id", String(36), ForeignKey(_APPLICATION), primary_key=True),
    Column("why", Integer, primary_key=True, autoincrement=False),  # RecertReason
    Column("account_id", String(36), nullable=False, index=True),
    Column("created_us", BigInteger, nullable=False),
    Column("settled_us", BigInteger),
)

certification_rounds = Table(
    "certification_rounds",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("position", String(36), nullable=False),
    Column("checked", Integer, nullable=False),
    Column("flagged", Integer, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
)

certification_measures = Table(
    "certification_measures",
    metadata,
    Column("measure_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False, index=True),
    Column("kind", Integer, nullable=False),  # MeasureKind
    Column("application_id", String(36)),
    Column("reason", LargeBinary),  # sealed
    Column("caller", String(128), nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

certification_meters = Table(
    "certification_meters",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("counted_from_us", BigInteger, nullable=False),
    Column("blocked_until_us", BigInteger, nullable=False),
)
