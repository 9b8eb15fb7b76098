"""The gallery's file: a segment that never changes, and a journal behind it.

    headers   the same 4096 bytes twice: random file id, model, number of templates in the segment
    chunks    4096 templates each: codes and directory, what a search and a look-up read; one seal each
    pages     8 templates each, with all that is known of them; one seal each
    journal   what came since: frames, each with a head that tells its length, and sealed with its number

Everything is AES-256-GCM (NIST SP 800-38D) under a key made of the device's key and the file id (HKDF, RFC
5869), with the place of each part as associated data: nothing can be moved, exchanged or left out without
being noticed, except that the journal can be cut off, which is what a power cut does. Compaction writes a new
file with a new id, so no two files share a key. Numbers are little endian.

A chunk can be made again from its pages. A page that is lost is named by its chunk.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from secrets import token_bytes
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge.gallery.codes import HALF, SIZE
from edge.gallery.damage import DamagedError, WrongKeyError
from edge.gallery.vector_ir import BLOCK_BYTES, ROWS

MAGIC = b"VFGALRY1"
KEY_BYTES = 32
ID_BYTES = 16
CHUNK_ROWS = 4096
PAGE_ROWS = 8
MAX_BATCH = 4096
"""Entries of one frame: three megabytes, written and made durable at once."""

HEADER_BYTES = 4096
HEADERS_BYTES = 2 * HEADER_BYTES
_NONCE = 12
SEAL = _NONCE + 16
_CHECK = 32
_FIELDS = struct.Struct("<8s16s32s64sQQ")
_FILLER = bytes(HEADER_BYTES - _FIELDS.size - SEAL - _CHECK)
_MODEL_NAME_BYTES = 64

RECORD = np.dtype(
    [
        ("candidate", "S16"),
        ("last_day", "<i4"),
        ("kind", "u1"),
        ("spare", "u1", (3,)),
        ("error8", "<f4"),
        ("scale", "<f2"),
        ("error4", "<f2"),
        ("high", "u1", (HALF,)),
        ("low", "u1", (HALF,)),
        ("template", "<f4", (SIZE,)),
    ]
)
"""All that is known of a template; ``scale`` to ``low`` are its codes, see edge.gallery.codes.RowCodes."""

NO_DAY = 0
"""Of an entry that does not expire; else ``last_day`` is the last on which it counts, since 1970."""

ALIGN = 64
"""Parts are multiples of it, so that no sector of a disk holds only a few bytes of a part."""

_SECTOR = 512
FRAME_HEAD_BYTES = 64
_FRAME = struct.Struct("<4sIB3xIQ")
_FRAME_MAGIC = b"VFJ1"
_FRAME_CHECK = FRAME_HEAD_BYTES - SEAL - _FRAME.size

Records = npt.NDArray[np.void]


def _padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


PAGE_BYTES = _padded(PAGE_ROWS * RECORD.itemsize + SEAL)
MAX_FRAME_BYTES = FRAME_HEAD_BYTES + MAX_BATCH // PAGE_ROWS * PAGE_BYTES
_BLOCK_PLAIN = BLOCK_BYTES + 4 + ROWS * (HALF + ID_BYTES + 4 + 1)


class FrameKind(IntEnum):
    """What a frame of the journal does."""

    PUT = 1  # records that are new, or stand in the place of those with their ids
    REMOVE = 2  # ids


@dataclass(frozen=True, slots=True)
class Header:
    """``count``: templates in the segment, in the order of their ids. ``version``: changes before it."""

    file_id: bytes
    model_sha256: bytes
    model_name: str
    count: int
    version: int

    @property
    def rows(self) -> int:
        """Places in the segment: whole blocks, the last of which may have empty ones."""
        return -(-self.count // ROWS) * ROWS

    @property
    def chunks(self) -> int:
        return -(-self.rows // CHUNK_ROWS)

    @property
    def pages(self) -> int:
        return self.rows // PAGE_ROWS

    def chunk_place(self, index: int) -> tuple[int, int, int]:
        """Where a chunk is, its size there, and its rows."""
        rows = min(CHUNK_ROWS, self.rows - index * CHUNK_ROWS)
        return HEADERS_BYTES + index * chunk_bytes(CHUNK_ROWS), chunk_bytes(rows), rows

    @property
    def pages_at(self) -> int:
        at, size, _ = self.chunk_place(self.chunks - 1) if self.rows else (HEADERS_BYTES, 0, 0)
        return at + size

    @property
    def journal_at(self) -> int:
        return self.pages_at + self.pages * PAGE_BYTES


def chunk_bytes(rows: int) -> int:
    """Of a chunk with so many rows, a multiple of ROWS."""
    return _padded(rows // ROWS * _BLOCK_PLAIN + SEAL)


class Sealer:
    """Seals and opens the parts of one file; ``key``: 32 bytes of the device."""

    def __init__(self, key: bytes, file_id: bytes) -> None:
        derived = HKDF(SHA256(), KEY_BYTES, salt=file_id, info=b"verifield gallery").derive(key)
        self._cipher = AESGCM(derived)

    def seal(self, place: bytes, plain: bytes, size: int) -> bytes:
        """Fill ``size`` bytes: what is left over is sealed as zeros."""
        nonce = token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain.ljust(size - SEAL, b"\0"), place)

    def open(self, place: bytes, sealed: bytes, part: str) -> bytes:
        """Raises DamagedError with ``part``."""
        if len(sealed) < SEAL:
            raise DamagedError(part)
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except InvalidTag:
            raise DamagedError(part) from None


def encode_header(header: Header, sealer: Sealer) -> bytes:
    """One of the two copies at the beginning of a file."""
    name = header.model_name.encode()
    if len(name) > _MODEL_NAME_BYTES:
        raise ValueError("the model's name is too long")
    fields = _FIELDS.pack(MAGIC, header.file_id, header.model_sha256, name, header.count, header.version)
    body = fields + sealer.seal(b"header" + fields, _FILLER, len(_FILLER) + SEAL)
    return body + hashlib.sha256(body).digest()


def parse_header(data: bytes, key: bytes) -> tuple[Header, Sealer]:
    """Read one copy of the header.

    Raises:
        DamagedError: format: it is no gallery; header: it was changed.
        WrongKeyError: it is whole, and sealed with another key.
    """
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise DamagedError("format")
    body, check = data[: HEADER_BYTES - _CHECK], data[HEADER_BYTES - _CHECK : HEADER_BYTES]
    if hashlib.sha256(body).digest() != check:
        raise DamagedError("header")
    fields = body[: _FIELDS.size]
    _, file_id, model_sha256, name, count, version = _FIELDS.unpack(fields)
    sealer = Sealer(key, file_id)
    try:
        sealer.open(b"header" + fields, body[_FIELDS.size :], "header")
    except DamagedError:
        raise WrongKeyError from None
    return Header(file_id, model_sha256, name.rstrip(b"\0").decode(), count, version), sealer


def encode_chunk(parts: tuple[npt.NDArray[Any], ...], index: int, sealer: Sealer, *, rows: int) -> bytes:
    """Chunk ``index``: blocks, error8, low, ids, last days, kinds of its rows."""
    plain = b"".join(one.tobytes() for one in parts)
    return sealer.seal(_place(b"chunk", index), plain, chunk_bytes(rows))


def open_chunk(sealed: bytes, index: int, sealer: Sealer, into: tuple[npt.NDArray[Any], ...]) -> None:
    """Put what chunk ``index`` holds into arrays as :func:`encode_chunk` has them.

    Raises:
        DamagedError: chunk.
    """
    plain = sealer.open(_place(b"chunk", index), sealed, f"chunk {index}")
    at = 0
    for target in into:
        target[...] = np.frombuffer(plain, target.dtype, target.size, at).reshape(target.shape)
        at += target.nbytes


def encode_page(records: Records, index: int, sealer: Sealer, *, frame: int | None = None) -> bytes:
    """Page ``index`` of the segment, or of a frame: at most PAGE_ROWS records."""
    return sealer.seal(_page_place(index, frame), records.tobytes(), PAGE_BYTES)


def open_page(sealed: bytes, index: int, sealer: Sealer, *, frame: int | None = None) -> bytes:
    """What :func:`parse_page` takes.

    Raises:
        DamagedError: page, or frame.
    """
    part = f"page {index}" if frame is None else f"frame {frame}"
    return sealer.open(_page_place(index, frame), sealed, part)


def parse_page(plain: bytes) -> Records:
    """The PAGE_ROWS records of a page; those that it was not filled with are zero."""
    return np.frombuffer(plain, RECORD, PAGE_ROWS)


@dataclass(frozen=True, slots=True)
class FrameHead:
    """``count``: records or ids in the frame ``number``, which counts from 0."""

    kind: FrameKind
    count: int
    number: int

    @property
    def length(self) -> int:
        """Bytes of the whole frame."""
        if self.kind is FrameKind.PUT:
            return FRAME_HEAD_BYTES + -(-self.count // PAGE_ROWS) * PAGE_BYTES
        return FRAME_HEAD_BYTES + _padded(self.count * ID_BYTES + SEAL)


def encode_put(records: Records, number: int, sealer: Sealer, file_id: bytes) -> bytes:
    """A frame of at most MAX_BATCH records."""
    head = FrameHead(FrameKind.PUT, len(records), number)
    pages = [
        encode_page(records[start : start + PAGE_ROWS], start // PAGE_ROWS, sealer, frame=number)
        for start in range(0, len(records), PAGE_ROWS)
    ]
    return _encode_head(head, sealer, file_id) + b"".join(pages)


def encode_remove(ids: npt.NDArray[np.bytes_], number: int, sealer: Sealer, file_id: bytes) -> bytes:
    """A frame of at most MAX_BATCH ids."""
    head = FrameHead(FrameKind.REMOVE, len(ids), number)
    body = sealer.seal(_place(b"ids", number), ids.tobytes(), head.length - FRAME_HEAD_BYTES)
    return _encode_head(head, sealer, file_id) + body


def parse_frame_head(data: bytes, file_id: bytes) -> FrameHead | None:
    """What a frame's first bytes say, if a frame begins here; its seal is checked with its content."""
    if len(data) < FRAME_HEAD_BYTES:
        return None
    plain, check = data[: _FRAME.size], data[_FRAME.size : _FRAME.size + _FRAME_CHECK]
    magic, length, kind, count, number = _FRAME.unpack(plain)
    if magic != _FRAME_MAGIC or _frame_check(plain, file_id) != check:
        return None
    if kind not in set(FrameKind) or not 0 < count <= MAX_BATCH:
        return None
    head = FrameHead(FrameKind(kind), count, number)
    return head if head.length == length else None


