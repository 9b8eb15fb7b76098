"""Forgetting: the only place where records and their files are deleted."""

from __future__ import annotations

from pathlib import Path

from edge.outbox.database import SOUND, Store
from edge.outbox.media import Media

_OVER = (
    f"SELECT epoch, seq FROM ({SOUND}) AS d WHERE state = 'CONFIRMED' AND confirmed_at <= ? "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM record_media AS l JOIN media AS m ON m.sha256 = l.sha256 "
    "WHERE l.epoch = d.epoch AND l.seq = d.seq AND m.state = 'PENDING')"
)
_AT = "WHERE epoch = ? AND seq = ?"


def purge_confirmed(store: Store, media: Media, *, latest: str) -> tuple[int, list[Path]]:
    """Delete what was confirmed at ``latest`` or before; within a transaction.

    A record whose files the cloud does not have yet stays whole. Returns how many records went, and the
    files to delete once the transaction is durable.
    """
    connection = store.db.conn
    places = connection.execute(_OVER, (latest,)).fetchall()
    connection.executemany(
        f"DELETE FROM private WHERE attestation_id = (SELECT attestation_id FROM records {_AT})",  # noqa: S608
        places,
    )
    for table in ("record_media", "records", "delivery"):
        connection.executemany(f"DELETE FROM {table} {_AT}", places)  # noqa: S608
    return len(places), media.remove_unreferenced() if places else []
