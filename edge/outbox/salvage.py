"""Reading a broken database: row by row, around what cannot be read, believing only what vouches for itself.

The file is opened read-only. Where not even its first page is one, its fixed fields are put right in a
copy in memory. Rows of the first released form are understood as well.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import StorageError
from edge.model import Position
from edge.outbox.database import MAX_INTEGER, decode_text
from edge.outbox.records import StoredRecord
from edge.outbox.rows import MAX_DAMAGED_BYTES, judge_row

MAX_IN_MEMORY_BYTES = 1 << 30
"""A year of records; a larger file whose first page is broken needs tools that do not hold it whole."""

MAX_PROBES = 100_000
"""Row ids tried one by one behind a broken page; more than any device stores between two purges."""

PAGE_BYTES = 4096
"""SQLite's default, which the store never changes."""

Row = tuple[Any, ...]

_BROKEN = (sqlite3.Error, UnicodeDecodeError)
"""The second is Python's, when a name in SQLite's complaint is no text."""


@dataclass(slots=True)
class Salvaged:
    """What could be read. ``head_known``: the table of chain heads was whole.

    ``tables``: rows of the small tables, by name.
    """

    records: dict[Position, StoredRecord] = field(default_factory=dict)
    confirmed_at: dict[Position, str] = field(default_factory=dict)
    damaged: dict[Position, bytes] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    head_known: bool = False


def salvage(path: Path, *, device_id: str, progress: Callable[[int], None]) -> Salvaged:
    """Read what can be read of the database at ``path``.

    Raises:
        StorageError: OUTBOX_OTHER_DEVICE.
    """
    with closing(_open(path)) as connection:
        return _read_all(_Reader(connection), device_id, progress)


def _read_all(reader: _Reader, device_id: str, progress: Callable[[int], None]) -> Salvaged:
    found = Salvaged()
    for name, queries in _SMALL.items():
        found.tables[name], whole = reader.first_of(queries)
        if name == "epochs":
            found.head_known = whole and bool(found.tables[name])
    owners = {row[0] for row in found.tables.pop("device")}
    if owners and device_id not in owners:
        raise StorageError(
            "OUTBOX_OTHER_DEVICE",
            "The store of records belongs to another device or an earlier enrolment.",
            hint="It was only given another name. Give this identity a store of its own.",
        )
    states = _states(reader)
    for count, (_rowid, epoch, seq, sha256, envelope) in enumerate(reader.by_rowid(_RECORDS), 1):
        progress(count)
        if not _is_place(epoch, seq):
            continue
        position = Position(epoch, seq)
        state, reason, confirmed_at = states.get(position, ("", "", None))
        record = judge_row(
            {"sha256": sha256, "envelope": envelope, "state": state, "reason": reason}, position
        )
        if record is None:
            found.damaged[position] = envelope[:MAX_DAMAGED_BYTES] if isinstance(envelope, bytes) else b""
            continue
        found.records[position] = record
        if isinstance(confirmed_at, str):
            found.confirmed_at[position] = confirmed_at
    return found


_RECORDS = "SELECT rowid, epoch, seq, sha256, envelope FROM records"

# Each logical table: how the present form tells it, then how older ones do.
_SMALL: dict[str, tuple[str, ...]] = {
    "device": ("SELECT device_id FROM device",),
    "epochs": (
        "SELECT epoch, seq, sha256, confirmed_seq, confirmed_sha256 FROM epochs",
        "SELECT c.epoch, c.seq, c.sha256, coalesce(r.through_seq, 0), coalesce(r.head_sha256, x'') "
        "FROM chain AS c LEFT JOIN receipts AS r ON r.epoch = c.epoch",
    ),
    "receipt": (
        "SELECT id, envelope, sha256, arrival_boot_id, arrival_ns FROM receipt",
        "SELECT id, envelope, sha256, NULL, NULL FROM receipts",
    ),
    "witness": ("SELECT id, tree_size, note, sha256 FROM witness",),
    "clock": ("SELECT id, boot_id, monotonic_ns, wall FROM clock",),
    "counter": ("SELECT id, expected FROM counter",),
    "reset_needed": ("SELECT id, reason FROM reset_needed",),
    "begun": ("SELECT session_id, operator_id, role, factors, standing FROM begun",),
    "private": ("SELECT attestation_id, sealed FROM private",),
    "media": ("SELECT sha256, size, state FROM media",),
    "damaged": ("SELECT epoch, seq, content, sent FROM damaged",),
}
_STATES = (
    "SELECT epoch, seq, state, reason, confirmed_at FROM delivery",
    "SELECT epoch, seq, state, reason, confirmed_at FROM records",
)


