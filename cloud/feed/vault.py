"""Tasks at rest: who has the database alone learns of nobody from them.

A task holds a commitment to the number of a person's document, with its salt, so that a device can tell
whether the card before it is the awaited one. Numbers are few: whoever has both tries all of them within
the hour. So tasks are sealed under a key of their scope, which the ring wraps as it wraps those of persons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection

from cloud.privacy.ring import KeyRing
from cloud.privacy.sealing import Place, SealBrokenError, seal, unseal
from cloud.sources import Sources, to_us
from cloud.store import persons
from cloud.store.feed import FeedRow
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_ACCOUNT, DOWN_ITEM_KIND_CONTRACT

SEALED_KINDS = frozenset({DOWN_ITEM_KIND_ACCOUNT, DOWN_ITEM_KIND_CONTRACT})


class TaskVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, ring: KeyRing, sources: Sources) -> None:
        self._ring = ring
        self._sources = sources

    def seal(self, connection: Connection, row: FeedRow) -> bytes:
        """The content of ``row`` as it is stored; its seq is not known yet and does not count."""
        key = persons.get_key(connection, self._ring, _key_id(row.scope)) or persons.add_person(
            connection,
            self._ring,
            _key_id(row.scope),
            now_us=to_us(self._sources.now()),
            random_bytes=self._sources.random_bytes,
        )
        return seal(key, _place(row), row.content, random_bytes=self._sources.random_bytes)

    def open_all(self, connection: Connection, rows: Sequence[FeedRow]) -> list[FeedRow]:
        """The rows as they were before they were sealed; others as they are.

        Raises:
            SealBrokenError: a row was changed or moved.
        """
        ids = {_key_id(row.scope) for row in rows if _is_sealed(row)}
        keys = persons.get_keys(connection, self._ring, ids) if ids else {}
        if ids - set(keys):
            raise SealBrokenError("the key of a scope's tasks is gone")
        return [
            replace(row, content=unseal(keys[_key_id(row.scope)], _place(row), bytes(row.content)))
            if _is_sealed(row)
            else row
            for row in rows
        ]


def _is_sealed(row: FeedRow) -> bool:
    return row.kind in SEALED_KINDS and not row.removed


def _key_id(scope: str) -> str:
    """As wide as the column is, which some scopes are not."""
    return sha256(scope.encode()).hexdigest()


def _place(row: FeedRow) -> Place:
    return Place("feed_items", "content", f"{row.scope}/{row.kind}/{row.item_id}")
