"""Review tasks and who works on them; second reviews; discipline cases; tickets to the information centre."""

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

# Numbers of the contract's enums; said in the indexes as they are in the queries, or those are not used.
_OPEN = text("state = 1")
_LIVE_FIRST = text("state < 4 AND first_task_id IS NULL")
_OVERDUE = text("overdue_count > 0")

reviewers = Table(
    "reviewers",
    metadata,
    Column("reviewer_id", String(36), ForeignKey("users.user_id"), primary_key=True),
    # How applicants see the reviewer.
    Column("number", Integer, nullable=False, unique=True),
    # 0: as many as the rules allow.
    Column("capacity", Integer, nullable=False),
    # Tasks in the state ASSIGNED: kept with each change, because counting takes long where there are many.
    Column("load", Integer, nullable=False),
    # When something was last assigned: among equals, whoever waited longest is next.
    Column("last_us", BigInteger, nullable=False),
    Column("away", Boolean, nullable=False),
    # Open discipline cases, and whether one of the closed ones ended with a removal.
    Column("open_cases", Integer, nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
)

reviewer_skills = Table(
    "reviewer_skills",
    metadata,
    Column("reviewer_id", String(36), ForeignKey("reviewers.reviewer_id"), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),  # ReviewKind
    Index("ix_reviewer_skills_kind", "kind", "reviewer_id"),
)

reviewer_marks = Table(
    "reviewer_marks",
    metadata,
    Column("reviewer_id", String(36), ForeignKey("reviewers.reviewer_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    # A keyed digest (cloud.reviews.marks); null once the person was erased.
    Column("mark", LargeBinary(36)),
    Index("ix_reviewer_marks_mark", "mark", "reviewer_id"),
)

review_tasks = Table(
    "review_tasks",
    metadata,
    Column("task_id", String(36), primary_key=True),
    Column("kind", Integer, nullable=False),  # ReviewKind
    Column("subject", String(128), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("state", Integer, nullable=False),  # ReviewTaskState
    Column("reviewer_id", String(36), ForeignKey("reviewers.reviewer_id")),
    # Who had it before: it is not given back there by itself.
    Column("last_reviewer_id", String(36)),
    Column("opened_us", BigInteger, nullable=False),
    # What lists are ordered by: when the decision is due; while it waits for the applicant, when that is due;
    # when it ended.
    Column("at_us", BigInteger, nullable=False),
    # While it waits for the applicant: what is left of the time limit.
    Column("left_us", BigInteger),
    # While nobody has it: its place in the queue.
    Column("queue_us", BigInteger, nullable=False),
    Column("overdue_count", Integer, nullable=False),
    Column("supplement_count", Integer, nullable=False),
    Column("outcome", Integer),  # ReviewOutcome
    # Of a second review: the task that it looks at.
    Column("first_task_id", String(36), unique=True),
    # Sealed with the account's key: what the applicant was last asked for, and the reasons of the decision.
    Column("supplement", LargeBinary),
    Column("reasons", LargeBinary),
    # A subject has one task at a time.
    Index("ix_review_tasks_subject", "subject", unique=True, **where(_LIVE_FIRST)),
    Index("ix_review_tasks_account", "account_id"),
    Index("ix_review_tasks_queue", "kind", "queue_us", "task_id", **where(_OPEN)),
    Index("ix_review_tasks_state", "state", "at_us", "task_id"),
    Index("ix_review_tasks_kind", "state", "kind", "at_us", "task_id"),
    Index("ix_review_tasks_reviewer", "reviewer_id", "state", "kind", "at_us", "task_id"),
    Index("ix_review_tasks_overdue", "state", "kind", "at_us", "task_id", **where(_OVERDUE)),
    Index(
        "ix_review_tasks_reviewer_overdue",
        "reviewer_id",
        "state",
        "kind",
        "at_us",
        "task_id",
        **where(_OVERDUE),
    ),
)

review_task_marks = Table(
    "review_task_marks",
    metadata,
    Column("task_id", String(36), ForeignKey("review_tasks.task_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("account_id", String(36), nullable=False),
    # Of the applicant; null once the person was erased.
    Column("mark", LargeBinary(36)),
    Index("ix_review_task_marks_account", "account_id"),
)

review_bars = Table(
    "review_bars",
    metadata,
    # Who decided before never has this task.
    Column("task_id", String(36), ForeignKey("review_tasks.task_id"), primary_key=True),
    Column("reviewer_id", String(36), ForeignKey("reviewers.reviewer_id"), primary_key=True),
)

review_checks = Table(
    "review_checks",
    metadata,
    Column("task_id", String(36), ForeignKey("review_tasks.task_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("account_id", String(36), nullable=False),
    Column("item", String(64), nullable=False),
    Column("result", Integer, nullable=False),  # CheckResult
    Column("remark", LargeBinary),  # sealed with the account's key
    Column("recorded_us", BigInteger),
    Index("ix_review_checks_account", "account_id"),
)

review_events = Table(
    "review_events",
    metadata,
    # Append-only: what happened to a task, 1, 2, ...
    Column("task_id", String(36), ForeignKey("review_tasks.task_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("account_id", String(36), nullable=False),
    Column("kind", Integer, nullable=False),  # ReviewEventKind
    Column("time_us", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),  # KIND/NAME
    Column("reviewer_id", String(36)),
    Column("item", String(64), nullable=False),
    Column("result", Integer, nullable=False),  # CheckResult
    Column("note", LargeBinary),  # sealed with the account's key
    Index("ix_review_events_account", "account_id"),
)

second_reviews = Table(
    "second_reviews",
    metadata,
    Column("task_id", String(36), ForeignKey("review_tasks.task_id"), primary_key=True),
    Column("first_task_id", String(36), ForeignKey("review_tasks.task_id"), nullable=False, unique=True),
    Column("state", Integer, nullable=False),  # SecondReviewState
    Column("opened_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Index("ix_second_reviews_state", "state", "task_id"),
)

discipline_cases = Table(
    "discipline_cases",
    metadata,
    Column("case_id", String(36), primary_key=True),
    Column("reviewer_id", String(36), ForeignKey("reviewers.reviewer_id"), nullable=False),
    Column("state", Integer, nullable=False),  # DisciplineCaseState
    # Sealed with the reviewer's key.
    Column("facts", LargeBinary),
    Column("note", LargeBinary),
    Column("opened_by", String(128), nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("closed_by", String(128), nullable=False),
    Column("closed_us", BigInteger),
    Column("outcome", Integer, nullable=False),  # DisciplineOutcome
    Index("ix_discipline_cases_state", "state", "case_id"),
    Index("ix_discipline_cases_reviewer", "reviewer_id", "state", "case_id"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("ticket_id", String(36), primary_key=True),
    Column("kind", Integer, nullable=False),  # TicketKind
    Column("account_id", String(36), nullable=False),
    Column("state", Integer, nullable=False),  # TicketState
    # Sealed with the account's key.
    Column("payload", LargeBinary),
    # KIND/NAME of callers; empty where nobody has.
    Column("opened_by", String(128), nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("taken_by", String(128), nullable=False),
    Column("taken_us", BigInteger),
    Column("closed_by", String(128), nullable=False),
    Column("closed_us", BigInteger),
    # An account has one ticket of a kind at a time.
    Index("ix_tickets_live", "account_id", "kind", unique=True, **where(text("state < 3"))),
    Index("ix_tickets_account", "account_id", "ticket_id"),
    Index("ix_tickets_state", "state", "kind", "ticket_id"),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    # Append-only: what happened to a ticket, 1, 2, ...
    Column("ticket_id", String(36), ForeignKey("tickets.ticket_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("account_id", String(36), nullable=False),
    Column("kind", Integer, nullable=False),  # TicketEventKind
    Column("time_us", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("note", LargeBinary),  # sealed with the account's key
    Index("ix_ticket_events_account", "account_id"),
)
