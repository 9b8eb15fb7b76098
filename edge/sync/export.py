"""Delivery by hand, outwards: one file with all that no receipt covers, signed by the device.

1. What can never be delivered is given up first, by signed notes, as if the cloud had asked.
2. Records go in batches as over the network, then the files that belong to them.
3. The last batch is empty: its answer tells where the cloud stands.
4. The manifest names the number and the digest of all frames; the file appears whole or not at all.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import uuid_utils

from edge.errors import InputError
from edge.files import sync_folder
from edge.model import Position
from edge.ports import Clock, Signer
from edge.sync.compare import before
from edge.sync.events import refusal_code
from edge.sync.journal import Entry, Journal
from edge.sync.ports import Backlog, Media, Outgoing
from edge.sync.taking import Parts
from edge.sync.uplink import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_DAMAGED, deliver_request
from verifield.dsse import MAX_ENVELOPE_BYTES, encode_envelope, pae
from verifield.media import CHUNK_BYTES, chunk_count
from verifield.transfer import (
    MAGIC,
    MAX_FRAMES,
    MAX_TRANSFER_BYTES,
    TRANSFER_TYPE,
    encode_manifest,
    frames_digest,
    write_frame,
)
from verifield.v1.sync_service_pb2 import PutMediaChunkRequest
from verifield.v1.transfer_pb2 import TransferFrame, TransferManifest

MAX_MEDIA_FILES = 10_000
"""Looked through for one file; what is left goes with the next."""

ROOM_BYTES = 8 * 1024 * 1024
"""Kept free below the largest file: for the frame being written, the last batch and the manifest."""

ROOM_FRAMES = 256

SUFFIX = ".verifield"
_OPEN = ("PENDING", "DELIVERED")


@dataclass(frozen=True, slots=True)
class Exporter:
    """``certificates``: of the attestation key, DER, leaf first; ``signer`` is that key."""

    parts: Parts
    journal: Journal
    device_id: str
    certificates: tuple[bytes, ...]
    signer: Signer
    clock: Clock


@dataclass(frozen=True, slots=True)
class ExportReport:
    """``complete``: nothing was left for another file."""

    path: Path
    transfer_id: str
    records: int
    files: int
    size_bytes: int
    complete: bool


@dataclass(slots=True)
class _Spool:
    """Frames on their way into the file, and what they held."""

    file: BinaryIO
    records: int = 0
    files: int = 0
    frames: int = 0
    size: int = 0
    complete: bool = True
    batches: list[tuple[Position, ...]] = field(default_factory=list)
    damaged: list[Position] = field(default_factory=list)

    def write(self, frame: TransferFrame) -> None:
        self.size += write_frame(self.file, frame)
        self.frames += 1

    def has_room(self, size: int, frames: int = 1) -> bool:
        fits = self.size + size <= MAX_TRANSFER_BYTES - ROOM_BYTES
        if not fits or self.frames + frames > MAX_FRAMES - ROOM_FRAMES:
            self.complete = False
        return self.complete


def write_export(
    exporter: Exporter, path: Path, *, progress: Callable[[int], None] = lambda _records: None
) -> ExportReport:
    """Write the file to ``path``, or into that folder under a name of its own. ``progress``: records so far.

    Raises:
        InputError: TRANSFER_UNWRITABLE; nothing is left behind.
        StorageError: the outbox refused.
    """
    transfer_id = str(uuid_utils.uuid7())
    if path.is_dir():
        path /= f"{exporter.device_id}-{transfer_id}{SUFFIX}"
    try:
        _check_target(path)
        with tempfile.TemporaryFile(dir=path.parent) as file:
            spool = _Spool(file)
            entry = _spool(exporter, spool, transfer_id, progress)
            size = _finish(exporter, spool, entry, path)
    except OSError as error:
        raise InputError(
            "TRANSFER_UNWRITABLE",
            f"The file {path} cannot be written: {error.strerror or error}.",
            hint="Name a new file, or a folder. Check that the stick is in, has space, and is not "
            "write-protected; then export again.",
        ) from None
    return ExportReport(path, transfer_id, spool.records, spool.files, size, spool.complete)


def _check_target(path: Path) -> None:
    """Refuse what is there and no file, such as a device or a link: the new file would take its place."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is something that is no file")


