"""What is personal of a request: its words and the reasons of its end, sealed under the applicant's key."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.reviews.port import ReasonText
from cloud.store.business import BusinessRow
from cloud.store.schema import business_requests
from cloud.store.sealed import SealedTable

SEALED = SealedTable(business_requests, key="business_id", person="account_id", sealed=("text", "reasons"))
"""For erasing a person."""


class BusinessVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def seal_text(self, connection: Connection, account_id: str, business_id: str, text: str) -> bytes | None:
        """The words as they are stored; None for nothing.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._seal(connection, account_id, _place("text", business_id), text)

    def seal_reasons(
        self, connection: Connection, account_id: str, business_id: str, reasons: Sequence[ReasonText]
    ) -> bytes | None:
        """Reasons as they are stored; None for none, and for who was erased: decisions stand all the same."""
        text = json.dumps([[reason.code, reason.text] for reason in reasons], ensure_ascii=False)
        try:
            return self._seal(connection, account_id, _place("reasons", business_id), text if reasons else "")
        except ServiceError as error:
            if error.reason is Reason.PERSON_ERASED:
                return None
            raise

    def text(self, connection: Connection, row: BusinessRow) -> str:
        """The words; empty where the applicant was erased."""
        return self._open(connection, row.account_id, _place("text", row.business_id), row.text)

    def reasons(self, connection: Connection, row: BusinessRow) -> list[ReasonText]:
        """What :meth:`seal_reasons` sealed; none where the applicant was erased."""
        text = self._open(connection, row.account_id, _place("reasons", row.business_id), row.reasons)
        return [ReasonText(code, words) for code, words in json.loads(text)] if text else []

    def _seal(self, connection: Connection, account_id: str, place: Place, text: str) -> bytes | None:
        if not text:
            return None
        return self._persons.seal_text(self._persons.key_of(connection, account_id), place, text)

    def _open(self, connection: Connection, account_id: str, place: Place, sealed: bytes | None) -> str:
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        return self._persons.open_text(key, place, sealed)


def _place(column: str, business_id: str) -> Place:
    return Place("business_requests", column, business_id)
