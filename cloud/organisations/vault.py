"""What an organisation keeps to itself: sealed under a key of its own, whose person is the organisation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.reviews.port import ReasonText
from cloud.store.organisations import OrganisationRow
from cloud.store.schema import organisations
from cloud.store.sealed import SealedTable

SEALED = SealedTable(
    organisations, key="organisation_id", person="organisation_id", sealed=("profile", "reasons")
)
"""For erasing an organisation."""


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """Who an organisation says that it is; all but the name are empty before that was handed in."""

    name: str
    uscc: str = ""
    licence_number: str = ""
    organisation_code: str = ""
    representative_name: str = ""
    representative_id_number: str = ""


class OrganisationVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def seal_profile(self, connection: Connection, organisation_id: str, profile: Profile) -> bytes | None:
        """As it is stored.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        text = json.dumps(asdict(profile), ensure_ascii=False)
        return self.seal(connection, organisation_id, _place("profile", organisation_id), text)

    def profile(self, connection: Connection, row: OrganisationRow) -> Profile:
        """What :meth:`seal_profile` sealed; empty where the organisation was erased."""
        place = _place("profile", row.organisation_id)
        text = self.open(connection, row.organisation_id, place, row.profile)
        return Profile(**json.loads(text)) if text else Profile("")

    def seal_reasons(
        self, connection: Connection, organisation_id: str, place: Place, reasons: Sequence[ReasonText]
    ) -> bytes | None:
        """None for none, and for what was erased: decisions stand all the same."""
        text = json.dumps([[reason.code, reason.text] for reason in reasons], ensure_ascii=False)
        try:
            return self.seal(connection, organisation_id, place, text if reasons else "")
        except ServiceError as error:
            if error.reason is Reason.PERSON_ERASED:
                return None
            raise

    def reasons(
        self, connection: Connection, organisation_id: str, place: Place, sealed: bytes | None
    ) -> list[ReasonText]:
        """What :meth:`seal_reasons` sealed."""
        text = self.open(connection, organisation_id, place, sealed)
        return [ReasonText(code, words) for code, words in json.loads(text)] if text else []

    def seal(self, connection: Connection, organisation_id: str, place: Place, text: str) -> bytes | None:
        """A text under the organisation's key; None for nothing.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        if not text:
            return None
        return self._persons.seal_text(self._persons.key_of(connection, organisation_id), place, text)

    def open(self, connection: Connection, organisation_id: str, place: Place, sealed: bytes | None) -> str:
        """What :meth:`seal` sealed; empty for nothing, and where the organisation was erased."""
        key = self._persons.keys_of(connection, [organisation_id]).get(organisation_id)
        return self._persons.open_text(key, place, sealed)


def reasons_place(organisation_id: str) -> Place:
    """Where the reasons of an organisation stand."""
    return _place("reasons", organisation_id)


def _place(column: str, organisation_id: str) -> Place:
    return Place("organisations", column, organisation_id)
