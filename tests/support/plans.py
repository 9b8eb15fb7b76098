"""How a database would run what is asked of it, without asking for the rows."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, event


def plans(connection: Connection, ask: Callable[[], object]) -> list[str]:
    """How the engine would run the statements of ``ask``; PostgreSQL without its liking for small tables."""
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        statements.append((statement, values))

    event.listen(connection, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(connection, "before_cursor_execute", note)
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    explain = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
    found = []
    for statement, values in statements:
        rows = connection.exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
        found.append("\n".join(str(row[-1]) for row in rows))
    return found