def _states(reader: _Reader) -> dict[Position, tuple[Any, Any, Any]]:
    rows, _whole = reader.first_of(_STATES)
    return {Position(row[0], row[1]): (row[2], row[3], row[4]) for row in rows if _is_place(row[0], row[1])}


def _is_place(epoch: object, seq: object) -> bool:
    return all(isinstance(value, int) and 1 <= value <= MAX_INTEGER for value in (epoch, seq))


class _Reader:
    """Reads as far as it goes, from both ends, and then one by one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def first_of(self, queries: tuple[str, ...]) -> tuple[list[Row], bool]:
        """Return the rows of the first query whose tables are there, and whether all were read."""
        for query in queries:
            try:
                cursor = self._connection.execute(query)
            except _BROKEN:
                continue
            rows: list[Row] = []
            try:
                rows.extend(cursor)
            except _BROKEN:
                return rows + self._from_the_end(query), False
            return rows, True
        return [], False

    def by_rowid(self, query: str) -> Iterator[Row]:
        """Yield the rows of a table with row ids, the first column, around what is broken."""
        last = 0
        try:
            self._connection.execute(query)
        except _BROKEN:
            return  # there is no such table
        with suppress(*_BROKEN):
            for row in self._connection.execute(f"{query} ORDER BY rowid"):
                last = row[0]
                yield row
            return
        top = last + MAX_PROBES
        with suppress(*_BROKEN):
            for row in self._connection.execute(f"{query} WHERE rowid > ? ORDER BY rowid DESC", (last,)):
                top = row[0]
                yield row
        for rowid in range(last + 1, top):
            with suppress(*_BROKEN):
                yield from self._connection.execute(f"{query} WHERE rowid = ?", (rowid,)).fetchall()

    def _from_the_end(self, query: str) -> list[Row]:
        rows: list[Row] = []
        with suppress(*_BROKEN):
            rows.extend(self._connection.execute(f"{query} ORDER BY 1 DESC, 2 DESC"))
        return rows


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.text_factory = decode_text
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except _BROKEN:
        connection.close()
        return _open_mended(path)
    return connection


def _open_mended(path: Path) -> sqlite3.Connection:
    """Open a copy in memory whose header is one; what stood in the write-ahead log is not in it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = decode_text
    if path.stat().st_size <= MAX_IN_MEMORY_BYTES:
        with suppress(*_BROKEN, OverflowError):
            connection.deserialize(mend_header(path.read_bytes()))
    return connection


def mend_header(data: bytes) -> bytes:
    """Return the database file with the fixed fields of its header as the store always has them.

    Layout: SQLite file format, 1.3. The rest of page 1, the schema, stays as it is.
    """
    pages = len(data) // PAGE_BYTES
    header = bytearray(data[:100].ljust(100, b"\0"))
    header[:24] = b"SQLite format 3\0" + struct.pack(">HBBBBBB", PAGE_BYTES, 1, 1, 0, 64, 32, 32)
    struct.pack_into(">IIIII", header, 24, 1, pages, 0, 0, 1)  # change counter, size, no free pages, cookie
    struct.pack_into(">IIIII", header, 44, 4, 0, 0, 1, 0)  # schema format, cache, no vacuum, UTF-8, version
    header[64:92] = bytes(28)
    struct.pack_into(">II", header, 92, 1, sqlite3.sqlite_version_info[1])
    return bytes(header) + data[100 : pages * PAGE_BYTES]
