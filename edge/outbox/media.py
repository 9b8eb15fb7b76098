"""Encrypted files that belong to records, in a folder beside the database, named by their digest.

A file is written and synced, name included, before the transaction that refers to it commits; so a
record in the store has its files, and a file without a record is a leftover of a cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from edge.files import create_private, make_private_folder, sync_folder
from edge.model import Position
from edge.outbox.database import Store, digest
from edge.outbox.faults import storage_errors
from edge.outbox.layout import MEDIA_SUFFIX, beside
from edge.outbox.records import MediaFile
from verifield.v1.attestation_pb2 import Statement


class MediaState(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    LOST = "LOST"  # the file is gone, or no longer has its digest; one that is back is PENDING again


class Media:
    """The folder and its tables. Every method may raise StorageError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = beside(store.path, MEDIA_SUFFIX)

    def path_of(self, sha256: bytes) -> Path:
        return self._folder / sha256.hex()

    def add(self, statement: Statement, files: Sequence[bytes]) -> None:
        """Write the ``files`` of a record and refer to them; within its transaction.

        Raises:
            ValueError: they are not those that its statement names: a bug, and nothing is stored.
        """
        named = {hashlib.sha256(content).digest(): content for content in files}
        if named.keys() != {item.sha256 for item in statement.media}:
            raise ValueError("the files are not those that the statement names")
        position = Position(statement.chain_epoch, statement.seq)
        for sha256, content in named.items():
            self._write(sha256, content)
            self._store.execute(
                "INSERT OR IGNORE INTO media (sha256, size, state) VALUES (?, ?, ?)",
                sha256,
                len(content),
                MediaState.PENDING,
            )
            self.refer(position, sha256)

    def refer(self, position: Position, sha256: bytes) -> None:
        self._store.execute(
            "INSERT OR IGNORE INTO record_media (epoch, seq, sha256) VALUES (?, ?, ?)",
            position.epoch,
            position.seq,
            sha256,
        )

    def pending(self, *, limit: int, with_record: bool = False) -> list[MediaFile]:
        """Return files to deliver, oldest first; lost ones are marked as such.

        Only those whose record the cloud has, or, where both travel together (``with_record``), all. One
        that cannot be read now is passed over, and waits for the next time.
        """
        self.look_again(limit=limit)
        found: list[MediaFile] = []
        unreadable = 0
        while wanted := limit - len(found):
            rows = self._waiting(wanted, behind=len(found) + unreadable, with_record=with_record)
            for row in rows:
                path = self.path_of(row["sha256"])
                intact = _is_intact(path, row["sha256"])
                if intact:
                    found.append(MediaFile(row["sha256"], path, row["size"]))
                elif intact is None:
                    unreadable += 1
                else:
                    self._move(row["sha256"], MediaState.LOST, only=MediaState.PENDING)
            if len(rows) < wanted:
                break
        return found

    def look_again(self, *, limit: int = -1) -> None:
        """Let lost files that are there again wait for delivery.

        ``limit``: how many are looked at, any of them, so that each has its turn; -1 for all.
        """
        for row in self._store.all(
            "SELECT sha256 FROM media WHERE state = 'LOST' ORDER BY random() LIMIT ?", limit
        ):
            if _is_intact(self.path_of(row["sha256"]), row["sha256"]) is not False:
                self._move(row["sha256"], MediaState.PENDING, only=MediaState.LOST)

    def done(self, sha256: bytes) -> None:
        """Note that the cloud has the whole file."""
        sql = "UPDATE media SET state = ? WHERE sha256 = ?"
        self._store.write(lambda: self._store.execute(sql, MediaState.DELIVERED, sha256))

    def of_record(self, position: Position) -> list[tuple[bytes, MediaState]]:
        rows = self._store.all(
            "SELECT m.sha256, m.state FROM record_media AS l JOIN media AS m ON m.sha256 = l.sha256 "
            "WHERE l.epoch = ? AND l.seq = ? ORDER BY m.sha256",
            position.epoch,
            position.seq,
        )
        return [(row["sha256"], MediaState(row["state"])) for row in rows]

    def remove_unreferenced(self) -> list[Path]:
        """Forget files that no record refers to any more; return what to delete once that is durable."""
        rows = self._store.all(
            "DELETE FROM media WHERE NOT EXISTS "
            "(SELECT 1 FROM record_media AS l WHERE l.sha256 = media.sha256) RETURNING sha256"
        )
        return [self.path_of(row["sha256"]) for row in rows]

    def delete_files(self, paths: Sequence[Path]) -> int:
        """Delete those of the files that nothing refers to; return how many. A cut leaves them as orphans.

        That is looked up in a turn of our own: another process may just have stored a record of one.
        """

        def delete() -> int:
            orphans = self._orphans(paths)
            for path in orphans:
                path.unlink(missing_ok=True)
            return len(orphans)

        return self._store.write(delete) if paths else 0

    def delete_orphans(self) -> int:
        """Delete what a cut left in the folder; return how many files."""
        if not self._folder.is_dir():
            return 0
        with storage_errors():
            found = self._orphans(self._folder.iterdir())
        return self.delete_files(found)

    def _waiting(self, limit: int, *, behind: int, with_record: bool) -> list[dict[str, Any]]:
        return self._store.all(
            "SELECT m.sha256, m.size FROM media AS m JOIN record_media AS l ON l.sha256 = m.sha256 "
            "JOIN delivery AS d ON d.epoch = l.epoch AND d.seq = l.seq "
            "WHERE m.state = 'PENDING' AND (? OR d.state IN ('DELIVERED', 'CONFIRMED', 'BRANCH')) "
            "GROUP BY m.sha256 ORDER BY min(d.epoch), min(d.seq) LIMIT ? OFFSET ?",
            with_record,
            limit,
            behind,
        )

    def _orphans(self, paths: Iterable[Path]) -> list[Path]:
        known = {digest(row["sha256"]).hex() for row in self._store.all("SELECT sha256 FROM media")}
        return [path for path in paths if path.name not in known]

    def _write(self, sha256: bytes, content: bytes) -> None:
        if not self._folder.is_dir():
            make_private_folder(self._folder)
            sync_folder(self._folder.parent)
        path = self.path_of(sha256)
        if not path.exists():
            create_private(path, content)

    def _move(self, sha256: bytes, state: MediaState, *, only: MediaState) -> None:
        """Set the state of a file that is in the state ``only``: another process may have been faster."""
        sql = "UPDATE media SET state = ? WHERE sha256 = ? AND state = ?"
        self._store.write(lambda: self._store.execute(sql, state, sha256, only))


def _is_intact(path: Path, sha256: bytes) -> bool | None:
    """Whether the file is there and has its digest; None where it cannot be read, which tells nothing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except FileNotFoundError:
        return False
    except OSError:
        return None
