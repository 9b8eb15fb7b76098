"""Takes files from devices, chunk by chunk.

    1  a record of the device, in its chain or waiting, names the file      else MEDIA_UNKNOWN
    2  size, index and length of the chunk are those of the file            else MEDIA_CHUNK_INVALID
    3  the file is here: there is nothing to do
    4  there is room for it                                                 else MEDIA_NO_ROOM
    5  the chunk is on disk
    6  with the last one: together they have the digest that was signed     else MEDIA_DIGEST

Nobody can read a file here: it is encrypted to the service's media key.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import BinaryIO

from cloud.errors import Reason, ServiceError
from cloud.media.files import MediaFolder
from cloud.sources import Sources, to_us
from cloud.store import media as rows
from cloud.store.database import Store
from verifield.errors import VerifieldError
from verifield.media import CHUNK_BYTES, chunk_count
from verifield.v1.sync_service_pb2 import PutMediaChunkRequest

MAX_DEVICE_BYTES = 16 * 1024**3
"""Complete files of one device: 100,000 pictures of 160 KiB. Those on their way may come on top."""

MAX_PARTIAL_FILES = 8
"""On their way from one device; of more, those that stood still for longest begin anew."""

MIN_FREE_BYTES = 1024**3
"""Left on the disk for the database, which matters more."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is here of a file: all of it, or these chunks."""

    complete: bool
    chunks: list[int]


class MediaIntake:
    """All methods block, and may be called from several threads."""

    def __init__(self, store: Store, folder: MediaFolder, sources: Sources) -> None:
        self._store = store
        self._folder = folder
        self._sources = sources
        self._writing = threading.Lock()

    def find(self, device_id: str, digest: bytes) -> Found:
        """What is here of a file that the device may send.

        Raises:
            ServiceError: no record of the device names it.
        """
        row = self._look_up(device_id, digest)
        if self._is_complete(row):
            return Found(True, [])
        return Found(False, self._folder.chunks(device_id, digest))

    def open_complete(self, device_id: str, digest: bytes) -> BinaryIO:
        """Open a file that :meth:`find` has called complete; it is encrypted, and the caller closes it.

        Raises:
            ServiceError: MEDIA_NOT_HERE, it was taken away meanwhile.
        """
        try:
            return self._folder.path(device_id, digest).open("rb")
        except OSError as error:
            raise ServiceError(Reason.MEDIA_NOT_HERE, "The file is not here any more.") from error

    def put(self, device_id: str, request: PutMediaChunkRequest) -> bool:
        """Keep a chunk; return whether the file is complete.

        Raises:
            ServiceError: as in the table above.
        """
        row = self._look_up(device_id, request.sha256)  # step 1
        chunks = _check_chunk(request, row)  # step 2
        with self._writing, self._folder.locked(device_id):
            if self._is_complete(row):  # step 3
                return True
            self._check_room(row)  # step 4
            self._folder.make_room(device_id, row.sha256, most=MAX_PARTIAL_FILES)
            self._folder.put_chunk(device_id, row.sha256, request.index, request.content)  # step 5
            if len(self._folder.chunks(device_id, row.sha256)) < chunks:
                return False
            if not self._folder.assemble(device_id, row.sha256, chunks=chunks):  # step 6
                raise ServiceError(Reason.MEDIA_DIGEST, "The file does not have the digest that was signed.")
            return self._is_complete(row)

    def _look_up(self, device_id: str, digest: bytes) -> rows.MediaRow:
        with self._store.reading() as connection:
            row = rows.get_media(connection, device_id, digest)
        if row is None:
            raise ServiceError(Reason.MEDIA_UNKNOWN, "No record of this device names this file.")
        return row

    def _check_room(self, row: rows.MediaRow) -> None:
        """The quota is asked for when a file begins, since all of the device's files are counted for it."""
        if not self._folder.chunks(row.device_id, row.sha256):
            with self._store.reading() as connection:
                used_bytes = rows.complete_bytes(connection, row.device_id)
            if used_bytes + row.size_bytes > MAX_DEVICE_BYTES:
                raise ServiceError(Reason.MEDIA_NO_ROOM, "The device has delivered as many files as it may.")
        if self._folder.free_bytes() < MIN_FREE_BYTES + row.size_bytes:
            raise ServiceError(Reason.MEDIA_NO_ROOM, "The service has no room for files at present.")

    def _is_complete(self, row: rows.MediaRow) -> bool:
        """Whether the file is on disk, which counts, also where the row was not written any more."""
        if not self._folder.has(row.device_id, row.sha256):
            return False
        if row.complete_us is None:
            now_us = to_us(self._sources.now())
            self._store.run(
                lambda connection: rows.set_complete(connection, row.device_id, row.sha256, now_us=now_us)
            )
        return True


def _check_chunk(request: PutMediaChunkRequest, row: rows.MediaRow) -> int:
    """Return how many chunks the file has.

    Raises:
        ServiceError: the chunk is not one of it.
    """
    try:
        chunks = chunk_count(row.size_bytes)
    except VerifieldError as error:
        raise ServiceError(Reason.MEDIA_CHUNK_INVALID, error.message) from error
    last = row.size_bytes - (chunks - 1) * CHUNK_BYTES
    fits = request.size_bytes == row.size_bytes and request.index < chunks
    if not fits or len(request.content) != (last if request.index == chunks - 1 else CHUNK_BYTES):
        raise ServiceError(
            Reason.MEDIA_CHUNK_INVALID, f"This is no chunk of the file, which has {row.size_bytes} bytes."
        )
    return chunks
