"""What is personal of a user: sealed under the user's own key, and found by a blind index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.access.callers import identity_text
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.store.schema import users
from cloud.store.sealed import BlindColumn, SealedTable
from cloud.store.users import UserRow

TABLE = "users"

SEALED = SealedTable(
    users,
    key="user_id",
    person="user_id",
    sealed=("display_name", "subject"),
    blinds=(BlindColumn("identity", lambda text: identity_text(text["issuer"], text["subject"])),),
    plain=("issuer",),
)
"""For erasing a user, and for renewing the blind index."""


@dataclass(frozen=True, slots=True, repr=False)
class Personal:
    """In plain text; never logged. Empty where it is not known, or its key was destroyed."""

    display_name: str = ""
    subject: str = ""


class PersonalVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def key_of(self, connection: Connection, user_id: str) -> SealKey:
        """The user's key; made where there is none yet.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._persons.key_of(connection, user_id)

    def seal(self, key: SealKey, user_id: str, column: str, text: str) -> bytes | None:
        """A column of the users table as it is stored; None for nothing."""
        return self._persons.seal_text(key, Place(TABLE, column, user_id), text)

    def open_all(self, connection: Connection, rows: Sequence[UserRow]) -> dict[str, Personal]:
        """What is personal of these users, by id.

        Raises:
            SealBrokenError: a row was changed from outside.
        """
        keys = self._persons.keys_of(connection, [row.user_id for row in rows])

        def text(row: UserRow, column: str, sealed: bytes | None) -> str:
            return self._persons.open_text(keys.get(row.user_id), Place(TABLE, column, row.user_id), sealed)

        return {
            row.user_id: Personal(
                text(row, "display_name", row.display_name), text(row, "subject", row.subject)
            )
            for row in rows
        }

    def identity(self, issuer: str, subject: str) -> bytes | None:
        """The blind index to store; None for nobody."""
        return self._persons.blind(TABLE, "identity", identity_text(issuer, subject)) if issuer else None

    def identities(self, issuer: str, subject: str) -> list[bytes]:
        """What may be stored of issuer and subject: one for each version of the index key."""
        return self._persons.candidates(TABLE, "identity", identity_text(issuer, subject))
