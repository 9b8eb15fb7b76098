"""The people that this device knows by their faces, each under a pseudonym.

    with Gallery.open(path, key) as gallery:
        gallery.add([Entry(candidate_id, embedding)])      # durable when it returns
        hits = gallery.search([probe], k=5)                # the exact answer; see edge.gallery.search

One process at a time. Codes and pseudonyms are in memory (154 bytes a template); the templates stay in the
file, encrypted, and only those of candidates are read. What is removed is found no more at once, and is gone
from the file with the next compaction, which comes by itself when the journal has grown.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Self
from uuid import UUID

import numpy as np

from edge.errors import StorageError
from edge.files import locked, make_private_folder
from edge.gallery import faults
from edge.gallery.codes import Floats
from edge.gallery.layout import CHUNK_ROWS, MAX_BATCH, Records
from edge.gallery.layout import encode_put as _encode_put
from edge.gallery.layout import encode_remove as _encode_remove
from edge.gallery.reading import Opened, open_file, read_records, read_templates
from edge.gallery.records import (
    Entry,
    Found,
    Kind,
    Listed,
    Model,
    Rowset,
    check_templates,
    day_of,
    days_since_1970,
    ids_of,
    to_records,
    uuids_of,
)
from edge.gallery.search import MAX_K, MAX_QUERIES, Hit, search, search_above
from edge.gallery.table import Ids, Rows
from edge.gallery.writing import (
    Tell,
    clear_beside,
    make_empty,
    new_header,
    put_in_place,
    write_all,
    write_file,
)
from edge.model import Embedding
from edge.sqlite import storage_errors

MAX_TEMPLATES = 4_000_000
"""More would need more memory than these devices have: 616 megabytes."""

JOURNAL_ROWS = 16_384
"""The journal may have so many rows, or a quarter of the segment's, before it is compacted."""

JOURNAL_FRAMES = 4096
"""Each is read by itself when the gallery is opened: 0.1 ms."""

LOCK_SUFFIX = ".lock"

_log = logging.getLogger(__name__)


