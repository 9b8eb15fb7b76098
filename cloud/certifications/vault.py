"""What is personal of applications, results, badges and measures: sealed under the key of the account."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.store import schema
from cloud.store.certifications import ApplicationRow
from cloud.store.sealed import SealedTable

APPLICATIONS = schema.certification_applications.name
RESULTS = schema.certification_results.name
BADGES = schema.certification_badges.name
MEASURES = schema.certification_measures.name

SEALED = (
    SealedTable(
        schema.certification_applications,
        key="application_id",
        person="account_id",
        sealed=("form", "supplement"),
    ),
    SealedTable(schema.certification_results, key="result_id", person="account_id", sealed=("reasons",)),
    SealedTable(schema.certification_badges, key="badge_id", person="account_id", sealed=("signed",)),
    SealedTable(schema.certification_measures, key="measure_id", person="account_id", sealed=("reason",)),
)
"""For erasing a person."""


class Vault:
    """Seals and opens, in the caller's transaction. Who was erased has empty values."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def seal(self, connection: Connection, account_id: str, place: Place, content: bytes) -> bytes:
        """One column.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._persons.seal_bytes(self._persons.key_of(connection, account_id), place, content)

    def open(self, connection: Connection, account_id: str, place: Place, sealed: bytes | None) -> bytes:
        """What :meth:`seal` sealed; empty for nothing.

        Raises:
            SealBrokenError: it was changed from outside.
        """
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        return self._persons.open_bytes(key, place, sealed) or b""

    def keeps(self, connection: Connection, account_id: str) -> bool:
        """Whether anything is kept of somebody who was here: False once they were erased."""
        return bool(self._persons.keys_of(connection, [account_id]))

    def seal_form(
        self, connection: Connection, account_id: str, application_id: str, form: Mapping[str, str]
    ) -> bytes:
        """The form of an application."""
        content = json.dumps(dict(form), ensure_ascii=False).encode()
        return self.seal(connection, account_id, Place(APPLICATIONS, "form", application_id), content)

    def open_form(self, connection: Connection, row: ApplicationRow) -> dict[str, str]:
        """What :meth:`seal_form` sealed."""
        place = Place(APPLICATIONS, "form", row.application_id)
        content = self.open(connection, row.account_id, place, row.form)
        return dict(json.loads(content)) if content else {}


def encode_reasons(reasons: Sequence[tuple[str, str]]) -> bytes:
    """Codes and texts, to be sealed."""
    return json.dumps([list(one) for one in reasons], ensure_ascii=False).encode()


def parse_reasons(content: bytes) -> list[tuple[str, str]]:
    """What :func:`encode_reasons` made; none for nothing."""
    return [(code, text) for code, text in json.loads(content)] if content else []
