"""Rows of the catalogue of banks, and of the notices that customers confirm."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import bank_notices, banks
from cloud.store.values import insert_new, to_values


@dataclass(frozen=True, slots=True)
class BankRow:
    """``periods``: with spaces between. ``enabled``: 0 or 1."""

    bank_id: str
    code: str
    name_zh: str
    name_en: str
    name_es: str
    periods: str
    enabled: int
    created_us: int
    updated_us: int
    version: int

    def name(self, language: str) -> str:
        """In ``zh`` or ``es``; for anything else in English."""
        return {"zh": self.name_zh, "es": self.name_es}.get(language, self.name_en)


@dataclass(frozen=True, slots=True)
class NoticeRow:
    version: int
    text_zh: str
    text_en: str
    text_es: str
    published_us: int

    def text(self, language: str) -> str:
        """In ``zh`` or ``es``; for anything else in English."""
        return {"zh": self.text_zh, "es": self.text_es}.get(language, self.text_en)


def get_bank(connection: Connection, bank_id: str, *, lock: bool = False) -> BankRow | None:
    """Read one bank; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*banks.c).where(banks.c.bank_id == bank_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return BankRow(**row._mapping) if row else None


def add_bank(connection: Connection, row: BankRow) -> bool:
    """Insert a bank; False where the code is taken."""
    return insert_new(connection, banks, to_values(row))


def change_bank(connection: Connection, row: BankRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    del values["bank_id"], values["code"], values["created_us"]
    connection.execute(update(banks).where(banks.c.bank_id == row.bank_id).values(**values))


def list_banks(
    connection: Connection, *, behind: str, limit: int, enabled_only: bool = False
) -> list[BankRow]:
    """Banks in order of code, those behind the code ``behind``."""
    query = select(*banks.c).where(banks.c.code > behind).order_by(banks.c.code).limit(limit)
    if enabled_only:
        query = query.where(banks.c.enabled == 1)
    return [BankRow(**row._mapping) for row in connection.execute(query)]


def newest_notice(connection: Connection) -> NoticeRow | None:
    """The notice that counts now; None for the one of the code."""
    query = select(*bank_notices.c).order_by(bank_notices.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return NoticeRow(**row._mapping) if row else None


def get_notice(connection: Connection, version: int) -> NoticeRow | None:
    """One version."""
    row = connection.execute(select(*bank_notices.c).where(bank_notices.c.version == version)).one_or_none()
    return NoticeRow(**row._mapping) if row else None


def add_notice(connection: Connection, row: NoticeRow) -> None:
    """Insert a version; two at once make one of the transactions run again."""
    connection.execute(insert(bank_notices).values(**to_values(row)))
