"""Encrypted files that belong to records, in a folder beside the database, named by their digest.

A file is written and synced, name included, before the transaction that refers to it commits; so a
record in the store has its files, and a file without a record is a leftover of a cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from edge.files import create_private, make_private_folder, sync_folder
from edge.model import Position
from edge.outbox.database import Store
from edge.outbox.faults import storage_errors
from edge.outbox.layout import MEDIA_SUFFIX, beside
from edge.outbox.records import MediaFile
from verifield.v1.attestation_pb2 import Statement


class MediaState(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    LOST = "LOST"  # the file is gone, or no longer has its digest


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

        Only those whose record the cloud has, or, where both travel together (``with_record``), all.
        """
        rows = self._store.all(
            "SELECT m.sha256, m.size FROM media AS m JOIN record_media AS l ON l.sha256 = m.sha256 "
            "JOIN delivery AS d ON d.epoch = l.epoch AND d.seq = l.seq "
            "WHERE m.state = 'PENDING' AND (? OR d.state IN ('DELIVERED', 'CONFIRMED', 'BRANCH')) "
            "GROUP BY m.sha256 ORDER BY min(d.epoch), min(d.seq) LIMIT ?",
            with_record,
            limit,
        )
        found: list[MediaFile] = []
        for row in rows:
            path = self.path_of(row["sha256"])
            if _is_intact(path, row["sha256"]):
                found.append(MediaFile(row["sha256"], path, row["size"]))
            else:
                self._set_state(row["sha256"], MediaState.LOST)
        return found

    def done(self, sha256: bytes) -> None:
        """Note that the cloud has the whole file."""
        self._set_state(sha256, MediaState.DELIVERED)

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

    def delete_files(self, paths: Iterable[Path]) -> None:
        """Delete files that nothing refers to; a cut in between leaves orphans for the next opening."""
        with storage_errors():
            for path in paths:
                path.unlink(missing_ok=True)

    def delete_orphans(self) -> int:
        """Delete what a cut left in the folder; return how many files."""
        if not self._folder.is_dir():
            return 0
        with storage_errors():
            if not self._orphans():
                return 0
        # Files of a record that another process is just storing are no orphans: wait for its turn to end.
        orphans = self._store.write(self._orphans)
        self.delete_files(orphans)
        return len(orphans)

    def _orphans(self) -> list[Path]:
        known = {row["sha256"].hex() for row in self._store.all("SELECT sha256 FROM media")}
        return [path for path in self._folder.iterdir() if path.name not in known]

    def _write(self, sha256: bytes, content: bytes) -> None:
        if not self._folder.is_dir():
            make_private_folder(self._folder)
            sync_folder(self._folder.parent)
        path = self.path_of(sha256)
        if not path.exists():
            create_private(path, content)

    def _set_state(self, sha256: bytes, state: MediaState) -> None:
        self._store.write(
            lambda: self._store.execute("UPDATE media SET state = ? WHERE sha256 = ?", state, sha256)
        )


def _is_intact(path: Path, sha256: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except OSError:
        return False
