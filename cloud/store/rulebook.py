"""Rows of the editions of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from cloud.store.schema import rule_editions
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class EditionRow:
    """``kind``: RuleKind; ``content``: a message Rules."""

    kind: int
    version: int
    effective_us: int
    published_us: int
    author: str
    note: str
    content: bytes
    withdrawn_us: int | None = None


# Built once: it is asked wherever a rule is obeyed.
_EFFECTIVE = (
    select(*rule_editions.c)
    .where(
        rule_editions.c.kind == bindparam("kind"),
        rule_editions.c.effective_us <= bindparam("moment_us"),
        rule_editions.c.withdrawn_us.is_(None),
    )
    .order_by(rule_editions.c.effective_us.desc())
    .limit(1)
)


def add_edition(connection: Connection, row: EditionRow) -> None:
    """Insert an edition; the primary key refuses a version twice."""
    connection.execute(insert(rule_editions).values(**to_values(row)))


def effective_at(connection: Connection, kind: int, moment_us: int) -> EditionRow | None:
    """The edition in effect at a moment; None where none was published by then."""
    return _one(connection, _EFFECTIVE, {"kind": kind, "moment_us": moment_us})


def following(connection: Connection, kind: int, effective_us: int) -> EditionRow | None:
    """The first edition that takes effect after a moment."""
    at = rule_editions.c
    query = select(*at).where(at.kind == kind, at.effective_us > effective_us, at.withdrawn_us.is_(None))
    return _one(connection, query.order_by(at.effective_us).limit(1))


def last_to_come(connection: Connection, kind: int) -> EditionRow | None:
    """The edition that takes effect last of all that count."""
    at = rule_editions.c
    query = select(*at).where(at.kind == kind, at.withdrawn_us.is_(None))
    return _one(connection, query.order_by(at.effective_us.desc()).limit(1))


def newest_version(connection: Connection, kind: int) -> int:
    """The highest version of a kind, withdrawn ones too; 0 where there is none."""
    query = select(func.max(rule_editions.c.version)).where(rule_editions.c.kind == kind)
    return connection.execute(query).scalar_one() or 0


def get_edition(connection: Connection, kind: int, version: int) -> EditionRow | None:
    """Read one edition."""
    at = rule_editions.c
    return _one(connection, select(*at).where(at.kind == kind, at.version == version))


def list_editions(connection: Connection, kind: int, *, before: int | None, limit: int) -> list[EditionRow]:
    """Editions with versions below ``before``, newest first."""
    at = rule_editions.c
    query = select(*at).where(at.kind == kind).order_by(at.version.desc()).limit(limit)
    if before is not None:
        query = query.where(at.version < before)
    return [EditionRow(**row._mapping) for row in connection.execute(query)]


def count_to_come(connection: Connection, kind: int, *, now_us: int) -> int:
    """How many editions take effect after a moment."""
    at = rule_editions.c
    query = select(func.count()).where(at.kind == kind, at.effective_us > now_us, at.withdrawn_us.is_(None))
    return connection.execute(query).scalar_one()


def withdraw(connection: Connection, kind: int, version: int, *, now_us: int, after_us: int) -> bool:
    """Take an edition back that takes effect after ``after_us``; False where it was taken back before."""
    at = rule_editions.c
    query = update(rule_editions).where(
        at.kind == kind, at.version == version, at.withdrawn_us.is_(None), at.effective_us >= after_us
    )
    return connection.execute(query.values(withdrawn_us=now_us)).rowcount == 1


def _one(
    connection: Connection, query: Select[Any], values: Mapping[str, int] | None = None
) -> EditionRow | None:
    row = connection.execute(query, values).one_or_none()
    return EditionRow(**row._mapping) if row else None
