"""Which persons the users of this service are, so that nobody verifies oneself."""

from __future__ import annotations

import hmac

from sqlalchemy import Connection

from cloud.access.call import Caller, Kind
from cloud.elements import parse_id_number
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.sources import Sources, to_us
from cloud.store import users
from cloud.store import verifications as rows
from cloud.store.schema import staff_identities
from cloud.store.sealed import BlindColumn, SealedTable
from cloud.store.verifications import StaffRow

TABLE = "staff_identities"

SEALED = SealedTable(
    staff_identities,
    key="user_id",
    person="user_id",
    sealed=("id_number",),
    blinds=(BlindColumn("id_mark", lambda text: text["id_number"]),),
)


class Staff:
    """Each method within a transaction."""

    def __init__(self, persons: Persons, sources: Sources) -> None:
        self._persons = persons
        self._sources = sources

    def declare(self, connection: Connection, user_id: str, id_number: str, *, caller: Caller) -> None:
        """Say which person a user is; an empty number: nobody knows any more.

        Raises:
            ServiceError: USER_NOT_FOUND, OWN_IDENTITY, ID_NUMBER_INVALID, PERSON_ERASED.
        """
        if users.get_user(connection, user_id, lock=True) is None:
            raise ServiceError(Reason.USER_NOT_FOUND, "There is no such user.")
        if caller.kind is Kind.USER and caller.name == user_id:
            raise ServiceError(Reason.OWN_IDENTITY, "Somebody else says which person you are.")
        sealed = mark = None
        if id_number:
            number = parse_id_number(id_number)
            key = self._persons.key_of(connection, user_id)
            sealed = self._persons.seal_text(key, Place(TABLE, "id_number", user_id), number)
            mark = self._persons.blind(TABLE, "id_mark", number)
        now_us = to_us(self._sources.now())
        rows.put_staff(connection, StaffRow(user_id, sealed, mark, caller.path, now_us))

    def check_not_self(self, connection: Connection, user_id: str, id_number: str) -> None:
        """Check that it is known which person a user is, and that it is not the one with this number.

        Raises:
            ServiceError: STAFF_IDENTITY_REQUIRED, OWN_IDENTITY.
        """
        staff = rows.get_staff(connection, user_id)
        if staff is None or staff.id_mark is None:
            raise ServiceError(Reason.STAFF_IDENTITY_REQUIRED, "It is not known which person this user is.")
        candidates = self._persons.candidates(TABLE, "id_mark", id_number)
        if any(hmac.compare_digest(bytes(staff.id_mark), one) for one in candidates):
            raise ServiceError(Reason.OWN_IDENTITY, "Nobody verifies the own identity.")

    def check_other(self, connection: Connection, path: str, id_number: str) -> None:
        """Check that ``path`` (KIND/NAME of a caller) is not known to be the person with this number.

        Raises:
            ServiceError: OWN_IDENTITY.
        """
        kind, _, name = path.partition("/")
        staff = rows.get_staff(connection, name) if kind == Kind.USER else None
        if staff is not None and staff.id_mark is not None:
            self.check_not_self(connection, name, id_number)
