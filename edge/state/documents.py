"""Documents of contracts that wait here: fetched part by part, sealed, and gone with their task.

A document counts only whole, and only where it has the digest that its task names. A part that a disk has
changed costs the document, which is then fetched anew.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from edge.errors import StorageError
from edge.state.database import StateDatabase, text_of, time_of

MAX_DOCUMENT_BYTES = 20 * 1024 * 1024
"""What the cloud takes as a contract at most."""

MAX_DOCUMENTS_BYTES = 256 * 1024 * 1024
"""Of all documents together: what waits for people must not take the disk from their records."""


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """How far a document is. ``size``: of the whole, as the cloud said. ``shown``: when it was given out."""

    task_id: str
    sha256: bytes
    size: int
    here: int
    shown: datetime | None

    @property
    def complete(self) -> bool:
        return self.here == self.size > 0


class DocumentTable:
    """Every method may raise StorageError."""

    def __init__(self, db: StateDatabase) -> None:
        self._db = db

    def get(self, task_id: str, sha256: bytes) -> KeptDocument | None:
        """Return what is here of the document of this digest; one of another digest does not count."""
        row = self._db.one("SELECT * FROM documents WHERE task_id = ?", task_id)
        if row is None or not hmac.compare_digest(row["sha256"], sha256):
            return None
        parts = self._db.one(
            "SELECT coalesce(sum(length), 0) AS n FROM document_parts WHERE task_id = ?", task_id
        )
        shown = time_of(row["shown"]) if row["shown"] else None
        return KeptDocument(task_id, row["sha256"], row["size"], parts["n"] if parts else 0, shown)

    def missing(self) -> list[str]:
        """Return the tasks whose documents are not all here, those first that expire first; needs no key."""
        rows = self._db.all(
            "SELECT i.item_id FROM down_items AS i LEFT JOIN documents AS d ON d.task_id = i.item_id "
            "WHERE i.kind = 'CONTRACT' AND i.stale = 0 AND coalesce(d.size, -1) != (SELECT "
            "coalesce(sum(p.length), 0) FROM document_parts AS p WHERE p.task_id = i.item_id) "
            "ORDER BY i.expires, i.item_id"
        )
        return [row["item_id"] for row in rows]

    def add(self, task_id: str, sha256: bytes, *, start: int, size: int, content: bytes) -> bool:
        """Keep a part, which begins at byte ``start`` of ``size``; whether all is here now, and right.

        A part that does not continue what is here is left out: the cloud is asked again.

        Raises:
            StorageError: DOCUMENT_TOO_LARGE, DOCUMENTS_FULL or DOCUMENT_OTHER: the whole has another digest
                than its task names, and nothing of it stays.
        """
        with self._db.writing():
            if (
                self._db.one("SELECT 1 FROM down_items WHERE kind = 'CONTRACT' AND item_id = ?", task_id)
                is None
            ):
                return False  # the task has ended meanwhile
            known = self.get(task_id, sha256)
            if known is None or known.size != size:
                self._begin(task_id, sha256, size)
            here = known.here if known and known.size == size else 0
            if start != here or not content or here + len(content) > size:
                return False
            self._db.upsert(
                "document_parts",
                task_id=task_id,
                start=start,
                length=len(content),
                sealed=self._db.vault.seal(content, label=_place(task_id, start)),
            )
            if here + len(content) < size:
                return False
            if not hmac.compare_digest(hashlib.sha256(self._join(task_id)).digest(), sha256):
                self._forget(task_id)
                wrong = True
            else:
                wrong = False
        if wrong:
            raise StorageError(
                "DOCUMENT_OTHER",
                "The document that came is not the one that the task names; it was thrown away.",
                hint="Report it to the operator of the cloud: the document may have been changed on the way.",
            )
        return True

    def read(self, task_id: str, sha256: bytes) -> bytes | None:
        """Return the whole document, checked anew; None where it is not all here."""
        known = self.get(task_id, sha256)
        if known is None:
            with self._db.writing():
                self._forget(task_id)  # of a task that was replaced: it is fetched anew
        if known is None or not known.complete:
            return None
        try:
            content = self._join(task_id)
        except StorageError as error:
            if error.code != "DATA_KEY_WRONG":
                raise
            content = b""
        if not hmac.compare_digest(hashlib.sha256(content).digest(), sha256):
            with self._db.writing():
                self._forget(task_id)
            return None
        return content

    def note_shown(self, task_id: str, sha256: bytes, *, at: datetime) -> None:
        """Note that the whole document was given out to be read, the first time."""
        with self._db.writing():
            self._db.run(
                "UPDATE documents SET shown = ? WHERE task_id = ? AND sha256 = ? AND shown IS NULL",
                text_of(at),
                task_id,
                sha256,
            )

    def _begin(self, task_id: str, sha256: bytes, size: int) -> None:
        self._forget(task_id)
        if not 0 < size <= MAX_DOCUMENT_BYTES:
            raise StorageError(
                "DOCUMENT_TOO_LARGE",
                f"A document of {size} bytes is not kept on a device; at most {MAX_DOCUMENT_BYTES} are.",
                hint="The person can sign this contract where the network is.",
            )
        row = self._db.one("SELECT coalesce(sum(size), 0) AS n FROM documents")
        if row is not None and row["n"] + size > MAX_DOCUMENTS_BYTES:
            raise StorageError(
                "DOCUMENTS_FULL",
                "The documents that wait here take all the room that they may have.",
                hint="Have contracts signed that wait, or withdrawn: their documents go with them.",
            )
        self._db.upsert("documents", task_id=task_id, sha256=sha256, size=size, shown=None)

    def _forget(self, task_id: str) -> None:
        self._db.run("DELETE FROM documents WHERE task_id = ?", task_id)
        self._db.run("DELETE FROM document_parts WHERE task_id = ?", task_id)

    def _join(self, task_id: str) -> bytes:
        rows = self._db.all(
            "SELECT start, sealed FROM document_parts WHERE task_id = ? ORDER BY start", task_id
        )
        unseal = self._db.vault.unseal
        return b"".join(unseal(row["sealed"], label=_place(task_id, row["start"])) for row in rows)


def _place(task_id: str, start: int) -> str:
    return f"document_parts/{task_id}/{start}"
