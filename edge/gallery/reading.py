"""Opens a file: what a search needs goes into memory, everything else stays where it is."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edge.gallery.codes import SIZE, Floats
from edge.gallery.damage import DamagedError
from edge.gallery.layout import (
    ALIGN,
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    HEADERS_BYTES,
    ID_BYTES,
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
    parse_frame_head,
    parse_header,
    parse_put,
    parse_remove,
    was_cut_off,
)
from edge.gallery.table import Rows, Table

_TEMPLATE_AT = int(RECORD.fields["template"][1]) if RECORD.fields else 0
_SEARCHED = 1 << 20
"""Bytes that are looked through at once for a frame behind one that does not hold."""


@dataclass(slots=True)
class Frames:
    """Where the records of the journal's rows are, by first row; frames without records are not in it."""

    first_rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def note(self, first_row: int, at: int, number: int) -> None:
        self.first_rows.append(first_row)
        self.places.append(at)
        self.numbers.append(number)


@dataclass(slots=True)
class Opened:
    """``end``: where the next frame begins. ``frames``: how many there are. ``cut_off``: bytes behind them
    whose write was never finished.
    """

    header: Header
    sealer: Sealer
    table: Table
    places: Frames
    frames: int
    end: int
    cut_off: int


def read_headers(descriptor: int, key: bytes) -> tuple[Header, Sealer]:
    """Read both copies, which must be the same.

    Raises:
        DamagedError, WrongKeyError: as ``parse_header``; OSError.
    """
    data = pread(descriptor, HEADERS_BYTES, 0)
    header, sealer = parse_header(data[:HEADER_BYTES], key)
    if data[HEADER_BYTES:] != data[:HEADER_BYTES]:
        raise DamagedError("the second header")
    return header, sealer


def open_file(descriptor: int, key: bytes, *, room: int) -> Opened:
    """Read chunks and journal. ``room``: rows that may come besides a quarter of those that there are.

    Raises:
        DamagedError, WrongKeyError, OSError.
    """
    header, sealer = read_headers(descriptor, key)
    if os.fstat(descriptor).st_size < header.journal_at:
        raise DamagedError("the file ends too early")
    table = Table(header.rows, header.count, room=max(room, header.rows // 4))
    for index in range(header.chunks):
        at, size, _ = header.chunk_place(index)
        open_chunk(pread(descriptor, size, at), index, sealer, table.chunk(index))
    opened = Opened(header, sealer, table, Frames(), 0, header.journal_at, 0)
    _read_journal(descriptor, opened)
    return opened


def read_records(descriptor: int, opened: Opened, rows: Rows) -> Records:
    """The records of rows, in their order.

    Raises:
        DamagedError: page or frame; OSError.
    """
    parts = [part for part, _ in _read(descriptor, opened, rows)]
    return np.frombuffer(b"".join(parts), RECORD)


def read_templates(descriptor: int, opened: Opened, rows: Rows) -> Floats:
    """Of records, only the templates; errors as :func:`read_records`."""
    templates = np.empty((len(rows), SIZE), np.float32)
    for part, place in _read(descriptor, opened, rows):
        templates[place] = np.frombuffer(part, "<f4", SIZE, _TEMPLATE_AT)
    return templates


def _read(descriptor: int, opened: Opened, rows: Rows) -> Iterator[tuple[bytes, int]]:
    """The bytes of each record, and which one it is; a page is read once for rows that follow each other."""
    segment, pages_at = opened.header.rows, opened.header.pages_at
    ids, last, plain = opened.table.ids[rows].tobytes(), -1, b""
    for place, row in enumerate(rows.tolist()):
        if row < segment:
            number, page = None, row // PAGE_ROWS
            at, lane = pages_at + page * PAGE_BYTES, row % PAGE_ROWS
        else:
            frame = bisect_right(opened.places.first_rows, row) - 1
            page, lane = divmod(row - opened.places.first_rows[frame], PAGE_ROWS)
            number = opened.places.numbers[frame]
            at = opened.places.places[frame] + FRAME_HEAD_BYTES + page * PAGE_BYTES
        if at != last:
            plain = open_page(pread(descriptor, PAGE_BYTES, at), page, opened.sealer, frame=number)
            last = at
        part = plain[lane * RECORD.itemsize : (lane + 1) * RECORD.itemsize]
        if part[:ID_BYTES] != ids[place * ID_BYTES : (place + 1) * ID_BYTES]:
            raise DamagedError("pages are not those of their chunks")
        yield part, place


def find_frame(descriptor: int, at: int, size: int, file_id: bytes) -> tuple[int, FrameHead] | None:
    """The next place, from ``at`` on, where a frame seems to begin. Raises OSError."""
    return next(find_frames(descriptor, at, size, file_id), None)


def find_frames(descriptor: int, at: int, size: int, file_id: bytes) -> Iterator[tuple[int, FrameHead]]:
    """All places from ``at`` on where a frame seems to begin; no seal is looked at. Raises OSError."""
    for start in range(at, size, _SEARCHED):
        data = pread(descriptor, min(_SEARCHED + FRAME_HEAD_BYTES, size - start), start)
        for offset in range(0, min(_SEARCHED, len(data)), ALIGN):
            head = parse_frame_head(data[offset : offset + FRAME_HEAD_BYTES], file_id)
            if head is not None:
                yield start + offset, head


def pread(descriptor: int, size: int, at: int) -> bytes:
    """Read all of it, or as far as the file goes. Raises OSError."""
    data = os.pread(descriptor, size, at)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), at + len(data))
        if not more:
            break
        data += more
    return data


def _read_journal(descriptor: int, opened: Opened) -> None:
    """Carry out what the frames say, up to where the last write was cut off, if it was.

    A frame is cut off where the file ends before it does, or where whole sectors of it were never written;
    and nothing can be behind it, as one is durable before the next is begun. Else it is damaged.
    """
    size, file_id = os.fstat(descriptor).st_size, opened.header.file_id
    while opened.end < size:
        at = opened.end
        start = pread(descriptor, FRAME_HEAD_BYTES, at)
        head = parse_frame_head(start, file_id)
        if head is None:
            if len(start) == FRAME_HEAD_BYTES and (
                any(start) or find_frame(descriptor, at + ALIGN, size, file_id)
            ):
                raise DamagedError(f"frame {opened.frames}")
            break
        if head.number != opened.frames:
            raise DamagedError(f"frame {opened.frames}")
        frame = pread(descriptor, head.length, at)
        if len(frame) < head.length:
            check_frame_head(start, head, opened.sealer)
            break
        try:
            _carry_out(frame, head, at, opened)
        except DamagedError:
            if was_cut_off(frame, at) and not find_frame(descriptor, at + ALIGN, size, file_id):
                break
            raise
        opened.end, opened.frames = at + head.length, opened.frames + 1
    opened.cut_off = size - opened.end


def _carry_out(frame: bytes, head: FrameHead, at: int, opened: Opened) -> None:
    if head.kind is FrameKind.PUT:
        records = parse_put(frame, head, opened.sealer)
        opened.places.note(opened.table.rows, at, head.number)
        opened.table.put(records)
    else:
        rows = opened.table.find(parse_remove(frame, head, opened.sealer))
        opened.table.drop(rows[rows >= 0])
