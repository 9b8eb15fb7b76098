"""Filling a new store with what was saved of a broken one."""

from __future__ import annotations

from edge.errors import StorageError
from edge.model import Hole, Position
from edge.outbox.chain import Chain
from edge.outbox.database import Store, digest, integer
from edge.outbox.delivery import Delivery
from edge.outbox.media import Media, MediaState
from edge.outbox.records import StoredRecord
from edge.outbox.rows import Records, statement_of
from edge.outbox.salvage import Row, Salvaged
from verifield.chain import ChainHead, excuses_of

_AS_THEY_ARE = {
    "receipt": "(id, envelope, sha256, arrival_boot_id, arrival_ns)",
    "witness": "(id, tree_size, note, sha256)",
    "clock": "(id, boot_id, monotonic_ns, wall)",
    "counter": "(id, expected)",
    "reset_needed": "(id, reason)",
    "begun": "(session_id, operator_id, role, factors, standing)",
    "private": "(attestation_id, sealed)",
}
"""Tables whose readers judge for themselves what they find."""


class Refill:
    """Writes into a new, empty ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = Records(store)
        self._delivery = Delivery(store)
        self._media = Media(store)
        self.chain = Chain(store, self._records)

    def put(self, salvaged: Salvaged) -> None:
        """Put everything in; within a transaction."""
        for table, columns in _AS_THEY_ARE.items():
            for row in salvaged.tables.get(table, []):
                self._insert(table, columns, row)
        for position in sorted(salvaged.records):
            self._put_record(salvaged.records[position], salvaged.confirmed_at.get(position))
        self._put_heads(salvaged)
        for sha256, _size, state in salvaged.tables.get("media", []):
            if state in set(MediaState):
                self._store.execute("UPDATE media SET state = ? WHERE sha256 = ?", state, sha256)
        for row in salvaged.tables.get("damaged", []):
            self._insert("damaged", "(epoch, seq, content, sent)", row)
        for position, content in salvaged.damaged.items():
            if position not in salvaged.records:
                self._insert("damaged", "(epoch, seq, content)", (position.epoch, position.seq, content))

    def lost(self) -> list[Hole]:
        """Return the places of the newest epoch that nobody has any more and no receipt covers."""
        head = self.chain.head()
        return self.chain.holes(Position(head.epoch, self.chain.confirmed_seq(head.epoch))) if head else []

    def _put_record(self, record: StoredRecord, confirmed_at: str | None) -> None:
        self._records.add(record)
        self._delivery.add(record, confirmed_at=confirmed_at)
        statement = statement_of(record)
        for item in statement.media:
            self._insert("media", "(sha256, size, state)", (item.sha256, item.size_bytes, MediaState.PENDING))
            self._media.refer(record.position, item.sha256)
        excuse = excuses_of(statement)
        if excuse is not None:
            self._insert(
                "excuses",
                "(epoch, by_seq, first_seq, last_seq, refused)",
                (record.epoch, record.seq, excuse.first_seq, excuse.last_seq, excuse.refused),
            )

    def _put_heads(self, salvaged: Salvaged) -> None:
        """The heads as they were stored, and never behind the newest record that was saved."""
        for row in salvaged.tables.get("epochs", []):
            if _is_head(row):
                self._insert("epochs", "(epoch, seq, sha256, confirmed_seq, confirmed_sha256)", row)
        newest: dict[int, StoredRecord] = {}
        for position in sorted(salvaged.records):
            newest[position.epoch] = salvaged.records[position]
        for epoch, record in newest.items():
            if self.chain.newest_seq(epoch) < record.seq:
                self.chain.set_head(ChainHead(epoch, record.seq, record.sha256))

    def _insert(self, table: str, columns: str, row: Row) -> None:
        marks = ", ".join("?" * len(row))
        self._store.execute(f"INSERT OR IGNORE INTO {table} {columns} VALUES ({marks})", *row)  # noqa: S608


def _is_head(row: Row) -> bool:
    try:
        integer(row[0], at_least=1)
        integer(row[1], at_least=1)
        digest(row[2])
        integer(row[3])
        digest(row[4], or_empty=True)
    except StorageError:
        return False
    return True
