"""Contracts, their parties, places of marks, and revisions."""

import sqlalchemy as sa
from alembic import op

from cloud.store.append_only import TOLD, guard

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_contracts()
    _create_parties()
    _create_marks()
    _create_reviews()
    _create_history()
    _guard_sending()


def _create_contracts() -> None:
    op.create_table(
        "contracts",
        sa.Column("contract_id", sa.String(36), primary_key=True),
        sa.Column("sender_account_id", sa.String(36), nullable=False),
        sa.Column("sender_organisation_id", sa.String(36)),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("flow", sa.Integer, nullable=False),
        sa.Column("details", sa.LargeBinary),
        sa.Column("category", sa.String(32), nullable=False),
        sa.Column("allowed_methods", sa.Integer, nullable=False),
        sa.Column("deadline_us", sa.BigInteger),
        sa.Column("deadline_by_default", sa.Boolean, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("upload_id", sa.String(36), nullable=False),
        sa.Column("upload_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("pages", sa.LargeBinary, nullable=False),
        sa.Column("page_count", sa.Integer, nullable=False),
        sa.Column("document_id", sa.String(36)),
        sa.Column("document_sha256", sa.LargeBinary(32)),
        sa.Column("revision_id", sa.String(36)),
        sa.Column("revision_no", sa.Integer, nullable=False),
        sa.Column("revision_sha256", sa.LargeBinary(32)),
        sa.Column("stamp_waits_us", sa.BigInteger),
        sa.Column("review_required", sa.Boolean, nullable=False),
        sa.Column("copied_from", sa.String(36)),
        sa.Column("sent_us", sa.BigInteger),
        sa.Column("completed_us", sa.BigInteger),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("retention_until_us", sa.BigInteger),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_contracts_sender", "contracts", ["sender_account_id", "contract_id"])
    op.create_index("ix_contracts_sent", "contracts", ["sender_account_id", "sent_us"])
    op.create_index("ix_contracts_organisation", "contracts", ["sender_organisation_id", "contract_id"])
    _create_partial("ix_contracts_deadline", "contracts", ["deadline_us"], "state IN (3, 4)")
    _create_partial("ix_contracts_drafts", "contracts", ["updated_us"], "state IN (1, 2)")
    _create_partial("ix_contracts_ended", "contracts", ["retention_until_us"], "state IN (7, 8, 9)")


def _create_parties() -> None:
    op.create_table(
        "contract_parties",
        sa.Column("party_id", sa.String(36), primary_key=True),
        _of_contract(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("group_no", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("is_sender", sa.Boolean, nullable=False),
        sa.Column("account_id", sa.String(36)),
        sa.Column("organisation_id", sa.String(36)),
        sa.Column("name", sa.LargeBinary),
        sa.Column("address", sa.LargeBinary),
        sa.Column("asked", sa.LargeBinary),
        sa.Column("decline_reason", sa.LargeBinary),
        sa.Column("link_digest", sa.LargeBinary(32), unique=True),
        sa.Column("link_tries", sa.Integer, nullable=False),
        sa.Column("pages_seen", sa.LargeBinary, nullable=False),
        sa.Column("turn_us", sa.BigInteger),
        sa.Column("notified_us", sa.BigInteger),
        sa.Column("opened_us", sa.BigInteger),
        sa.Column("read_us", sa.BigInteger),
        sa.Column("read_sha256", sa.LargeBinary(32)),
        sa.Column("authenticated_us", sa.BigInteger),
        sa.Column("acted_us", sa.BigInteger),
        sa.Column("acted_by", sa.String(36)),
        sa.Column("reminders", sa.Integer, nullable=False),
        sa.Column("reminded_us", sa.BigInteger),
    )
    table = "contract_parties"
    op.create_index("ux_contract_parties_number", table, ["contract_id", "number"], unique=True)
    _create_partial(
        "ux_contract_parties_account",
        table,
        ["contract_id", "account_id"],
        "organisation_id IS NULL AND account_id IS NOT NULL",
        unique=True,
    )
    _create_partial(
        "ux_contract_parties_organisation",
        table,
        ["contract_id", "organisation_id"],
        "organisation_id IS NOT NULL",
        unique=True,
    )
    op.create_index("ix_contract_parties_account", table, ["account_id", "contract_id"])
    op.create_index("ix_contract_parties_organisation", table, ["organisation_id", "contract_id"])
    _create_partial("ix_contract_parties_turn", table, ["turn_us"], "turn_us IS NOT NULL")


def _create_marks() -> None:
    op.create_table(
        "contract_widgets",
        sa.Column("widget_id", sa.String(36), primary_key=True),
        _of_contract(),
        sa.Column("party_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("field_name", sa.String(64), nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("x", sa.Integer, nullable=False),
        sa.Column("y", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("by_default", sa.Boolean, nullable=False),
    )
    op.create_index("ix_contract_widgets_contract_id", "contract_widgets", ["contract_id"])


def _create_reviews() -> None:
    op.create_table(
        "contract_reviews",
        sa.Column("review_id", sa.String(36), primary_key=True),
        _of_contract(),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("reason", sa.LargeBinary),
        sa.Column("decided_us", sa.BigInteger),
    )
    table = "contract_reviews"
    op.create_index("ux_contract_reviews_account", table, ["contract_id", "account_id"], unique=True)
    op.create_index("ix_contract_reviews_account", table, ["account_id", "contract_id"])


def _create_history() -> None:
    op.create_table(
        "contract_events",
        _of_contract(primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("party_id", sa.String(36)),
    )
    op.create_table(
        "contract_revisions",
        sa.Column("revision_id", sa.String(48), primary_key=True),
        _of_contract(),
        sa.Column("revision_no", sa.Integer, nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("party_id", sa.String(36)),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_contract_revisions_contract_id", "contract_revisions", ["contract_id"])
    op.create_table(
        "contract_words",
        _of_contract(primary_key=True),
        sa.Column("digest", sa.LargeBinary(16), primary_key=True),
    )
    op.create_index("ix_contract_words_digest", "contract_words", ["digest", "contract_id"])


def _guard_sending() -> None:
    """Revisions are only added; and when a contract was sent, and what was sent, never changes."""
    connection = op.get_bind()
    guard(connection, "contract_revisions", keys=("revision_id",))
    changed = " OR ".join(
        f"(OLD.{name} IS NOT NULL AND (NEW.{name} IS NULL OR NEW.{name} <> OLD.{name}))"
        for name in ("sent_us", "document_sha256")
    )
    if connection.dialect.name == "sqlite":
        op.execute(
            sa.text(
                f"CREATE TRIGGER contracts_sent BEFORE UPDATE ON contracts WHEN {changed} "
                f"BEGIN SELECT RAISE(ABORT, '{TOLD}'); END"
            )
        )
        return
    op.execute(
        sa.text(
            "CREATE FUNCTION contracts_sent() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {changed} THEN RAISE EXCEPTION 'what was sent never changes' "
            "USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$"
        )
    )
    op.execute(
        sa.text(
            "CREATE TRIGGER contracts_sent BEFORE UPDATE ON contracts "
            "FOR EACH ROW EXECUTE FUNCTION contracts_sent()"
        )
    )


def _create_partial(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _of_contract(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "contract_id",
        sa.String(36),
        sa.ForeignKey("contracts.contract_id"),
        primary_key=primary_key,
        nullable=False,
    )
