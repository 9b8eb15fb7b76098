"""Between rows' dataclasses and statements, and what the engines do in ways of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


def to_values(row: DataclassInstance) -> dict[str, Any]:
    """Column names and values. Unlike ``asdict`` it copies nothing, which costs more than an insert."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of the same columns in one statement."""
    if rows:
        names = tuple(rows[0])
        insert_rows(connection, table, names, [tuple(row[name] for name in names) for row in rows])


def insert_rows(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, each with values for the columns ``names``, in one statement that is made once.

    The values are those of the driver: what a column's type would convert is the caller's.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        # A driver that sends a row at a time takes several times as long.
        columns = tuple(map(list, zip(*rows, strict=True)))
        connection.exec_driver_sql(_unnest(table, names), columns)
    else:
        connection.exec_driver_sql(_values(table, names), list(rows))


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where its key is there already, also from a transaction that ran beside."""
    # The form is that of both engines; what they have in common has no class of its own.
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
    # Not by the count of rows: the driver of PostgreSQL does not tell it here.
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


@cache
def _values(table: Table, names: tuple[str, ...]) -> str:
    places = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608


@cache
def _unnest(table: Table, names: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_kind(table.c[name].type)}[]" for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608


def _kind(kind: TypeEngine[Any]) -> str:
    # A cast to a limited text would cut without a word; the insert itself refuses.
    return "text" if isinstance(kind, String) else kind.compile(dialect=_POSTGRES)
