"""Rows of the files that statements name; their bytes lie in the data directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update
from sqlalchemy.sql.functions import coalesce

from cloud.store.schema import media
from cloud.store.values import insert_many, to_values


@dataclass(frozen=True, slots=True)
class MediaRow:
    """``sha256`` and ``size_bytes`` of the encrypted file; ``complete_us`` once all of it is here."""

    device_id: str
    sha256: bytes
    size_bytes: int
    attestation_id: str
    name: str
    named_us: int
    complete_us: int | None = None


def add_media(connection: Connection, rows: Sequence[MediaRow]) -> None:
    """Keep that statements name these files; of one named before, the first naming stays."""
    if not rows:
        return
    first = {(row.device_id, row.sha256): row for row in reversed(rows)}
    known = {
        (device_id, bytes(digest))
        for device_id, digest in connection.execute(
            select(media.c.device_id, media.c.sha256).where(
                media.c.device_id.in_({row.device_id for row in rows}),
                media.c.sha256.in_({row.sha256 for row in rows}),
            )
        )
    }
    fresh = [to_values(row) for key, row in first.items() if key not in known]
    insert_many(connection, media, fresh)


def get_media(connection: Connection, device_id: str, sha256: bytes) -> MediaRow | None:
    """Read what is known of a file that the device may send."""
    query = select(*media.c).where(media.c.device_id == device_id, media.c.sha256 == sha256)
    row = connection.execute(query).one_or_none()
    return MediaRow(**row._mapping) if row else None


def set_complete(connection: Connection, device_id: str, sha256: bytes, *, now_us: int) -> None:
    """Keep that the whole file is here and has its digest."""
    connection.execute(
        update(media)
        .where(media.c.device_id == device_id, media.c.sha256 == sha256)
        .values(complete_us=now_us)
    )


def complete_bytes(connection: Connection, device_id: str) -> int:
    """Bytes of all complete files of a device."""
    query = select(coalesce(func.sum(media.c.size_bytes), 0)).where(
        media.c.device_id == device_id, media.c.complete_us.is_not(None)
    )
    return int(connection.execute(query).scalar_one())
