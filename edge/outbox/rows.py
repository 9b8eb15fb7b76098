"""Reading records without trusting a row: a failing disk may have changed any byte of it.

A row is believed if its envelope has the digest that was stored with it and its statement names the
row's own place. Places come from the index over them, rows one by one from the table, so that one
broken page costs the rows on it and no others. What is found broken is noted in the table ``damaged``;
the row itself is never touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from google.protobuf.message import DecodeError

from edge.errors import StorageError
from edge.model import Position
from edge.outbox.database import MAX_INTEGER, Store
from edge.outbox.faults import corrupt
from edge.outbox.records import CheckReport, DamagedRow, RecordState, StoredRecord
from edge.outbox.times import time_text
from verifield.chain import envelope_sha256
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope

MAX_DAMAGED_BYTES = 64 * 1024
"""What the cloud takes of a damaged record."""

PAGE_ROWS = 256
"""Places looked up at once: one delivered batch."""

FIRST = Position(0, 0)
LAST = Position(MAX_INTEGER, MAX_INTEGER)
"""Before and behind every record."""

_STATES = frozenset(state.value for state in RecordState) - {RecordState.DAMAGED}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the index says that a row is."""

    position: Position
    rowid: int


class Records:
    """The table ``records``, read with care."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, record: StoredRecord) -> None:
        """Store ``record``; within its transaction."""
        self._store.execute(
            "INSERT INTO records (epoch, seq, attestation_id, sha256, created_at, envelope) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            record.epoch,
            record.seq,
            record.attestation_id,
            record.sha256,
            time_text(record.created_at) if record.created_at else "",
            record.envelope,
        )

    def read_after(self, after: Position, *, descending: bool = False) -> Iterator[StoredRecord]:
        """Yield the intact records behind ``after`` in order (or before it, backwards); note the others."""
        known = self.damaged_positions()
        for place in self.places(after, descending=descending):
            if place.position not in known and (record := self._read(place)) is not None:
                yield record

    def places(self, after: Position, *, descending: bool = False) -> Iterator[Place]:
        """Yield every place behind ``after`` that has a row, sound or not, in order (or backwards)."""
        at = after
        while page := self._page(at, descending=descending):
            for place in page:
                ordered = place.position < at if descending else place.position > at
                if not ordered:
                    raise corrupt("its index is not in order")
                at = place.position
                yield place

    def at(self, position: Position) -> StoredRecord | None:
        """Return the intact record at ``position``; None where there is none."""
        row = self._store.one(
            "SELECT id FROM records WHERE epoch = ? AND seq = ?", position.epoch, position.seq
        )
        return self._read(Place(position, row["id"])) if row else None

    def get(self, attestation_id: str) -> StoredRecord | None:
        """Return the intact record of that id."""
        row = self._store.one("SELECT id, epoch, seq FROM records WHERE attestation_id = ?", attestation_id)
        return self._read(Place(Position(row["epoch"], row["seq"]), row["id"])) if row else None

    def newest(self, *, limit: int) -> list[StoredRecord]:
        """Return the newest first; a broken one shows as DAMAGED, with nothing but its place."""
        known = self.damaged_positions()
        found: list[StoredRecord] = []
        for place in self.places(LAST, descending=True):
            if len(found) == limit:
                break
            record = None if place.position in known else self._read(place)
            found.append(record or _broken(place.position))
        return found

    def check(self, progress: Callable[[int], None]) -> CheckReport:
        """Read every row, and let SQLite look at its own structure."""
        before = self.damaged_positions()
        count = 0
        for count, _record in enumerate(self.read_after(FIRST), 1):
            progress(count)
        found = sorted(self.damaged_positions() - before)
        return CheckReport(count, tuple(found), self._is_sound())

    def damaged_positions(self) -> set[Position]:
        return {
            Position(row["epoch"], row["seq"]) for row in self._store.all("SELECT epoch, seq FROM damaged")
        }

    def damaged_unsent(self) -> list[DamagedRow]:
        """Return what is left of broken records that no receipt covers and the cloud was not given."""
        rows = self._store.all(
            "SELECT epoch, seq, content FROM damaged WHERE sent = 0 AND seq > coalesce("
            "(SELECT confirmed_seq FROM epochs WHERE epochs.epoch = damaged.epoch), 0) ORDER BY epoch, seq"
        )
        return [DamagedRow(row["epoch"], row["seq"], row["content"]) for row in rows]

    def note_damaged(self, position: Position, content: bytes) -> None:
        """Keep what is left of a record; a store that cannot be written loses no more by that."""
        try:
            self._store.write(
                lambda: self._store.execute(
                    "INSERT OR IGNORE INTO damaged (epoch, seq, content) VALUES (?, ?, ?)",
                    position.epoch,
                    position.seq,
                    content[:MAX_DAMAGED_BYTES],
                )
            )
        except StorageError as error:
            if error.code not in ("OUTBOX_READONLY", "OUTBOX_FULL", "OUTBOX_BUSY"):
                raise

    def rebuild_indexes(self) -> None:
        """Make the indexes anew from the table."""
        try:
            self._store.write(lambda: self._store.execute("REINDEX records"))
        except StorageError as error:
            if error.code != "OUTBOX_CORRUPT":
                raise
            self._store.write(self._replace_indexes)

    def _replace_indexes(self) -> None:
        """As REINDEX, which reads the old ones; these are abandoned instead, pages and all."""
        made = "FROM sqlite_master WHERE type = 'index' AND tbl_name = 'records' AND sql IS NOT NULL"
        statements = [row["sql"] for row in self._store.all(f"SELECT sql {made}")]
        self._store.execute("PRAGMA writable_schema = ON")
        self._store.execute(f"DELETE {made}")
        self._store.execute("PRAGMA writable_schema = RESET")
        for sql in statements:
            self._store.execute(sql)

    def _is_sound(self) -> bool:
        try:
            return self._store.all("PRAGMA integrity_check(1)") == [{"integrity_check": "ok"}]
        except StorageError as error:
            if error.code != "OUTBOX_CORRUPT":
                raise
            return False

    def _page(self, at: Position, *, descending: bool) -> list[Place]:
        try:
            return self._index_page(at, descending=descending)
        except StorageError as error:
            if error.code != "OUTBOX_CORRUPT":
                raise
        self.rebuild_indexes()
        return self._index_page(at, descending=descending)

    def _index_page(self, at: Position, *, descending: bool) -> list[Place]:
        compare, order = ("<", "DESC") if descending else (">", "ASC")
        rows = self._store.all(
            "SELECT epoch, seq, id FROM records INDEXED BY idx_records_epoch_seq "  # noqa: S608
            f"WHERE (epoch, seq) {compare} (?, ?) ORDER BY epoch {order}, seq {order} LIMIT ?",
            at.epoch,
            at.seq,
            PAGE_ROWS,
        )
        if any(not isinstance(value, int) for row in rows for value in row.values()):
            raise corrupt("a place in it is no number")
        return [Place(Position(row["epoch"], row["seq"]), row["id"]) for row in rows]

    def _read(self, place: Place) -> StoredRecord | None:
        """Return the row if it is to be believed; otherwise note it."""
        row: dict[str, Any] | None = None
        try:
            row = self._store.one(
                "SELECT r.sha256, r.envelope, d.state, d.reason FROM records AS r LEFT JOIN delivery AS d "
                "ON d.epoch = ? AND d.seq = ? WHERE r.id = ?",
                place.position.epoch,
                place.position.seq,
                place.rowid,
            )
        except StorageError as error:
            if error.code != "OUTBOX_CORRUPT":
                raise
        record = judge_row(row, place.position) if row else None
        if record is None and not self._was_purged(place):
            content = row["envelope"] if row and isinstance(row["envelope"], bytes) else b""
            self.note_damaged(place.position, content)
        return record

    def _was_purged(self, place: Place) -> bool:
        """Whether another process deleted the row between the look at the index and at the table."""
        try:
            row = self._store.one(
                "SELECT 1 AS there FROM records INDEXED BY idx_records_epoch_seq WHERE epoch = ? AND seq = ?",
                place.position.epoch,
                place.position.seq,
            )
        except StorageError:
            return False
        return row is None


def judge_row(row: dict[str, Any], position: Position) -> StoredRecord | None:
    """Return the record if its bytes have their digest and it names this very place.

    Everything but the state and its reason comes from the signed bytes; a state that is none is PENDING,
    so that the record is delivered rather than forgotten.
    """
    envelope, sha256 = row["envelope"], row["sha256"]
    if not isinstance(envelope, bytes) or envelope_sha256(envelope) != sha256:
        return None
    try:
        statement = Statement.FromString(Envelope.FromString(envelope).payload)
    except DecodeError:
        return None
    if Position(statement.chain_epoch, statement.seq) != position:
        return None
    state = row["state"] if row["state"] in _STATES else RecordState.PENDING
    return StoredRecord(
        attestation_id=statement.attestation_id,
        epoch=position.epoch,
        seq=position.seq,
        sha256=sha256,
        envelope=envelope,
        state=RecordState(state),
        reason=row["reason"] if isinstance(row["reason"], str) else "",
        created_at=statement.clock.wall_time.ToDatetime(tzinfo=UTC),
    )


def statement_of(record: StoredRecord) -> Statement:
    """Parse the statement of a record that was read with care."""
    return Statement.FromString(Envelope.FromString(record.envelope).payload)


def _broken(position: Position) -> StoredRecord:
    return StoredRecord(
        attestation_id="",
        epoch=position.epoch,
        seq=position.seq,
        sha256=b"",
        envelope=b"",
        state=RecordState.DAMAGED,
        reason="",
        created_at=None,
    )
