"""Who decided by hand, with whom, and when: rows that name the digest of the row before them.

A row that is changed or taken out breaks the chain, and so does one cut off at the end, unless the count
beside it is changed too. The signed records name both people as well: the ledger is the device's own
list of them, kept when the records are long purged.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from edge.errors import StorageError
from edge.state.database import StateDatabase, text_of
from edge.state.records import ManualEntry

GENESIS = b""
"""What the first row names."""


class ManualLedger:
    """Rows are only ever added. Every method may raise StorageError."""

    def __init__(self, db: StateDatabase) -> None:
        self._db = db

    def append(self, entry: ManualEntry) -> int:
        """Add a row, durable when this returns; return its number, counted from 1.

        Raises:
            StorageError: LEDGER_BROKEN: rows are missing at the end, so that nothing can follow them.
        """
        with self._db.writing():
            number, previous = self._head()
            last = self._db.one("SELECT number, sha256 FROM ledger ORDER BY number DESC LIMIT 1")
            if (last["number"], last["sha256"]) != (number, previous) if last else number:
                raise _broken(number)
            row = _columns(entry)
            digest = _digest(number + 1, previous, row)
            self._db.upsert("ledger", number=number + 1, previous_sha256=previous, sha256=digest, **row)
            self._db.put("ledger_head", number=number + 1, sha256=digest)
        return number + 1

    def entries(self) -> list[ManualEntry]:
        """Return all rows, oldest first, once the chain is found whole.

        Raises:
            StorageError: LEDGER_BROKEN, naming the first row that does not fit.
        """
        previous, expected = GENESIS, 1
        entries: list[ManualEntry] = []
        for row in self._db.all("SELECT * FROM ledger ORDER BY number"):
            fits = row["number"] == expected and row["previous_sha256"] == previous
            try:
                entry = _entry(row)
                fits = fits and row["sha256"] == _digest(expected, previous, _columns(entry))
            except (ValueError, TypeError):  # values of another kind were put in
                fits = False
            if not fits:
                raise _broken(expected)
            entries.append(entry)
            previous, expected = row["sha256"], expected + 1
        if self._head() != (expected - 1, previous):
            raise _broken(expected)
        return entries

    def _head(self) -> tuple[int, bytes]:
        row = self._db.one("SELECT number, sha256 FROM ledger_head")
        return (row["number"], row["sha256"]) if row else (0, GENESIS)


def _columns(entry: ManualEntry) -> dict[str, str | int]:
    return {
        "attestation_id": entry.attestation_id,
        "decided_by": entry.decided_by,
        "agreed_by": entry.agreed_by,
        "accepted": int(entry.accepted),
        "not_before": text_of(entry.not_before),
        "wall": text_of(entry.wall),
    }


def _entry(row: dict[str, Any]) -> ManualEntry:
    return ManualEntry(
        attestation_id=row["attestation_id"],
        decided_by=row["decided_by"],
        agreed_by=row["agreed_by"],
        accepted=bool(row["accepted"]),
        not_before=datetime.fromisoformat(row["not_before"]),
        wall=datetime.fromisoformat(row["wall"]),
    )


def _digest(number: int, previous: bytes, row: dict[str, str | int]) -> bytes:
    content = row | {"number": number, "previous_sha256": previous.hex()}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def _broken(number: int) -> StorageError:
    return StorageError(
        "LEDGER_BROKEN",
        f"The ledger of decisions by hand was changed: row {number} is missing or not what it was.",
        hint="Keep the file, change nothing, and compare it with the signed records at the cloud.",
    )
