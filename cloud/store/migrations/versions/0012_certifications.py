"""Objects, applications for certification, results, badges."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_objects()
    _create_applications()
    _create_parts()
    _create_results()
    _create_care()


def _create_objects() -> None:
    op.create_table(
        "objects",
        sa.Column("object_id", sa.String(36), primary_key=True),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("opener", sa.LargeBinary),
        sa.Column("sealed_sha256", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("dropped_us", sa.BigInteger),
    )
    _create_partial("ix_objects_gone", "objects", ["object_id"], "opener IS NULL")
    op.create_index("ix_objects_person_id", "objects", ["person_id"])
    op.create_table(
        "certification_rules",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("code", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("effective_us", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )


def _create_applications() -> None:
    op.create_table(
        "certification_applications",
        sa.Column("application_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("type_code", sa.String(32), nullable=False),
        sa.Column("type_version", sa.Integer, nullable=False),
        sa.Column("process_version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("form", sa.LargeBinary),
        sa.Column("declaration_version", sa.Integer),
        sa.Column("declaration_sha256", sa.LargeBinary(32)),
        sa.Column("declared_us", sa.BigInteger),
        sa.Column("previous_id", sa.String(36)),
        sa.Column("task_id", sa.String(36)),
        sa.Column("reviewer", sa.String(32)),
        sa.Column("supplement", sa.LargeBinary),
        sa.Column("supplement_due_us", sa.BigInteger),
        sa.Column("result_id", sa.String(36)),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("decided_us", sa.BigInteger),
        sa.Column("superseded_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_certification_applications_account",
        "certification_applications",
        ["account_id", "application_id"],
    )
    _create_partial(
        "ix_certification_applications_passed", "certification_applications", ["application_id"], "state = 5"
    )
    _create_partial(
        "ux_certification_applications_live",
        "certification_applications",
        ["account_id", "type_code"],
        "state IN (1, 2, 3, 4) AND result_id IS NULL",
        unique=True,
    )


def _create_parts() -> None:
    op.create_table(
        "certification_materials",
        sa.Column("material_id", sa.String(36), primary_key=True),
        _of_application(),
        sa.Column("category", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_certification_materials_application_id", "certification_materials", ["application_id"]
    )
    op.create_table(
        "certification_events",
        _of_application(primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("reviewer", sa.String(32)),
        sa.Column("due_us", sa.BigInteger),
    )
    op.create_index("ix_certification_events_at", "certification_events", ["at_us"])


def _create_results() -> None:
    op.create_table(
        "certification_results",
        sa.Column("result_id", sa.String(36), primary_key=True),
        _of_application(),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("type_code", sa.String(32), nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("reviewer", sa.String(32), nullable=False),
        sa.Column("reasons", sa.LargeBinary),
        sa.Column("document_id", sa.String(36), nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.String(36), nullable=False),
        sa.Column("decided_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_certification_results_account", "certification_results", ["account_id", "result_id"])
    op.create_index("ix_certification_results_application_id", "certification_results", ["application_id"])
    op.create_index("ix_certification_results_outcome", "certification_results", ["outcome", "result_id"])
    op.create_index("ix_certification_results_reviewer", "certification_results", ["reviewer", "result_id"])
    op.create_table(
        "certification_badges",
        sa.Column("badge_id", sa.String(36), primary_key=True),
        _of_application(),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("signed", sa.LargeBinary),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("revoked_why", sa.Integer),
    )
    op.create_index("ix_certification_badges_account_id", "certification_badges", ["account_id"])
    op.create_index("ix_certification_badges_application_id", "certification_badges", ["application_id"])
    op.create_table(
        "certification_recerts",
        _of_application(primary_key=True),
        sa.Column("why", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("settled_us", sa.BigInteger),
    )
    op.create_index("ix_certification_recerts_account_id", "certification_recerts", ["account_id"])


def _create_care() -> None:
    op.create_table(
        "certification_rounds",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("position", sa.String(36), nullable=False),
        sa.Column("checked", sa.Integer, nullable=False),
        sa.Column("flagged", sa.Integer, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
    )
    op.create_table(
        "certification_measures",
        sa.Column("measure_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("application_id", sa.String(36)),
        sa.Column("reason", sa.LargeBinary),
        sa.Column("caller", sa.String(128), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_certification_measures_account_id", "certification_measures", ["account_id"])
    op.create_table(
        "certification_meters",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("counted_from_us", sa.BigInteger, nullable=False),
        sa.Column("blocked_until_us", sa.BigInteger, nullable=False),
    )


def _create_partial(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _of_application(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "application_id",
        sa.String(36),
        sa.ForeignKey("certification_applications.application_id"),
        primary_key=primary_key,
        nullable=False,
    )
