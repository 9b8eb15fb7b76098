"""How far each record is delivered."""

from __future__ import annotations

from collections.abc import Iterable

from edge.model import Position
from edge.outbox.database import SOUND, Store
from edge.outbox.records import RecordState, StoredRecord


class Delivery:
    """The table ``delivery``. Every method may raise StorageError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, record: StoredRecord, *, confirmed_at: str | None = None) -> None:
        """Note where ``record`` stands; within the transaction that stores it."""
        self._store.execute(
            "INSERT INTO delivery (epoch, seq, size, state, reason, confirmed_at) VALUES (?, ?, ?, ?, ?, ?)",
            record.epoch,
            record.seq,
            len(record.envelope),
            record.state,
            record.reason,
            confirmed_at,
        )

    def move(
        self, positions: Iterable[Position], to: RecordState, *, reason: str = "", only: Iterable[RecordState]
    ) -> None:
        """Set the state of those that are in one of the states ``only``."""
        rows = [(to, reason, position.epoch, position.seq) for position in positions]
        allowed = ", ".join(f"'{state}'" for state in only)
        where = f"epoch = ? AND seq = ? AND state IN ({allowed})"
        sql = f"UPDATE delivery SET state = ?, reason = ? WHERE {where}"  # noqa: S608 - our own words
        self._store.write(lambda: self._store.db.conn.executemany(sql, rows))

    def first(self, *states: RecordState, after: Position) -> Position | None:
        """Return the oldest place behind ``after`` whose record is sound and in one of ``states``."""
        allowed = ", ".join(f"'{state}'" for state in states)
        row = self._store.one(
            f"SELECT epoch, seq FROM ({SOUND}) WHERE state IN ({allowed}) "  # noqa: S608 - our own words
            "AND (epoch, seq) > (?, ?) ORDER BY epoch, seq LIMIT 1",
            after.epoch,
            after.seq,
        )
        return Position(row["epoch"], row["seq"]) if row else None
