"""Filters as conditions of SQL, by a table of the fields that a list can be filtered by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Column, ColumnElement, FromClause, and_, not_, or_

from cloud.api.filters import Junction, Node, Not, Restriction, parse_filter, refuse

MAX_NUMBER = 2**63 - 1
"""What a column holds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_NUMBER = re.compile(r"[0-9]{1,19}")
_COMPARE: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
_EQUALITY = ("=", "!=")


class Enum(Protocol):
    """An enum of the contract."""

    def keys(self) -> list[str]: ...

    def Value(self, name: Any) -> int: ...  # noqa: N802 (so protobuf calls it)


@dataclass(frozen=True, slots=True)
class Field:
    """A column that can be filtered by.

    ``parse`` turns text into the column's value, or raises ValueError with what is wanted instead.
    ``ordered``: also <, <=, > and >= mean something.
    """

    column: Column[Any]
    parse: Callable[[str], Any]
    ordered: bool = False

    def compare(self, rows: FromClause, operator: str, value: Any) -> ColumnElement[bool]:
        """The condition. Where nothing stands in the column it is false, and NOT of it true."""
        column = rows.c[self.column.name]
        condition = _COMPARE[operator](column, value)
        return and_(column.is_not(None), condition) if self.column.nullable else condition


@dataclass(frozen=True, slots=True)
class Keyed:
    """Fields that callers name themselves, such as ``labels.room``; a missing one is equal to nothing.

    ``equals``: the condition that for such a row the thing called ``key`` has a value.
    """

    equals: Callable[[FromClause, str, str], ColumnElement[bool]]


Fields = Mapping[str, Field | Keyed]


def text(column: Column[Any]) -> Field:
    """Texts, compared as they are; for id columns also by order."""
    return Field(column, str, ordered=True)


def number(column: Column[Any]) -> Field:
    """Numbers from 0."""

    def parse(value: str) -> int:
        if not _NUMBER.fullmatch(value) or int(value) > MAX_NUMBER:
            raise ValueError("a number from 0 is needed here")
        return int(value)

    return Field(column, parse, ordered=True)


def moment(column: Column[Any]) -> Field:
    """Times, kept in microseconds; written as in RFC 3339, in quotation marks."""

    def parse(value: str) -> int:
        try:
            # What is not of the form is not a time for fromisoformat either, once it is emptied.
            known = datetime.fromisoformat(value.upper() if _TIME.fullmatch(value) else "")
            return (known - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise ValueError('a time is needed here, for example "2026-01-31T12:00:00Z"') from None

    return Field(column, parse, ordered=True)


def choice(column: Column[Any], enum: Enum) -> Field:
    """Values of an enum, by name; what all names begin with may be left out."""
    prefix = _common(enum.keys())
    known = {name: enum.Value(name) for name in enum.keys()}  # noqa: SIM118 (no mapping)
    short = {name.removeprefix(prefix): value for name, value in known.items()}

    def parse(value: str) -> int:
        found: int | None = known.get(value, short.get(value))
        if found is None:
            raise ValueError(f"one of {', '.join(sorted(short))} is needed here")
        return found

    return Field(column, parse)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood. ``condition`` is over columns of what it is given."""

    condition: Callable[[FromClause], ColumnElement[bool]]
    tree: Node

    def pinned(self, field: str) -> str | None:
        """The one value that a text field must have for the filter to be true, where there is such a one."""
        together = self.tree.nodes if isinstance(self.tree, Junction) else (self.tree,)
        if isinstance(self.tree, Junction) and self.tree.word != "AND":
            return None
        for node in together:
            if isinstance(node, Restriction) and (node.field, node.operator) == (field, "="):
                return node.value
        return None


def read_filter(filter_text: str, fields: Fields) -> Filter | None:
    """Understand a filter; None for an empty one.

    Raises:
        ServiceError: FILTER_INVALID.
    """
    tree = parse_filter(filter_text)
    return None if tree is None else Filter(_build(tree, fields), tree)


Make: TypeAlias = "Callable[[FromClause], ColumnElement[bool]]"


def _build(node: Node, fields: Fields) -> Make:
    if isinstance(node, Not):
        inner = _build(node.node, fields)
        return lambda rows: not_(inner(rows))
    if isinstance(node, Junction):
        join = and_ if node.word == "AND" else or_
        parts = [_build(one, fields) for one in node.nodes]
        return lambda rows: join(*(part(rows) for part in parts))
    return _restrict(node, fields)


def _restrict(node: Restriction, fields: Fields) -> Make:
    name, _, key = node.field.partition(".")
    field = fields.get(name)
    if field is None or bool(key) != isinstance(field, Keyed):
        refuse(node.at, f"there is no field {node.field}; fields are {', '.join(_names(fields))}")
    if isinstance(field, Keyed):
        if node.operator not in _EQUALITY:
            refuse(node.at, f"{node.field} can only be compared with = and !=")
        equals = field.equals
        if node.operator == "=":
            return lambda rows: equals(rows, key, node.value)
        return lambda rows: not_(equals(rows, key, node.value))
    if node.operator not in _EQUALITY and not field.ordered:
        refuse(node.at, f"{node.field} can only be compared with = and !=")
    try:
        value = field.parse(node.value)
    except ValueError as error:
        refuse(node.value_at, str(error))
    known = field
    return lambda rows: known.compare(rows, node.operator, value)


def _names(fields: Fields) -> list[str]:
    return [f"{name}.KEY" if isinstance(field, Keyed) else name for name, field in fields.items()]


def _common(names: list[str]) -> str:
    """What all names of an enum begin with, up to an underscore: DEVICE_STATE_ of DEVICE_STATE_ACTIVE."""
    first, last = min(names), max(names)
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0)
    return first[: first.rfind("_", 0, same) + 1]
