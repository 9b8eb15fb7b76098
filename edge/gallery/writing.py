"""Makes a new file, whole and durable, before it gets the name by which it is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_bytes

import numpy as np

from edge.files import PRIVATE_FILE, sync_folder
from edge.gallery.codes import RowCodes, empty_codes, put_rows
from edge.gallery.layout import (
    CHUNK_ROWS,
    HEADER_BYTES,
    HEADERS_BYTES,
    ID_BYTES,
    PAGE_BYTES,
    PAGE_ROWS,
    RECORD,
    Header,
    Records,
    Sealer,
    encode_chunk,
    encode_header,
    encode_page,
)
from edge.gallery.records import Model
from edge.gallery.table import NOBODY
from edge.gallery.vector_ir import ROWS

Tell = Callable[[int, int], None]
"""How many of how many are done."""

NEW_SUFFIX, OLD_SUFFIX = ".new", ".old"
FIRST_VERSION = 1


def new_header(*, model_sha256: bytes, model_name: str, count: int, version: int) -> Header:
    """Of a file of its own key."""
    return Header(token_bytes(ID_BYTES), model_sha256, model_name, count, version)


def write_file(
    path: Path, header: Header, key: bytes, records: Iterable[Records], *, tell: Tell | None = None
) -> Path:
    """Write ``header.count`` records, in the order of their ids and CHUNK_ROWS at a time, beside ``path``.

    Returns where they are, durable. Raises OSError.
    """
    beside = path.with_name(path.name + NEW_SUFFIX)
    beside.unlink(missing_ok=True)
    sealer = Sealer(key, header.file_id)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        write_all(descriptor, encode_header(header, sealer) * (HEADERS_BYTES // HEADER_BYTES), 0)
        for index, part in enumerate(records):
            _write_part(descriptor, header, index, part, sealer)
            if tell:
                tell(min(header.count, (index + 1) * CHUNK_ROWS), header.count)
        os.ftruncate(descriptor, header.journal_at)
        os.fsync(descriptor)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return beside


def make_empty(path: Path, key: bytes, model: Model) -> Path:
    """Write an empty file beside ``path``; errors as :func:`write_file`."""
    header = new_header(
        model_sha256=bytes.fromhex(model.sha256), model_name=model.name, count=0, version=FIRST_VERSION
    )
    return write_file(path, header, key, ())


def put_in_place(beside: Path, path: Path, *, forget: bool = True) -> None:
    """Let the new file be the one that counts; to ``forget``: the one before can be read no more, by any key.

    Where that is cut off, the one before keeps a name, for ``clear_beside``. Raises OSError.
    """
    old = path.with_name(path.name + OLD_SUFFIX)
    if forget and path.exists():
        forget_file(old, but=path)
        old.hardlink_to(path)
    beside.replace(path)
    sync_folder(path.parent)
    forget_file(old, but=path)


def clear_beside(path: Path) -> None:
    """Take away what a write of the gallery at ``path`` left that was cut off. Raises OSError."""
    path.with_name(path.name + NEW_SUFFIX).unlink(missing_ok=True)
    forget_file(path.with_name(path.name + OLD_SUFFIX), but=path)


def forget_file(name: Path, *, but: Path) -> None:
    """Let nobody read the file again: its id is overwritten, without which its key cannot be made.

    A second name of the file ``but`` is only taken away. No fault where there is none. Raises OSError.
    """
    if not name.exists():
        return
    if not (but.exists() and name.samefile(but)):
        descriptor = os.open(name, os.O_RDWR)
        try:
            os.pwrite(descriptor, token_bytes(HEADERS_BYTES), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    name.unlink()
    sync_folder(name.parent)


def write_all(descriptor: int, data: bytes, at: int) -> None:
    """Raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        at, view = at + written, view[written:]


def _write_part(descriptor: int, header: Header, index: int, part: Records, sealer: Sealer) -> None:
    at, _, rows = header.chunk_place(index)
    full = np.zeros(rows, RECORD)
    full[: len(part)] = part
    full["last_day"][len(part) :] = NOBODY
    codes = empty_codes(rows // ROWS)
    put_rows(codes, 0, RowCodes(*(part[name] for name in ("high", "low", "scale", "error4", "error8"))))
    directory = full["candidate"], full["last_day"], full["kind"]
    parts = (codes.blocks, codes.error8, codes.low, *directory)
    write_all(descriptor, encode_chunk(parts, index, sealer, rows=rows), at)
    first = index * CHUNK_ROWS // PAGE_ROWS
    pages = [
        encode_page(full[start : start + PAGE_ROWS], first + start // PAGE_ROWS, sealer)
        for start in range(0, rows, PAGE_ROWS)
    ]
    write_all(descriptor, b"".join(pages), header.pages_at + first * PAGE_BYTES)
