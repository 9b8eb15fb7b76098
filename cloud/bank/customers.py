"""Customers: made at a session from its card, changed version by version; and whom they act for."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from cloud.bank.sessions import Sessions
from cloud.bank.states import Event
from cloud.bank.vault import Vault
from cloud.errors import Reason, ServiceError
from cloud.privacy.normal import normal_name
from cloud.sources import Sources, to_us
from cloud.store import customers as rows
from cloud.store import persons
from cloud.store.bank import SessionRow
from cloud.store.customers import CustomerRow, OrganisationRow, VersionRow
from verifield.v1 import customer_service_pb2 as pb

MAX_ORGANISATIONS = 50
"""Of one customer: an agent who serves many companies has some tens."""

MAX_CHANGES = 20
"""Versions that one session writes: who mistypes needs three."""

_SPACES = re.compile(r"\s+")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


class Customers:
    """All methods work in the caller's transaction."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @property
    def _vault(self) -> Vault:
        return self._sessions.vault

    @property
    def _sources(self) -> Sources:
        return self._sessions.sources

    def of_number(self, connection: Connection, id_number: str, *, lock: bool = False) -> CustomerRow | None:
        """The customer whose card has this number."""
        return rows.find_customer(connection, self._vault.candidates(id_number), lock=lock)

    def upsert(
        self, connection: Connection, session: SessionRow, info: pb.CustomerInfo, *, version: int
    ) -> pb.Customer:
        """Write the next version of the customer of a session's card; ``version`` is the one that is changed.

        Raises:
            ServiceError: ETAG_MISMATCH, CUSTOMER_CHANGES_TOO_MANY, PERSON_ERASED.
        """
        if self._sessions.count(session, Event.CHANGE_CUSTOMER) > MAX_CHANGES:  # this one is among them
            raise ServiceError(
                Reason.CUSTOMER_CHANGES_TOO_MANY,
                f"A session changes the information {MAX_CHANGES} times at most.",
                {"limit": str(MAX_CHANGES)},
            )
        card = self._sessions.card_of(connection, session)
        found = self.of_number(connection, card.number, lock=True)
        if version != (found.version if found else 0):
            raise ServiceError(Reason.ETAG_MISMATCH, "The customer's information was changed meanwhile.")
        now_us = to_us(self._sources.now())
        if found is None:
            found = self._add(connection, card.number, now_us=now_us)
        content = pb.Customer(name=card.name, id_number=card.number, info=info)
        version_id = self._sources.uuid7()
        rows.add_version(
            connection,
            VersionRow(
                version_id,
                found.customer_id,
                version + 1,
                self._vault.seal(
                    connection,
                    found.customer_id,
                    content.SerializeToString(deterministic=True),
                    at=("customer_versions", "content", version_id),
                ),
                session.session_id,
                now_us,
            ),
        )
        rows.set_version(connection, found.customer_id, version + 1, now_us=now_us)
        self._adopt(connection, session, found.customer_id)
        return self.read(connection, found.customer_id)

    def confirm(self, connection: Connection, session: SessionRow, *, version: int) -> SessionRow:
        """Bind a session to the newest version of its card's customer, which the customer has seen.

        Raises:
            ServiceError: ETAG_MISMATCH; CUSTOMER_REQUIRED: there is none, or one with an older card's name.
        """
        card = self._sessions.card_of(connection, session)
        found = self.of_number(connection, card.number, lock=True)
        if found is None:
            raise ServiceError(Reason.CUSTOMER_REQUIRED, "The card has no customer yet.")
        if version != found.version:
            raise ServiceError(Reason.ETAG_MISMATCH, "The customer's information was changed meanwhile.")
        if self.read(connection, found.customer_id, version).name != card.name:
            raise ServiceError(
                Reason.CUSTOMER_REQUIRED, "The information has another name than the card that was verified."
            )
        return replace(self._adopt(connection, session, found.customer_id), customer_version=version)

    def read(self, connection: Connection, customer_id: str, version: int = 0) -> pb.Customer:
        """One version, 0 for the newest, with the organisations of now.

        Raises:
            ServiceError: CUSTOMER_NOT_FOUND, also for one who was erased.
        """
        row = rows.get_customer(connection, customer_id)
        found = rows.get_version(connection, customer_id, version or row.version) if row else None
        content = None
        if found is not None:
            place = ("customer_versions", "content", found.version_id)
            content = self._vault.open(connection, customer_id, found.content, at=place)
        if found is None or content is None:
            raise ServiceError(Reason.CUSTOMER_NOT_FOUND, "There is no such customer, or no such version.")
        customer = pb.Customer.FromString(content)
        customer.customer_id, customer.version = customer_id, found.version
        customer.create_time.FromMicroseconds(found.created_us)
        customer.organisations.extend(self.organisations(connection, customer_id))
        return customer

    def organisations(self, connection: Connection, customer_id: str) -> list[pb.CustomerOrganisation]:
        """Whom a customer is linked to."""
        found = []
        for row in rows.organisations_of(connection, customer_id):
            name = self._vault.open(connection, customer_id, row.name, at=_place(row.organisation_id))
            if name is not None:
                found.append(pb.CustomerOrganisation(organisation_id=row.organisation_id, name=name.decode()))
        return found

    def link(self, connection: Connection, customer_id: str, name: str) -> pb.CustomerOrganisation:
        """Link a customer to an organisation; one of the same name is the same.

        Raises:
            ServiceError: CUSTOMER_NOT_FOUND, ORGANISATION_NAME_INVALID, ORGANISATIONS_TOO_MANY.
        """
        name = parse_organisation(name)
        self._lock(connection, customer_id)
        known = self.organisations(connection, customer_id)
        for one in known:
            if normal_name(one.name) == normal_name(name):
                return one
        if len(known) >= MAX_ORGANISATIONS:
            raise ServiceError(Reason.ORGANISATIONS_TOO_MANY, "This customer has too many organisations.")
        organisation_id = self._sources.uuid7()
        sealed = self._vault.seal(connection, customer_id, name.encode(), at=_place(organisation_id))
        rows.add_organisation(
            connection, OrganisationRow(organisation_id, customer_id, sealed, to_us(self._sources.now()))
        )
        return pb.CustomerOrganisation(organisation_id=organisation_id, name=name)

    def unlink(self, connection: Connection, customer_id: str, organisation_id: str) -> None:
        """End a link.

        Raises:
            ServiceError: CUSTOMER_NOT_FOUND, ORGANISATION_NOT_LINKED.
        """
        self._lock(connection, customer_id)
        now_us = to_us(self._sources.now())
        if not rows.end_organisation(connection, customer_id, organisation_id, now_us=now_us):
            raise _not_linked()

    def find_organisation(
        self, connection: Connection, customer_id: str, *, organisation_id: str = "", name: str = ""
    ) -> pb.CustomerOrganisation:
        """The one that is meant by its id, or by its name; only named, without an id, where it is not linked.

        Raises:
            ServiceError: ORGANISATION_NOT_LINKED for an id, ORGANISATION_NAME_INVALID for a name.
        """
        known = self.organisations(connection, customer_id)
        if organisation_id:
            for one in known:
                if one.organisation_id == organisation_id:
                    return one
            raise _not_linked()
        name = parse_organisation(name)
        for one in known:
            if normal_name(one.name) == normal_name(name):
                return one
        return pb.CustomerOrganisation(name=name)

    def _add(self, connection: Connection, id_number: str, *, now_us: int) -> CustomerRow:
        customer_id = self._sources.uuid7()
        row = CustomerRow(
            customer_id,
            self._vault.seal_number(connection, customer_id, id_number),
            self._vault.blind(id_number),
            0,
            now_us,
            now_us,
        )
        rows.add_customer(connection, row)
        return row

    def _adopt(self, connection: Connection, session: SessionRow, customer_id: str) -> SessionRow:
        """From now on the customer's key seals what was read from the card; the session's own goes."""
        if session.person_id == customer_id:
            return session
        sealed: dict[str, Any] = {}
        for column in ("card", "authority_photo"):
            place = self._sessions.place(session, column)
            content = self._vault.open(connection, session.person_id, getattr(session, column), at=place)
            if content is not None:
                sealed[column] = self._vault.seal(connection, customer_id, content, at=place)
        persons.destroy_key(connection, session.session_id, now_us=to_us(self._sources.now()))
        return self._sessions.write(
            connection, replace(session, person_id=customer_id, customer_id=customer_id, **sealed)
        )

    def _lock(self, connection: Connection, customer_id: str) -> None:
        row = rows.get_customer(connection, customer_id, lock=True)
        if row is None or row.id_number is None:
            raise ServiceError(Reason.CUSTOMER_NOT_FOUND, "There is no such customer.")


def parse_organisation(name: str) -> str:
    """A name as it is kept: one space between words.

    Raises:
        ServiceError: ORGANISATION_NAME_INVALID: fewer than two letters, or something that cannot be seen.
    """
    plain = _SPACES.sub(" ", unicodedata.normalize("NFC", name)).strip()
    letters = sum(character.isalnum() for character in plain)
    if letters < 2 or any(unicodedata.category(character) in _HIDDEN for character in plain):
        raise ServiceError(Reason.ORGANISATION_NAME_INVALID, "This is not the name of an organisation.")
    return plain


def _not_linked() -> ServiceError:
    return ServiceError(Reason.ORGANISATION_NOT_LINKED, "The customer is not linked to this organisation.")


def _place(organisation_id: str) -> tuple[str, str, str]:
    return ("customer_organisations", "name", organisation_id)
