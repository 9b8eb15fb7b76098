"""What is personal, in any table: sealed under the person's own key, and found by blind indexes.

A person here is whoever a row belongs to: an account, a customer of a bank, a user. Their id is the row's.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from cloud.errors import Reason, ServiceError
from cloud.privacy.blind import blind, candidates
from cloud.privacy.ring import KeyRing
from cloud.privacy.sealing import Place, SealKey, seal, seal_text, unseal, unseal_text
from cloud.sources import Sources, to_us
from cloud.store import persons


class Persons:
    """Seals and opens, in the caller's transaction. Any thread may use it.

    Values are bound to the table, the column and the row's key that they are sealed for.
    """

    def __init__(self, ring: KeyRing, sources: Sources) -> None:
        self._ring = ring
        self._sources = sources

    def key_of(self, connection: Connection, person_id: str) -> SealKey:
        """The person's key; made where there is none yet.

        Raises:
            ServiceError: PERSON_ERASED: it was destroyed, and nothing is kept of this person ever again.
        """
        found = persons.get_key(connection, self._ring, person_id)
        if found is not None:
            return found
        try:
            with connection.begin_nested():
                return persons.add_person(
                    connection,
                    self._ring,
                    person_id,
                    now_us=to_us(self._sources.now()),
                    random_bytes=self._sources.random_bytes,
                )
        except IntegrityError as error:
            raise ServiceError(Reason.PERSON_ERASED, "This person was erased.") from error

    def keys_of(self, connection: Connection, person_ids: Collection[str]) -> dict[str, SealKey]:
        """The keys of those who have one: who was erased is left out."""
        return persons.get_keys(connection, self._ring, person_ids)

    def seal_text(self, key: SealKey, place: Place, text: str) -> bytes | None:
        """A text as it is stored; None for nothing."""
        return seal_text(key, place, text, random_bytes=self._sources.random_bytes) if text else None

    def open_text(self, key: SealKey | None, place: Place, sealed: bytes | None) -> str:
        """What :meth:`seal_text` sealed; empty for nothing, and where the key was destroyed.

        Raises:
            SealBrokenError: the value was changed, or moved here.
        """
        return (unseal_text(key, place, bytes(sealed)) or "") if sealed is not None else ""

    def seal_bytes(self, key: SealKey, place: Place, content: bytes) -> bytes:
        """Bytes as they are stored."""
        return seal(key, place, content, random_bytes=self._sources.random_bytes)

    def open_bytes(self, key: SealKey | None, place: Place, sealed: bytes | None) -> bytes | None:
        """What :meth:`seal_bytes` sealed; None for nothing, and where the key was destroyed.

        Raises:
            SealBrokenError: as :meth:`open_text`.
        """
        return unseal(key, place, bytes(sealed)) if key is not None and sealed is not None else None

    def blind(self, table: str, column: str, value: str) -> bytes:
        """The blind index to store for a normalised ``value`` (cloud.privacy.normal)."""
        return blind(self._ring, table, column, value)

    def candidates(self, table: str, column: str, value: str) -> list[bytes]:
        """What may be stored of a normalised ``value``: one for each version of the index key."""
        return candidates(self._ring, table, column, value)