class Gallery:
    """Open with :meth:`open` or :meth:`create`. Every method may raise StorageError; searches may run in
    several threads, but not beside a change.
    """

    def __init__(self, path: Path, key: bytes, *, threads: int, held: ExitStack) -> None:
        self._path = path
        self._key = key
        self._threads = threads
        self._held = held
        self._descriptor = -1
        self._file: Opened | None = None
        self._failed = False

    @classmethod
    def create(cls, path: Path, key: bytes, *, model: Model, threads: int = 1) -> Gallery:
        """Make an empty gallery for templates of one model.

        Raises:
            SetupError: GALLERY_EXISTS.
            StorageError: GALLERY_BUSY, GALLERY_FULL, GALLERY_READONLY and the like.
        """
        with storage_errors(faults.STORE):
            make_private_folder(path.parent)
            with _locked(path):
                if path.exists():
                    raise faults.exists(path)
                put_in_place(make_empty(path, key, model), path)
        return cls.open(path, key, threads=threads)

    @classmethod
    def open(cls, path: Path, key: bytes, *, today: date | None = None, threads: int = 1) -> Gallery:
        """Open the gallery at ``path``. ``today``: who has expired by then is not found.

        Raises:
            SetupError: GALLERY_MISSING.
            StorageError: GALLERY_BUSY, GALLERY_KEY_WRONG, GALLERY_DAMAGED, GALLERY_FORMAT and the like.
        """
        with ExitStack() as held, storage_errors(faults.STORE):
            if not path.exists():
                raise faults.missing(path)
            held.enter_context(_locked(path))
            try:
                clear_beside(path)
            except OSError as error:  # a full disk, say: the next opening tries again
                _log.warning("what a write that was cut off left cannot be cleared: %s", error.strerror)
            gallery = cls(path, key, threads=threads, held=held.pop_all())
            try:
                gallery._load()
                if gallery.cut_off:
                    _log.warning("%d bytes that were never whole are left out", gallery.cut_off)
                if today is not None:
                    gallery.hide_expired(today)
            except BaseException:
                gallery.close()
                raise
        return gallery

    def close(self) -> None:
        """Let other processes have it; no fault where it is closed."""
        self._let_go()
        self._held.close()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1  # once closed, a number is somebody else's
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> Model:
        header = self._opened.header
        return Model(header.model_name, header.model_sha256.hex())

    @property
    def version(self) -> int:
        """Grows with each change, and never else."""
        return self._opened.header.version + self._opened.frames

    @property
    def size(self) -> int:
        """Templates that can be found."""
        return self._opened.table.live

    @property
    def cut_off(self) -> int:
        """Bytes of a write that was not finished when the gallery was last used; nobody was told it was."""
        return self._opened.cut_off

    @property
    def memory_bytes(self) -> int:
        return self._opened.table.nbytes

    @property
    def file_bytes(self) -> int:
        with storage_errors(faults.STORE):
            return os.fstat(self._descriptor).st_size

    @property
    def journal_rows(self) -> int:
        """Rows that the next compaction puts in order."""
        return self._opened.table.rows - self._opened.header.rows

    def people(self) -> Iterator[Listed]:
        """Everybody, in the order of pseudonyms."""
        table = self._opened.table
        rows = table.counting()
        columns = table.kinds[rows], table.last_days[rows], table.hidden[rows]
        for candidate, kind, day, hidden in zip(uuids_of(table.ids[rows]), *columns, strict=True):
            yield Listed(candidate, Kind(int(kind)), day_of(int(day)), bool(hidden))

    # Changes

    def add(self, entries: Sequence[Entry]) -> int:
        """Add people, or put new templates in the place of those they have; return how many are new.

        Durable when it returns; all of them or none.

        Raises:
            SetupError: MODEL_MISMATCH.
            InputError: TEMPLATE_INVALID, GALLERY_BATCH or GALLERY_TOO_MANY.
        """
        return self.add_rows(Rowset.of(entries, self.model))

    def add_rows(self, rows: Rowset) -> int:
        """As :meth:`add`, for templates that are known to be of this gallery's model."""
        records = to_records(rows)
        opened = self._opened
        if opened.table.live + len(records) > MAX_TEMPLATES:
            raise faults.too_many(MAX_TEMPLATES)
        at = self._append(_encode_put(records, opened.frames, opened.sealer, opened.header.file_id))
        opened.places.note(opened.table.rows, at, opened.frames - 1)
        replaced = opened.table.put(records)
        self._compact_if_grown()
        return int((replaced < 0).sum())

    def remove(self, candidates: Sequence[UUID]) -> int:
        """Let people be found no more; return how many there were. Durable when it returns."""
        ids = np.unique(ids_of(candidates)) if candidates else np.empty(0, "S16")
        rows = self._opened.table.find(ids)
        return self._remove(rows[rows >= 0])

    def expire(self, today: date) -> int:
        """Remove all whose last day is over by then, and nobody else; return how many."""
        return self._remove(self._opened.table.expired(days_since_1970(today)))

    def hide_expired(self, today: date) -> None:
        """Find those no more whose last day is over, without removing them: the clock may be wrong."""
        table = self._opened.table
        rows = table.expired(days_since_1970(today))
        table.hide(rows[~table.hidden[rows]])

    def compact(self, tell: Tell | None = None) -> None:
        """Write a new file without what was removed, and let it take the old one's place.

        The old one counts until the new one is durable, and can then be read no more, by any key.

        Raises:
            StorageError: GALLERY_FULL, GALLERY_DAMAGED and the like; nothing is lost.
        """
        self._check_usable()
        opened = self._opened
        rows = opened.table.counting()
        hidden = opened.table.ids[rows[opened.table.hidden[rows]]]
        header = new_header(
            model_sha256=opened.header.model_sha256,
            model_name=opened.header.model_name,
            count=len(rows),
            version=self.version,
        )
        with faults.faults_of(self._path):
            parts = (
                self._records(rows[start : start + CHUNK_ROWS]) for start in range(0, len(rows), CHUNK_ROWS)
            )
            beside = write_file(self._path, header, self._key, parts, tell=tell)
            del opened, parts
            self._file = None  # its memory is for the new one
            put_in_place(beside, self._path)
            self._load()
        self._opened.table.hide(self._opened.table.find(hidden))

    # Searches

    def search(self, probes: Sequence[Embedding], *, k: int) -> list[list[Found]]:
        """The ``k`` most alike for each probe, best first: exact. Equal scores: the longest known first.

        Raises:
            SetupError: MODEL_MISMATCH.
            InputError: TEMPLATE_INVALID or GALLERY_QUESTION.
        """
        if not 1 <= k <= MAX_K:
            raise faults.bad_question(f"k is 1 to {MAX_K}")
        queries = self._queries(probes)
        with faults.faults_of(self._path):
            return self._found(
                search(self._opened.table.codes, self._templates, queries, k=k, threads=self._threads)
            )

    def search_above(self, probes: Sequence[Embedding], *, threshold: float) -> list[list[Found]]:
        """All whose score is ``threshold`` or more, for each probe, best first: exact.

        Raises:
            SetupError: MODEL_MISMATCH.
            InputError: TEMPLATE_INVALID or GALLERY_QUESTION.
        """
        if not -1.0 <= threshold <= 1.0:
            raise faults.bad_question("a threshold is -1 to 1")
        queries = self._queries(probes)
        table = self._opened.table
        with faults.faults_of(self._path):
            hits = search_above(
                table.codes, self._templates, queries, threshold=threshold, threads=self._threads
            )
            return self._found(hits)

    def _queries(self, probes: Sequence[Embedding]) -> Floats:
        if not 1 <= len(probes) <= MAX_QUERIES:
            raise faults.bad_question(f"1 to {MAX_QUERIES} faces at once")
        self._check_usable()
        for probe in probes:
            self.model.check(probe)
        try:
            queries = np.array([probe.vector for probe in probes], np.float32)
        except ValueError:
            raise faults.bad_template() from None
        check_templates(queries)
        return queries

    def _found(self, hits: list[list[Hit]]) -> list[list[Found]]:
        table = self._opened.table
        answers = []
        for one in hits:
            rows = np.array([hit.row for hit in one], np.int64)
            ids, kinds = uuids_of(table.ids[rows]), table.kinds[rows]
            answers.append(
                [
                    Found(candidate, hit.score, Kind(int(kind)))
                    for candidate, hit, kind in zip(ids, one, kinds, strict=True)
                ]
            )
        return answers

    def _templates(self, rows: Rows) -> Floats:
        return read_templates(self._descriptor, self._opened, rows)

    def _records(self, rows: Rows) -> Records:
        return read_records(self._descriptor, self._opened, rows)

    # The file

    @property
    def _opened(self) -> Opened:
        """What was read of the file."""
        if self._file is None:
            raise faults.must_reopen()
        return self._file

    def _load(self) -> None:
        """Take the file as it is now; what was held before is let go."""
        self._let_go()
        self._descriptor = os.open(self._path, os.O_RDWR)
        with faults.faults_of(self._path):
            self._file = open_file(self._descriptor, self._key, room=JOURNAL_ROWS + MAX_BATCH)

    def _append(self, frame: bytes) -> int:
        """Make a frame durable behind all others; return where it is."""
        self._check_usable()
        opened, at = self._opened, self._opened.end
        with faults.faults_of(self._path):
            try:
                if opened.cut_off:
                    os.ftruncate(self._descriptor, at)
                    opened.cut_off = 0
                write_all(self._descriptor, frame, at)
                os.fdatasync(self._descriptor)
            except BaseException:
                self._failed = True  # after a failed sync nobody knows what the disk has
                with suppress(OSError):
                    os.ftruncate(self._descriptor, at)
                raise
        opened.end, opened.frames = at + len(frame), opened.frames + 1
        return at

    def _remove(self, rows: Rows) -> int:
        opened = self._opened
        for start in range(0, len(rows), MAX_BATCH):
            some = rows[start : start + MAX_BATCH]
            ids: Ids = opened.table.ids[some]
            self._append(_encode_remove(ids, opened.frames, opened.sealer, opened.header.file_id))
            opened.table.drop(some)
        if len(rows):
            self._compact_if_grown()
        return len(rows)

    def _compact_if_grown(self) -> None:
        """What was asked for is done already: that the file could not be put in order is only told."""
        opened = self._opened
        most = max(JOURNAL_ROWS, opened.header.rows // 4)
        if self.journal_rows <= most and opened.frames <= JOURNAL_FRAMES:
            return
        try:
            self.compact()
        except StorageError as error:
            _log.warning("the gallery's journal stays as long as it is: %s", error.code)

    def _check_usable(self) -> None:
        if self._failed or self._file is None:
            raise faults.must_reopen()
        if self._descriptor < 0:
            raise ValueError("the gallery is closed")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path.with_name(path.name + LOCK_SUFFIX), wait=False))
        except BlockingIOError:
            raise faults.busy(path) from None
        yield
