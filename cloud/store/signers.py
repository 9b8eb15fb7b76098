"""Rows of the certificates that signers were given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, tuple_, update

from cloud.store.schema.signers import signer_certificates as table
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class SignerRow:
    """``serial``: lower-case hex. ``kind``, ``reason``: SignerKind and SignerRevocationReason."""

    serial: str
    kind: int
    account_id: str
    certificate_sha256: bytes
    issued_us: int
    not_after_us: int
    revoked_us: int | None = None
    reason: int | None = None


def add_signer(connection: Connection, row: SignerRow) -> None:
    """Keep that a certificate was issued."""
    connection.execute(insert(table).values(**to_values(row)))


def get_signer(connection: Connection, serial: str, *, lock: bool = False) -> SignerRow | None:
    """One certificate."""
    query = select(*table.c).where(table.c.serial == serial)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return SignerRow(**row._mapping) if row is not None else None


def revoke_signer(connection: Connection, serial: str, *, revoked_us: int, reason: int) -> None:
    """Keep that a certificate was revoked; its first revocation is the one that counts."""
    connection.execute(
        update(table)
        .where(table.c.serial == serial, table.c.revoked_us.is_(None))
        .values(revoked_us=revoked_us, reason=reason)
    )


def revoked_among(connection: Connection, serials: Collection[str]) -> dict[str, SignerRow]:
    """Those of some certificates that were revoked, by their numbers."""
    query = select(*table.c).where(table.c.serial.in_(serials), table.c.revoked_us.is_not(None))
    rows = (SignerRow(**row._mapping) for row in connection.execute(query))
    return {row.serial: row for row in rows}


def newest_revocation(connection: Connection) -> int:
    """The time of the newest revocation; 0 where nothing was ever revoked."""
    newest = select(func.max(table.c.revoked_us)).where(table.c.revoked_us.is_not(None))
    return connection.execute(newest).scalar_one() or 0


def list_revoked(connection: Connection) -> list[SignerRow]:
    """All that were ever revoked: a document is read for longer than its certificates count."""
    query = select(*table.c).where(table.c.revoked_us.is_not(None))
    rows = connection.execute(query.order_by(table.c.revoked_us, table.c.serial))
    return [SignerRow(**row._mapping) for row in rows]


def list_signers(
    connection: Connection, *, limit: int, behind: tuple[int, str] | None = None, account_id: str = ""
) -> list[SignerRow]:
    """Newest first; ``behind``: time and serial of the last one of the page before."""
    query = select(*table.c)
    if account_id:
        query = query.where(table.c.account_id == account_id)
    if behind is not None:
        query = query.where(tuple_(table.c.issued_us, table.c.serial) < behind)
    query = query.order_by(table.c.issued_us.desc(), table.c.serial.desc()).limit(limit)
    return [SignerRow(**row._mapping) for row in connection.execute(query)]
