"""From a row's dataclass to the values of its columns."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_values(row: DataclassInstance) -> dict[str, Any]:
    """Column names and values. Unlike ``asdict`` it copies nothing, which costs more than an insert."""
    return {field.name: getattr(row, field.name) for field in fields(row)}
