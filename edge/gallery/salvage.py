"""What of a file holds, and putting that into a new one. Reads everything, changes nothing but by ``repair``.

A template is lost with its page, and named by its chunk. A chunk that does not hold costs nothing: its pages
have all of it. Of a journal's frame that does not hold it is unknown what it did: people whom it added are
lost, people whom it removed are back, and what it replaced counts again. Frames behind it are found by heads
whose seals hold, in the order of their numbers; what is between two of them is looked through for the pages
of the frame that lost its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np

from edge.files import locked
from edge.gallery import broken, faults
from edge.gallery.damage import DamagedError, WrongKeyError
from edge.gallery.layout import (
    ALIGN,
    CHUNK_ROWS,
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    HEADERS_BYTES,
    MAX_FRAME_BYTES,
    PAGE_BYTES,
    PAGE_ROWS,
    RECORD,
    FrameHead,
    FrameKind,
    Header,
    Records,
    Sealer,
    check_frame_head,
    open_chunk,
    open_page,
    parse_header,
    parse_page,
    parse_put,
    parse_remove,
    was_cut_off,
)
from edge.gallery.reading import find_frame, find_frames, pread
from edge.gallery.records import uuids_of
from edge.gallery.table import NOBODY, Ids, Table
from edge.gallery.writing import Tell, new_header, put_in_place, write_file
from edge.sqlite import storage_errors

MAX_NAMED = 10_000
"""Lost candidates that a report names; it counts all."""

_EVENT = np.dtype([("candidate", "S16"), ("at", "<i8"), ("index", "<i8"), ("frame", "<i8"), ("lane", "i1")])
"""In the order of time: what is known of a candidate from here on, and where; ``lane``: GONE for nothing."""

_GONE = -1
_SEGMENT = -1


@dataclass(slots=True)
class Report:
    """``damaged``: parts that do not hold, by name. ``templates``: that hold and count.

    ``lost``: templates of the segment whose page does not hold; ``lost_candidates``: whose they are, as far
    as that is known (MAX_NAMED at most). ``journal_lost``: whether changes are lost of which nothing is
    known. ``cut_off``: bytes of a last write that was never finished; nobody was told that it was.
    """

    damaged: list[str] = field(default_factory=list)
    templates: int = 0
    lost: int = 0
    lost_candidates: list[UUID] = field(default_factory=list)
    journal_lost: bool = False
    cut_off: int = 0
    kept: Path | None = None

    @property
    def whole(self) -> bool:
        return not self.damaged


def verify(path: Path, key: bytes, tell: Tell | None = None) -> Report:
    """Read every byte of the gallery at ``path`` and say what holds.

    Raises:
        SetupError: GALLERY_MISSING.
        StorageError: GALLERY_KEY_WRONG, GALLERY_BUSY; GALLERY_FORMAT; GALLERY_DAMAGED where neither header
            holds: then nothing can be read.
    """
    with storage_errors(faults.STORE), _opened(path) as stack:
        descriptor = _descriptor(path, stack)
        return _Salvage(path, descriptor, key).look(tell)


def repair(path: Path, key: bytes, tell: Tell | None = None) -> Report:
    """Put all that holds into a new gallery in the place of the old one, which is kept beside it.

    Where everything holds, nothing is done. Errors as :func:`verify`; GALLERY_DAMAGED also where what held
    when it was looked at holds no more.
    """
    with faults.faults_of(path), _opened(path) as stack:
        descriptor = _descriptor(path, stack)
        salvage = _Salvage(path, descriptor, key)
        report = salvage.look(tell)
        if report.whole:
            return report
        old, places = salvage.header, salvage.places()
        header = new_header(
            model_sha256=old.model_sha256,
            model_name=old.model_name,
            count=len(places),
            version=old.version + salvage.frames + 1,
        )
        parts = (
            salvage.records(places[start : start + CHUNK_ROWS]) for start in range(0, len(places), CHUNK_ROWS)
        )
        beside = write_file(path, header, key, parts, tell=tell)
        report.kept = broken.keep(path)
        put_in_place(beside, path, forget=False)
        return report


class _Salvage:
    """What was read of one file. Errors as ``verify``."""

    def __init__(self, path: Path, descriptor: int, key: bytes) -> None:
        self._descriptor = descriptor
        self._report = Report()
        self._lost_ids: list[Ids] = []
        self._size = os.fstat(descriptor).st_size
        self._events: list[Records] = []
        self.frames = 0
        self.header, self._sealer = self._read_headers(path, key)

    def look(self, tell: Tell | None) -> Report:
        """Read chunks, pages and journal; what each candidate's last state is, is known afterwards."""
        header = self.header
        for index in range(header.chunks):
            self._look_at_chunk(index)
            if tell:
                tell(min(header.count, (index + 1) * CHUNK_ROWS), header.count)
        if self._size < header.journal_at:
            self._report.journal_lost = True
            self._report.damaged.append("the journal")
        self._look_at_journal()
        self._tell_lost()
        self._report.templates = len(self.places())
        return self._report

    def places(self) -> Records:
        """Where the newest record of each candidate is that was not removed, in the order of ids."""
        if not self._events:
            return np.empty(0, _EVENT)
        events = np.concatenate(self._events)
        order = np.argsort(events["candidate"], kind="stable")
        ids = events["candidate"][order]
        newest = order[np.append(ids[1:] != ids[:-1], True)]
        return np.asarray(events[newest][events[newest]["lane"] != _GONE])

    def records(self, places: Records) -> Records:
        """The records at these places."""
        records = np.empty(len(places), RECORD)
        last, page = (-1, -1), np.empty(0, RECORD)
        for place, (_, at, index, frame, lane) in enumerate(places.tolist()):
            if (at, index) != last:
                sealed = pread(self._descriptor, PAGE_BYTES, at)
                number = None if frame == _SEGMENT else frame
                page = parse_page(open_page(sealed, index, self._sealer, frame=number))
                last = (at, index)
            records[place] = page[lane]
        return records

    def _read_headers(self, path: Path, key: bytes) -> tuple[Header, Sealer]:
        found: tuple[Header, Sealer] | None = None
        wrong, forms = False, 0
        for copy in range(HEADERS_BYTES // HEADER_BYTES):
            try:
                found = parse_header(pread(self._descriptor, HEADER_BYTES, copy * HEADER_BYTES), key)
            except WrongKeyError:
                wrong = True
            except DamagedError as error:
                forms += error.part == "format"
                self._report.damaged.append(f"header {copy}")
        if found is None and wrong:
            raise faults.key_wrong(path)
        if found is None:
            raise faults.no_gallery(path) if forms > 1 else faults.damaged("both headers")
        return found

    def _look_at_chunk(self, index: int) -> None:
        """And at its pages. Ids come from the pages; the chunk names those of pages that do not hold."""
        header, (at, size, rows) = self.header, self.header.chunk_place(index)
        table, named = Table(rows, rows, room=0), True
        try:
            open_chunk(pread(self._descriptor, size, at), index, self._sealer, table.chunk(0))
        except DamagedError as error:
            self._report.damaged.append(error.part)
            named = False
        first = index * CHUNK_ROWS // PAGE_ROWS
        counting = min(rows, header.count - index * CHUNK_ROWS)
        for page in range(rows // PAGE_ROWS):
            place = header.pages_at + (first + page) * PAGE_BYTES
            lanes = min(PAGE_ROWS, counting - page * PAGE_ROWS)
            try:
                sealed = pread(self._descriptor, PAGE_BYTES, place)
                records = parse_page(open_page(sealed, first + page, self._sealer))
                self._note(records[: max(0, lanes)], place, first + page, _SEGMENT)
            except DamagedError as error:
                self._report.damaged.append(error.part)
                self._report.lost += max(0, lanes)
                if lanes > 0 and named:
                    self._lost_ids.append(table.ids[page * PAGE_ROWS :][:lanes])

    def _tell_lost(self) -> None:
        """Whom the journal replaced or removed has lost nothing."""
        if self._lost_ids:
            lost = np.concatenate(self._lost_ids)
            later = np.isin(lost, np.concatenate([one["candidate"] for one in self._events]))
            self._report.lost -= int(later.sum())
            self._report.lost_candidates = list(uuids_of(lost[~later][:MAX_NAMED]))

    def _note(self, records: Records, at: int, index: int, frame: int) -> None:
        events = np.zeros(len(records), _EVENT)
        events["candidate"], events["at"], events["index"] = records["candidate"], at, index
        events["frame"] = frame
        events["lane"] = np.where(records["last_day"] == NOBODY, _GONE, np.arange(len(records)))
        self._events.append(events)

    def _look_at_journal(self) -> None:
        at, expected = self.header.journal_at, 0
        while at < self._size:
            found = self._next_frame(at, expected)
            if found is None:
                self._judge_rest(at, expected)
                return
            place, head = found
            if place != at or head.number != expected:
                self._note_headless(at, place, expected)
                self._report.journal_lost = True
                self._report.damaged.append(f"frames {expected} to {max(expected, head.number - 1)}")
            if place + head.length > self._size:
                self._report.cut_off = self._size - place
                return
            if not self._look_at_frame(place, head):
                return
            at, expected = place + head.length, head.number + 1
            self.frames = expected

    def _next_frame(self, at: int, expected: int) -> tuple[int, FrameHead] | None:
        """The next one whose head holds. Anybody can write heads without a seal, and old frames once more."""
        for place, head in find_frames(self._descriptor, at, self._size, self.header.file_id):
            try:
                check_frame_head(pread(self._descriptor, FRAME_HEAD_BYTES, place), head, self._sealer)
            except DamagedError:
                continue
            if head.number >= expected:
                return place, head
        return None

    def _judge_rest(self, at: int, expected: int) -> None:
        rest = self._size - at
        begun = any(pread(self._descriptor, FRAME_HEAD_BYTES, at))
        if rest < FRAME_HEAD_BYTES or not (begun or self._find_frame(at + ALIGN)):
            self._report.cut_off = rest
        else:
            self._note_headless(at, self._size, expected)
            self._report.journal_lost = True
            self._report.damaged.append(f"frames from {expected} on")

    def _look_at_frame(self, at: int, head: FrameHead) -> bool:
        """False where the journal ends here, as the frame's write was cut off."""
        frame = pread(self._descriptor, head.length, at)
        try:
            if head.kind is FrameKind.REMOVE:
                self._note_gone(parse_remove(frame, head, self._sealer))
            else:
                parse_put(frame, head, self._sealer)
        except DamagedError as error:
            if was_cut_off(frame, at) and not self._find_frame(at + ALIGN):
                self._report.cut_off = self._size - at
                return False
            self._report.journal_lost = True
            self._report.damaged.append(error.part)
        if head.kind is FrameKind.PUT:
            self._note_pages(frame, at, head.number)
        return True

    def _find_frame(self, at: int) -> bool:
        """Whether anything behind ``at`` looks like a frame, as it would to who opens the gallery."""
        return find_frame(self._descriptor, at, self._size, self.header.file_id) is not None

    def _note_headless(self, at: int, end: int, number: int) -> None:
        """What a frame may have put whose head does not hold: its pages are sealed with its number."""
        frame = pread(self._descriptor, min(end - at, MAX_FRAME_BYTES), at)
        self._note_pages(frame, at, number)

    def _note_pages(self, frame: bytes, at: int, number: int) -> None:
        """Those that hold, also of a frame that does not hold as a whole."""
        for index, start in enumerate(range(FRAME_HEAD_BYTES, len(frame) - PAGE_BYTES + 1, PAGE_BYTES)):
            try:
                sealed = frame[start : start + PAGE_BYTES]
                records = parse_page(open_page(sealed, index, self._sealer, frame=number))
            except DamagedError:
                continue
            filled = records[records["scale"] != 0]  # of a template, never zero; the last page may have room
            self._note(filled, at + start, index, number)

    def _note_gone(self, ids: Ids) -> None:
        events = np.zeros(len(ids), _EVENT)
        events["candidate"], events["lane"] = ids, _GONE
        self._events.append(events)


def _opened(path: Path) -> ExitStack:
    stack = ExitStack()
    try:
        stack.enter_context(locked(path.with_name(path.name + ".lock"), wait=False))
    except BlockingIOError:
        raise faults.busy(path) from None
    except FileNotFoundError:
        raise faults.missing(path) from None
    return stack


def _descriptor(path: Path, stack: ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise faults.missing(path) from None
    stack.callback(os.close, descriptor)
    return descriptor


def changes_of(report: Report) -> Iterator[str]:
    """What a person has to do about what is lost, in sentences."""
    if report.lost:
        yield f"{report.lost} templates are lost: these people must come again."
    if report.journal_lost:
        yield "Changes are lost of which nothing is known: look through who was added or removed lately."
