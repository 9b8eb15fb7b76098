"""Rows of objects: whose they are, what opens them, and where their sealed contents lie."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from cloud.store.schema import objects
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """``opener``: sealed under the person's key: the object's own key and the digest of its content; None
    where the person was erased. ``sealed_sha256``: of what lies on disk, and its name there."""

    object_id: str
    person_id: str
    opener: bytes | None
    sealed_sha256: bytes
    media_type: str
    size_bytes: int
    created_us: int
    dropped_us: int | None = None


def add_object(connection: Connection, row: ObjectRow) -> None:
    """Insert one."""
    connection.execute(insert(objects).values(**to_values(row)))


def get_objects(connection: Connection, object_ids: Collection[str]) -> dict[str, ObjectRow]:
    """Those of these ids that were not dropped."""
    query = select(*objects.c).where(objects.c.object_id.in_(object_ids), objects.c.dropped_us.is_(None))
    return {row.object_id: ObjectRow(**row._mapping) for row in connection.execute(query)}


def drop_object(connection: Connection, object_id: str, *, now_us: int) -> bool:
    """Mark one as dropped; False where it was not there."""
    change = (
        update(objects)
        .where(objects.c.object_id == object_id, objects.c.dropped_us.is_(None))
        .values(dropped_us=now_us, opener=None)
    )
    return connection.execute(change).rowcount == 1


def count_dropped(connection: Connection, person_id: str) -> int:
    """Those of a person that were dropped, and whose files may still be there."""
    query = select(func.count()).where(objects.c.person_id == person_id, objects.c.dropped_us.is_not(None))
    return int(connection.execute(query).scalar_one())


def gone_objects(connection: Connection, *, dropped_before_us: int, limit: int) -> list[ObjectRow]:
    """Those that nobody can open any more: of erased persons, or dropped for some time."""
    query = (
        select(*objects.c)
        .where(
            objects.c.opener.is_(None),
            or_(objects.c.dropped_us.is_(None), objects.c.dropped_us < dropped_before_us),
        )
        .order_by(objects.c.object_id)
        .limit(limit)
    )
    return [ObjectRow(**row._mapping) for row in connection.execute(query)]


def forget_objects(connection: Connection, object_ids: Collection[str]) -> None:
    """Delete rows whose files are gone."""
    connection.execute(delete(objects).where(objects.c.object_id.in_(object_ids)))


def known_digests(connection: Connection, digests: Collection[bytes]) -> set[bytes]:
    """Which of these files a row still names."""
    query = select(objects.c.sealed_sha256).where(objects.c.sealed_sha256.in_(digests))
    return {bytes(found) for found in connection.execute(query).scalars()}
