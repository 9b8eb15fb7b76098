"""The figures of the store, also where parts of it are broken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from edge.model import Position
from edge.outbox.chain import Chain
from edge.outbox.database import SOUND, Store
from edge.outbox.media import MediaState
from edge.outbox.receipts import Receipts
from edge.outbox.records import OutboxStats, RecordState
from edge.outbox.rows import Records

MANY_FILES = 10_000
"""Of pictures that wait: more are not gone through one by one."""


def gather_stats(store: Store, records: Records, chain: Chain, receipts: Receipts) -> OutboxStats:
    """Gather all figures; what cannot be read is counted as damaged."""
    counts = {
        row["state"]: (row["n"], row["bytes"])
        for row in store.all(f"SELECT state, count(*) AS n, sum(size) AS bytes FROM ({SOUND}) GROUP BY state")  # noqa: S608
    }
    media = {
        row["state"]: (row["n"], row["bytes"])
        for row in store.all("SELECT state, count(*) AS n, sum(size) AS bytes FROM media GROUP BY state")
    }
    head = chain.head()
    holes = chain.holes(Position(head.epoch, chain.confirmed_seq(head.epoch)) if head else None)
    return OutboxStats(
        head=head,
        confirmed_through=chain.confirmed(),
        pending=_of(counts, RecordState.PENDING)[0],
        delivered=_of(counts, RecordState.DELIVERED)[0],
        confirmed=_of(counts, RecordState.CONFIRMED)[0],
        invalid=_of(counts, RecordState.INVALID)[0],
        branch=_of(counts, RecordState.BRANCH)[0],
        damaged=len(records.damaged_positions()),
        missing=sum(hole.last_seq - hole.first_seq + 1 for hole in holes),
        pending_bytes=_of(counts, RecordState.PENDING)[1],
        oldest_pending=_oldest(store, records, RecordState.PENDING),
        last_receipt_time=receipts.cited().server_time,
        media_pending=_of(media, MediaState.PENDING)[0],
        media_pending_bytes=_of(media, MediaState.PENDING)[1],
        media_lost=_of(media, MediaState.LOST)[0],
        reset_needed=chain.reset_needed(),
        oldest_delivered=_oldest(store, records, RecordState.DELIVERED),
        oldest_media=_oldest_of_media(store, records, _of(media, MediaState.PENDING)[0]),
    )


def _of(counts: dict[str, tuple[int, int]], state: str) -> tuple[int, int]:
    """Number and bytes."""
    return counts.get(state, (0, 0))


def _oldest(store: Store, records: Records, state: RecordState) -> datetime | None:
    return _made_at(
        records,
        store.one(
            f"SELECT epoch, seq FROM ({SOUND}) WHERE state = ? ORDER BY epoch, seq LIMIT 1",  # noqa: S608
            state,
        ),
    )


def _oldest_of_media(store: Store, records: Records, waiting: int) -> datetime | None:
    """Of records that the cloud has: files whose record still waits do so with it.

    ``waiting``: how many files do. It is asked every few seconds, also with 100,000 records: beginning at
    the files is fast where few wait; where many do, the oldest record with one of them is soon found.
    """
    if not waiting:
        return None
    media, delivery = "media AS m", "delivery AS d"
    if waiting > MANY_FILES:
        media, delivery = delivery, media
    return _made_at(
        records,
        store.one(
            f"SELECT d.epoch, d.seq FROM {media} CROSS JOIN record_media AS l CROSS JOIN {delivery} "  # noqa: S608
            "WHERE l.sha256 = m.sha256 AND l.epoch = d.epoch AND l.seq = d.seq AND m.state = 'PENDING' "
            "AND +d.state IN ('DELIVERED', 'CONFIRMED', 'BRANCH') ORDER BY d.epoch, d.seq LIMIT 1"
        ),
    )


def _made_at(records: Records, row: Any) -> datetime | None:
    record = records.at(Position(row["epoch"], row["seq"])) if row else None
    return record.created_at if record else None
