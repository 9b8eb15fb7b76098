"""Rows of the policies that were published."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cloud.store.schema import policies
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """``envelope`` as signed; ``payload_sha256`` is what statements name."""

    version: int
    envelope: bytes
    payload_sha256: bytes
    issued_us: int


def add_policy(connection: Connection, row: PolicyRow) -> None:
    """Insert a policy; the primary key refuses a version twice."""
    connection.execute(insert(policies).values(**to_values(row)))


def newest_policy(connection: Connection) -> PolicyRow | None:
    """The policy with the highest version."""
    found = list_policies(connection, before=None, limit=1)
    return found[0] if found else None


def list_policies(connection: Connection, *, before: int | None, limit: int) -> list[PolicyRow]:
    """Policies with versions below ``before``, newest first."""
    query = select(*policies.c).order_by(policies.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(policies.c.version < before)
    return [PolicyRow(**row._mapping) for row in connection.execute(query)]


def get_policy(connection: Connection, version: int) -> PolicyRow | None:
    """Read one policy."""
    row = connection.execute(select(*policies.c).where(policies.c.version == version)).one_or_none()
    return PolicyRow(**row._mapping) if row else None