def check_frame_head(data: bytes, head: FrameHead, sealer: Sealer) -> None:
    """Raises DamagedError: frame."""
    plain, seal = data[: FRAME_HEAD_BYTES - SEAL], data[FRAME_HEAD_BYTES - SEAL : FRAME_HEAD_BYTES]
    sealer.open(b"frame" + plain, seal, f"frame {head.number}")


def parse_put(frame: bytes, head: FrameHead, sealer: Sealer) -> Records:
    """The records of a whole PUT frame.

    Raises:
        DamagedError: frame.
    """
    check_frame_head(frame, head, sealer)
    starts = range(FRAME_HEAD_BYTES, head.length, PAGE_BYTES)
    pages = [
        parse_page(open_page(frame[start : start + PAGE_BYTES], index, sealer, frame=head.number))
        for index, start in enumerate(starts)
    ]
    return np.concatenate(pages)[: head.count]


def parse_remove(frame: bytes, head: FrameHead, sealer: Sealer) -> npt.NDArray[np.bytes_]:
    """The ids of a whole REMOVE frame.

    Raises:
        DamagedError: frame.
    """
    check_frame_head(frame, head, sealer)
    plain = sealer.open(_place(b"ids", head.number), frame[FRAME_HEAD_BYTES:], f"frame {head.number}")
    return np.frombuffer(plain, "S16", head.count)


def was_cut_off(frame: bytes, at: int) -> bool:
    """Whether bytes that are there, from ``at`` in the file on, were not all written: sectors are empty."""
    first = -at % _SECTOR
    parts = [frame[:first]] if first else []
    parts += [frame[start : start + _SECTOR] for start in range(first, len(frame), _SECTOR)]
    return any(not any(part) for part in parts)


def _encode_head(head: FrameHead, sealer: Sealer, file_id: bytes) -> bytes:
    plain = _FRAME.pack(_FRAME_MAGIC, head.length, head.kind, head.count, head.number)
    plain += _frame_check(plain, file_id)
    return plain + sealer.seal(b"frame" + plain, b"", SEAL)


def _frame_check(plain: bytes, file_id: bytes) -> bytes:
    return hashlib.sha256(file_id + plain).digest()[:_FRAME_CHECK]


def _page_place(index: int, frame: int | None) -> bytes:
    return _place(b"page", index) if frame is None else _place(b"put", frame, index)


def _place(part: bytes, *numbers: int) -> bytes:
    return part + struct.pack(f"<x{len(numbers)}Q", *numbers)
