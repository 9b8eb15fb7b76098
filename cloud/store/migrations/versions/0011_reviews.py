"""Review tasks and tickets."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_reviewers()
    _create_tasks()
    _create_parts()
    _create_cases()
    _create_tickets()


def _create_reviewers() -> None:
    op.create_table(
        "reviewers",
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("users.user_id"), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("capacity", sa.Integer, nullable=False),
        sa.Column("load", sa.Integer, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("away", sa.Boolean, nullable=False),
        sa.Column("open_cases", sa.Integer, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "reviewer_skills",
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("reviewers.reviewer_id"), primary_key=True),
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
    )
    op.create_index("ix_reviewer_skills_kind", "reviewer_skills", ["kind", "reviewer_id"])
    op.create_table(
        "reviewer_marks",
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("reviewers.reviewer_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.LargeBinary(36)),
    )
    op.create_index("ix_reviewer_marks_mark", "reviewer_marks", ["mark", "reviewer_id"])


def _create_tasks() -> None:
    op.create_table(
        "review_tasks",
        sa.Column("task_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("reviewers.reviewer_id")),
        sa.Column("last_reviewer_id", sa.String(36)),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("left_us", sa.BigInteger),
        sa.Column("queue_us", sa.BigInteger, nullable=False),
        sa.Column("overdue_count", sa.Integer, nullable=False),
        sa.Column("supplement_count", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Integer),
        sa.Column("first_task_id", sa.String(36), unique=True),
        sa.Column("supplement", sa.LargeBinary),
        sa.Column("reasons", sa.LargeBinary),
    )
    op.create_index("ix_review_tasks_account", "review_tasks", ["account_id"])
    op.create_index("ix_review_tasks_kind", "review_tasks", ["state", "kind", "at_us", "task_id"])
    op.create_index(
        "ix_review_tasks_overdue",
        "review_tasks",
        ["state", "kind", "at_us", "task_id"],
        sqlite_where=sa.text("overdue_count > 0"),
        postgresql_where=sa.text("overdue_count > 0"),
    )
    op.create_index(
        "ix_review_tasks_queue",
        "review_tasks",
        ["kind", "queue_us", "task_id"],
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_index(
        "ix_review_tasks_reviewer", "review_tasks", ["reviewer_id", "state", "kind", "at_us", "task_id"]
    )
    op.create_index(
        "ix_review_tasks_reviewer_overdue",
        "review_tasks",
        ["reviewer_id", "state", "kind", "at_us", "task_id"],
        sqlite_where=sa.text("overdue_count > 0"),
        postgresql_where=sa.text("overdue_count > 0"),
    )
    op.create_index("ix_review_tasks_state", "review_tasks", ["state", "at_us", "task_id"])
    op.create_index(
        "ix_review_tasks_subject",
        "review_tasks",
        ["subject"],
        unique=True,
        sqlite_where=sa.text("state < 4 AND first_task_id IS NULL"),
        postgresql_where=sa.text("state < 4 AND first_task_id IS NULL"),
    )


def _create_parts() -> None:
    op.create_table(
        "review_task_marks",
        sa.Column("task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("mark", sa.LargeBinary(36)),
    )
    op.create_index("ix_review_task_marks_account", "review_task_marks", ["account_id"])
    op.create_table(
        "review_bars",
        sa.Column("task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), primary_key=True),
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("reviewers.reviewer_id"), primary_key=True),
    )
    op.create_table(
        "review_checks",
        sa.Column("task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("result", sa.Integer, nullable=False),
        sa.Column("remark", sa.LargeBinary),
        sa.Column("recorded_us", sa.BigInteger),
    )
    op.create_index("ix_review_checks_account", "review_checks", ["account_id"])
    op.create_table(
        "review_events",
        sa.Column("task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("reviewer_id", sa.String(36)),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("result", sa.Integer, nullable=False),
        sa.Column("note", sa.LargeBinary),
    )
    op.create_index("ix_review_events_account", "review_events", ["account_id"])


def _create_cases() -> None:
    op.create_table(
        "second_reviews",
        sa.Column("task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), primary_key=True),
        sa.Column(
            "first_task_id", sa.String(36), sa.ForeignKey("review_tasks.task_id"), nullable=False, unique=True
        ),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
    )
    op.create_index("ix_second_reviews_state", "second_reviews", ["state", "task_id"])
    op.create_table(
        "discipline_cases",
        sa.Column("case_id", sa.String(36), primary_key=True),
        sa.Column("reviewer_id", sa.String(36), sa.ForeignKey("reviewers.reviewer_id"), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("facts", sa.LargeBinary),
        sa.Column("note", sa.LargeBinary),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("closed_by", sa.String(128), nullable=False),
        sa.Column("closed_us", sa.BigInteger),
        sa.Column("outcome", sa.Integer, nullable=False),
    )
    op.create_index("ix_discipline_cases_reviewer", "discipline_cases", ["reviewer_id", "state", "case_id"])
    op.create_index("ix_discipline_cases_state", "discipline_cases", ["state", "case_id"])


def _create_tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("ticket_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("taken_by", sa.String(128), nullable=False),
        sa.Column("taken_us", sa.BigInteger),
        sa.Column("closed_by", sa.String(128), nullable=False),
        sa.Column("closed_us", sa.BigInteger),
    )
    op.create_index("ix_tickets_account", "tickets", ["account_id", "ticket_id"])
    op.create_index(
        "ix_tickets_live",
        "tickets",
        ["account_id", "kind"],
        unique=True,
        sqlite_where=sa.text("state < 3"),
        postgresql_where=sa.text("state < 3"),
    )
    op.create_index("ix_tickets_state", "tickets", ["state", "kind", "ticket_id"])
    op.create_table(
        "ticket_events",
        sa.Column("ticket_id", sa.String(36), sa.ForeignKey("tickets.ticket_id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("note", sa.LargeBinary),
    )
    op.create_index("ix_ticket_events_account", "ticket_events", ["account_id"])
