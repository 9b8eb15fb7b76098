"""What is personal of a user: sealed under the user's own key, and found by a blind index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from cloud.access.callers import identity_text
from cloud.errors import Reason, ServiceError
from cloud.privacy.blind import blind, candidates
from cloud.privacy.ring import KeyRing
from cloud.privacy.sealing import Place, SealKey, seal_text, unseal_text
from cloud.sources import Sources, to_us
from cloud.store import persons
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

    def __init__(self, ring: KeyRing, sources: Sources) -> None:
        self._ring = ring
        self._sources = sources

    def key_of(self, connection: Connection, user_id: str) -> SealKey:
        """The user's key; made where there is none yet.

        Raises:
            ServiceError: USER_NOT_FOUND: it was destroyed, and nothing is kept of this person ever again.
        """
        found = persons.get_key(connection, self._ring, user_id)
        if found is not None:
            return found
        try:
            with connection.begin_nested():
                return persons.add_person(
                    connection,
                    self._ring,
                    user_id,
                    now_us=to_us(self._sources.now()),
                    random_bytes=self._sources.random_bytes,
                )
        except IntegrityError as error:
            raise ServiceError(Reason.USER_NOT_FOUND, "This person was erased.") from error

    def seal(self, key: SealKey, user_id: str, column: str, text: str) -> bytes | None:
        """A column of the users table as it is stored; None for nothing."""
        if not text:
            return None
        return seal_text(key, Place(TABLE, column, user_id), text, random_bytes=self._sources.random_bytes)

    def open_all(self, connection: Connection, rows: Sequence[UserRow]) -> dict[str, Personal]:
        """What is personal of these users, by id.

        Raises:
            SealBrokenError: a row was changed from outside.
        """
        keys = persons.get_keys(connection, self._ring, [row.user_id for row in rows])
        return {
            row.user_id: Personal(
                _open(keys.get(row.user_id), row.user_id, "display_name", row.display_name),
                _open(keys.get(row.user_id), row.user_id, "subject", row.subject),
            )
            for row in rows
        }

    def identity(self, issuer: str, subject: str) -> bytes | None:
        """The blind index to store; None for nobody."""
        return blind(self._ring, TABLE, "identity", identity_text(issuer, subject)) if issuer else None

    def identities(self, issuer: str, subject: str) -> list[bytes]:
        """What may be stored of issuer and subject: one for each version of the index key."""
        return candidates(self._ring, TABLE, "identity", identity_text(issuer, subject))


def _open(key: SealKey | None, user_id: str, column: str, sealed: bytes | None) -> str:
    if sealed is None:
        return ""
    return unseal_text(key, Place(TABLE, column, user_id), sealed) or ""
