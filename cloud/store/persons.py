"""Keys of persons: each person's data has a key of its own, wrapped by the ring.

Whoever has this row and the ring reads the person's data; once the row is emptied nobody does, in the
database and in each later backup. The row itself stays, so that a person's id is not given a new key.
An unwrapped key is never kept for longer than the call that needs it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update

from cloud.errors import SetupError
from cloud.privacy.ring import RING_FILE, KeyRing
from cloud.privacy.sealing import (
    KEY_BYTES,
    Place,
    RandomBytes,
    SealBrokenError,
    SealKey,
    seal,
    unseal,
)
from cloud.store.schema import person_keys

DATA_KEY_VERSION = 1
"""Data keys are not rotated: one serves one person, for at most some thousand values."""

_DESTROYED = 0

_PROOFS = 8
"""Keys of one version that are tried at a start: a row that was damaged says nothing of the ring."""


def add_person(
    connection: Connection, ring: KeyRing, person_id: str, *, now_us: int, random_bytes: RandomBytes
) -> SealKey:
    """Make a key for a new person and return it.

    Raises:
        sqlalchemy.exc.IntegrityError: the person has one, or had one that was destroyed.
    """
    data_key = SealKey(DATA_KEY_VERSION, random_bytes(KEY_BYTES))
    wrapping = ring.current()
    row = {
        "person_id": person_id,
        "ring_version": wrapping.version,
        "wrapped": seal(wrapping, _place(person_id), data_key.secret, random_bytes=random_bytes),
        "created_us": now_us,
    }
    connection.execute(insert(person_keys).values(row))
    return data_key


def get_key(connection: Connection, ring: KeyRing, person_id: str) -> SealKey | None:
    """The key of a person; None for one who never had one, and for one whose key was destroyed.

    Raises:
        SealBrokenError: the row was changed or moved.
    """
    return get_keys(connection, ring, [person_id]).get(person_id)


def get_keys(connection: Connection, ring: KeyRing, person_ids: Collection[str]) -> dict[str, SealKey]:
    """As :func:`get_key`, for several persons at once; who has no key is left out."""
    query = select(person_keys.c.person_id, person_keys.c.ring_version, person_keys.c.wrapped).where(
        person_keys.c.person_id.in_(person_ids), person_keys.c.ring_version != _DESTROYED
    )
    return {
        row.person_id: SealKey(
            DATA_KEY_VERSION, unseal(ring.key(row.ring_version), _place(row.person_id), bytes(row.wrapped))
        )
        for row in connection.execute(query)
    }


def destroy_key(connection: Connection, person_id: str, *, now_us: int) -> bool:
    """Empty a person's key for good; False where there is none (any more)."""
    _zero_what_goes(connection)
    change = (
        update(person_keys)
        .where(person_keys.c.person_id == person_id, person_keys.c.ring_version != _DESTROYED)
        .values(ring_version=_DESTROYED, wrapped=b"", erased_us=now_us)
    )
    return connection.execute(change).rowcount == 1


def rewrap(connection: Connection, ring: KeyRing, *, limit: int, random_bytes: RandomBytes) -> int:
    """Wrap up to ``limit`` keys of older versions of the ring with the newest; return how many there were.

    What was done is committed with the caller's transaction: called again, it goes on.
    """
    _zero_what_goes(connection)
    newest = ring.current()
    query = (
        select(person_keys.c.person_id, person_keys.c.ring_version, person_keys.c.wrapped)
        .where(person_keys.c.ring_version > _DESTROYED, person_keys.c.ring_version < newest.version)
        .order_by(person_keys.c.ring_version, person_keys.c.person_id)
        .limit(limit)
        .with_for_update()
    )
    rows = connection.execute(query).all()
    for person_id, version, wrapped in rows:
        place = _place(person_id)
        secret = unseal(ring.key(version), place, bytes(wrapped))
        connection.execute(
            update(person_keys)
            .where(person_keys.c.person_id == person_id)
            .values(
                ring_version=newest.version, wrapped=seal(newest, place, secret, random_bytes=random_bytes)
            )
        )
    return len(rows)


def count_by_version(connection: Connection) -> dict[int, int]:
    """How many keys each version of the ring wraps."""
    query = (
        select(person_keys.c.ring_version, func.count())
        .where(person_keys.c.ring_version != _DESTROYED)
        .group_by(person_keys.c.ring_version)
    )
    return {row.ring_version: row[1] for row in connection.execute(query)}


def open_ring(connection: Connection, keys: Path, *, now_us: int, random_bytes: RandomBytes) -> KeyRing:
    """Open the ring in the folder ``keys`` at a start; make it only where it has wrapped nothing yet.

    Raises:
        SetupError: KEYS_UNUSABLE: it was lost, or cannot be read or written; and as :func:`check_ring`.
    """
    if not count_by_version(connection):
        return KeyRing.open(keys, now_us=now_us, random_bytes=random_bytes)
    ring = KeyRing.load(keys)
    check_ring(connection, ring)
    return ring


def check_ring(connection: Connection, ring: KeyRing) -> None:
    """Check that the ring is the one that wrapped the keys of persons.

    Raises:
        SetupError: RING_VERSION_LOST: an older ring, or another one, stands in the place of the right one.
    """
    for version in count_by_version(connection):
        wrapping = ring.key(version)
        query = (
            select(person_keys.c.person_id, person_keys.c.wrapped)
            .where(person_keys.c.ring_version == version)
            .order_by(person_keys.c.person_id)
            .limit(_PROOFS)
        )
        if not any(_opens(wrapping, *row) for row in connection.execute(query)):
            raise SetupError(
                "RING_VERSION_LOST",
                f"Version {version} of the key ring is another one than that which sealed what is stored.",
                hint=f"Restore {RING_FILE} of the keys folder from the newest backup.",
            )


def _opens(wrapping: SealKey, person_id: str, wrapped: bytes) -> bool:
    try:
        unseal(wrapping, _place(person_id), bytes(wrapped))
    except SealBrokenError:
        return False
    return True


def _zero_what_goes(connection: Connection) -> None:
    """Let SQLite zero in its file what is overwritten, also where it was built to leave it there."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _place(person_id: str) -> Place:
    return Place("person_keys", "wrapped", person_id)
