"""Tables to which rows are added and nothing else is ever done: the database itself refuses.

The triggers hold for every session of the database, this service's own and any other. What they cannot
hold off is who may drop them: against that, the rows of such a table are chained by digests, and the audit
chain has an event for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

TOLD = "rows of this table are never changed and never deleted"


def guard(connection: Connection, table: str, *, keys: Sequence[str]) -> None:
    """Have the database refuse to change or delete rows of ``table``; ``keys``: its unique columns."""
    statements = _sqlite(table, keys) if connection.dialect.name == "sqlite" else _postgres(table)
    for statement in statements:
        connection.execute(text(statement))


def _sqlite(table: str, keys: Sequence[str]) -> list[str]:
    same = " OR ".join(f"{key} = NEW.{key}" for key in keys)
    refuse = f"BEGIN SELECT RAISE(ABORT, '{TOLD}'); END"
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        # INSERT OR REPLACE takes the row away that is in its way, and tells no trigger.
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608 (its callers' names)
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {refuse}",
    ]


def _postgres(table: str) -> list[str]:
    return [
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{TOLD}' USING ERRCODE = 'restrict_violation'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()",
    ]
