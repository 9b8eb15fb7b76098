"""What is personal in bank verification, and whose key seals it.

A customer's own key seals all that belongs to the customer. A card whose holder is no customer yet is sealed
with a key of the session's own, which is destroyed when the session's time is over, or when the holder
becomes a customer and the card is sealed anew.
"""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.store.schema import (
    coop_records,
    coop_requests,
    coop_sessions,
    coop_signatures,
    customer_organisations,
    customer_versions,
    customers,
)
from cloud.store.sealed import BlindColumn, SealedTable

SEALED = (
    SealedTable(
        customers,
        key="customer_id",
        person="customer_id",
        sealed=("id_number",),
        blinds=(BlindColumn("id_number_blind", lambda text: text["id_number"]),),
    ),
    SealedTable(customer_versions, key="version_id", person="customer_id", sealed=("content",)),
    SealedTable(customer_organisations, key="organisation_id", person="customer_id", sealed=("name",)),
    SealedTable(
        coop_sessions,
        key="session_id",
        person="person_id",
        sealed=("card", "authority_photo", "organisation_name"),
    ),
    SealedTable(coop_signatures, key="session_id", person="customer_id", sealed=("strokes", "image")),
    SealedTable(
        coop_records, key="record_id", person="customer_id", sealed=("organisation_name", "explanation")
    ),
    SealedTable(coop_requests, key="record_id", person="customer_id", sealed=("pdf",)),
)
"""For erasing a customer, and for renewing the blind index."""


class Vault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def seal(
        self, connection: Connection, person_id: str, content: bytes, *, at: tuple[str, str, str]
    ) -> bytes:
        """``content`` for one place: table, column, key of the row.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._persons.seal_bytes(self._persons.key_of(connection, person_id), Place(*at), content)

    def seal_while_kept(
        self, connection: Connection, person_id: str, content: bytes, *, at: tuple[str, str, str]
    ) -> bytes | None:
        """As :meth:`seal`; None where the person was erased, of whom nothing may be kept any more."""
        key = self._persons.keys_of(connection, [person_id]).get(person_id)
        return self._persons.seal_bytes(key, Place(*at), content) if key is not None else None

    def open(
        self, connection: Connection, person_id: str, sealed: bytes | None, *, at: tuple[str, str, str]
    ) -> bytes | None:
        """What :meth:`seal` sealed; None for nothing, and where the person was erased.

        Raises:
            SealBrokenError: the value was changed, or moved here.
        """
        key = self._persons.keys_of(connection, [person_id]).get(person_id)
        return self._persons.open_bytes(key, Place(*at), sealed)

    def seal_number(self, connection: Connection, customer_id: str, id_number: str) -> bytes | None:
        """A card's number for the customers table: as text, because its index is renewed from it."""
        key = self._persons.key_of(connection, customer_id)
        return self._persons.seal_text(key, Place("customers", "id_number", customer_id), id_number)

    def blind(self, id_number: str) -> bytes:
        """The blind index of a card's number."""
        return self._persons.blind("customers", "id_number_blind", id_number)

    def candidates(self, id_number: str) -> list[bytes]:
        """What may be stored of a card's number."""
        return self._persons.candidates("customers", "id_number_blind", id_number)

    def digest(self, content_sha256: bytes) -> bytes:
        """A keyed digest of what is asked for, which tells nothing to who has the database alone."""
        return self._persons.blind("coop_sessions", "check_input", content_sha256.hex())