def _spool(exporter: Exporter, spool: _Spool, transfer_id: str, progress: Callable[[int], None]) -> Entry:
    backlog = exporter.parts.backlog
    _give_up_what_is_lost(exporter.parts)
    seen = backlog.witnessed()
    tree_size = seen.tree_size if seen else 0
    for records in _batches(backlog):
        if not spool.has_room(sum(len(record.envelope) for record in records)):
            break
        _write_batch(exporter, spool, records, tree_size)
        progress(spool.records)
    for media in backlog.media_pending(with_record=True, limit=MAX_MEDIA_FILES):
        if not spool.has_room(media.size, chunk_count(media.size)):
            break
        _write_media(spool, media)
    _write_batch(exporter, spool, [], tree_size)
    cursor = exporter.parts.downstream.cursor()
    return Entry(transfer_id, tree_size, cursor, tuple(spool.batches), tuple(spool.damaged))


def _finish(exporter: Exporter, spool: _Spool, entry: Entry, path: Path) -> int:
    """Put magic, manifest and frames together; return the size of the file."""
    spool.file.seek(0)
    found = frames_digest(spool.file)
    manifest = TransferManifest(
        device_id=exporter.device_id,
        transfer_id=entry.transfer_id,
        frames=found.frames,
        frames_sha256=found.sha256,
        records=spool.records,
        pull_cursor=entry.cursor,
    )
    manifest.wall_time.FromDatetime(exporter.clock.wall())
    payload = encode_manifest(manifest)
    signature = exporter.signer.sign(pae(TRANSFER_TYPE, payload))
    envelope = encode_envelope(payload_type=TRANSFER_TYPE, payload=payload, signatures=[signature])
    exporter.journal.keep(entry)  # before the file can travel
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(MAGIC)
            write_frame(file, TransferFrame(manifest=envelope))
            spool.file.seek(0)
            while piece := spool.file.read(CHUNK_BYTES):
                file.write(piece)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size


def _give_up_what_is_lost(parts: Parts) -> None:
    """Where there is no network, nobody will ask: what is broken or lost behind the last receipt is noted."""
    head, confirmed = parts.backlog.head(), parts.backlog.confirmed()
    if head is None or parts.backlog.reset_needed() is not None:
        return
    for _ in _batches(parts.backlog):
        pass  # a record that is broken shows when it is read
    after = confirmed if confirmed and confirmed.epoch == head.epoch else Position(head.epoch, 0)
    for hole in parts.backlog.holes(after=after):
        parts.chronicle.record_gap(hole)
    for record in parts.backlog.refused():
        parts.chronicle.record_tombstone(record.position, refusal_code(record.reason))


def _batches(backlog: Backlog) -> Iterator[list[Outgoing]]:
    """All that no receipt covers, in order, as batches within the limits of the contract."""
    pending, confirmed = backlog.first_pending(), backlog.confirmed() or Position(1, 0)
    after = min(confirmed, before(pending)) if pending else confirmed
    while page := backlog.pending(
        after=after, limit_bytes=MAX_BATCH_BYTES - MAX_ENVELOPE_BYTES, limit_count=MAX_BATCH_RECORDS
    ):
        after = page[-1].position
        if records := [record for record in page if record.state in _OPEN]:
            yield records


def _write_batch(exporter: Exporter, spool: _Spool, records: Sequence[Outgoing], tree_size: int) -> None:
    damaged = [row for row in exporter.parts.backlog.damaged_rows() if row.position not in spool.damaged][
        :MAX_DAMAGED
    ]
    request = deliver_request(
        records, damaged, certificates=exporter.certificates, witnessed_tree_size=tree_size
    )
    spool.write(TransferFrame(deliver=request))
    spool.records += len(records)
    spool.batches.append(tuple(record.position for record in records))
    spool.damaged += [row.position for row in damaged]


def _write_media(spool: _Spool, media: Media) -> None:
    with media.path.open("rb") as file:
        for index in range(chunk_count(media.size)):
            chunk = PutMediaChunkRequest(
                sha256=media.sha256, size_bytes=media.size, index=index, content=file.read(CHUNK_BYTES)
            )
            spool.write(TransferFrame(media=chunk))
    spool.files += 1
