"""The catalogue: banks with the periods that they offer, and the notice that customers confirm."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection

from cloud.bank.notices import NOTICE
from cloud.bank.periods import is_period
from cloud.bank.views import etag_of
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.sources import Sources, to_us
from cloud.store import banks as rows
from cloud.store.banks import BankRow, NoticeRow
from verifield.v1 import bank_pb2

FIRST_NOTICE = NoticeRow(0, NOTICE["zh"], NOTICE["en"], NOTICE["es"], 0)
"""The one that the service brings."""


class Catalogue:
    """All methods work in the caller's transaction."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def put(self, connection: Connection, bank: bank_pb2.Bank) -> BankRow:
        """Add a bank, or change the one with this id.

        Raises:
            ServiceError: PERIOD_INVALID, BANK_CODE_TAKEN, BANK_NOT_FOUND, ETAG_MISMATCH.
        """
        if not all(map(is_period, bank.periods)):
            raise ServiceError(Reason.PERIOD_INVALID, "A period is longer than ten years.")
        now_us = to_us(self._sources.now())
        wanted = BankRow(
            bank_id=bank.bank_id or self._sources.uuid7(),
            code=bank.code,
            name_zh=bank.name_zh,
            name_en=bank.name_en,
            name_es=bank.name_es,
            periods=" ".join(bank.periods),
            enabled=int(bank.enabled),
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
        if not bank.bank_id:
            if not rows.add_bank(connection, wanted):
                raise ServiceError(Reason.BANK_CODE_TAKEN, "Another bank has this code.")
            return wanted
        known = rows.get_bank(connection, bank.bank_id, lock=True)
        if known is None or known.code != bank.code:
            raise ServiceError(Reason.BANK_NOT_FOUND, "There is no bank with this id and code.")
        if bank.etag and bank.etag != etag_of(known):
            raise ServiceError(Reason.ETAG_MISMATCH, "This bank was changed meanwhile.")
        changed = replace(wanted, created_us=known.created_us, version=known.version + 1)
        rows.change_bank(connection, changed)
        return changed

    def page(
        self, connection: Connection, *, size: int, token: str, enabled_only: bool
    ) -> tuple[list[BankRow], str]:
        """One page of banks, and the token of the next.

        Raises:
            ServiceError: PAGE_TOKEN_INVALID.
        """
        filters = f"banks {enabled_only}"
        behind, limit = parse_page_token(token, filters=filters), page_size(size)
        found = rows.list_banks(connection, behind=behind, limit=limit + 1, enabled_only=enabled_only)
        more = encode_page_token(found[limit - 1].code, filters=filters) if len(found) > limit else ""
        return found[:limit], more

    def offered(self, connection: Connection, bank_id: str, period: str) -> BankRow:
        """A bank that may be chosen, with this period.

        Raises:
            ServiceError: BANK_NOT_OFFERED, PERIOD_NOT_OFFERED.
        """
        bank = rows.get_bank(connection, bank_id)
        if bank is None or not bank.enabled:
            raise ServiceError(Reason.BANK_NOT_OFFERED, "This bank cannot be chosen.")
        if period not in bank.periods.split():
            raise ServiceError(
                Reason.PERIOD_NOT_OFFERED, "The bank does not offer this period.", {"offered": bank.periods}
            )
        return bank

    def notice(self, connection: Connection, version: int | None = None) -> NoticeRow:
        """A version of the notice; None for the one that counts now.

        Raises:
            ServiceError: NOTICE_NOT_FOUND.
        """
        if version is None:
            return rows.newest_notice(connection) or FIRST_NOTICE
        found = FIRST_NOTICE if version == 0 else rows.get_notice(connection, version)
        if found is None:
            raise ServiceError(Reason.NOTICE_NOT_FOUND, "There is no notice of this version.")
        return found

    def publish(self, connection: Connection, *, zh: str, en: str, es: str) -> int:
        """Put a text in the place of the one that counts now; return its version."""
        version = self.notice(connection).version + 1
        rows.add_notice(connection, NoticeRow(version, zh, en, es, to_us(self._sources.now())))
        return version


def describe_notice(row: NoticeRow, language: str) -> bank_pb2.Notice:
    """A notice in one language."""
    text = row.text(language)
    return bank_pb2.Notice(
        version=row.version, language=language, text=text, sha256=sha256(text.encode()).digest()
    )
