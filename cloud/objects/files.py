"""Sealed objects on disk, named by the digests of what lies there: ``OBJECTS/AB/ABCDEF...``.

Each is written beside its place, synced, and moved there whole. A file never changes, and nobody reads it
without the key that is in the database.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cloud.errors import Reason, ServiceError
from cloud.keyfiles import sync_folder, write_private

_FOLDER = re.compile(r"[0-9a-f]{2}")
_FILE = re.compile(r"[0-9a-f]{64}")

MIN_FREE_BYTES = 1024**3
"""Left on the disk for the database, which matters more."""


class ObjectFiles(Protocol):
    """Where sealed contents lie; any thread may use it."""

    def put(self, sealed: bytes) -> bytes:
        """Keep it, durably; return its digest.

        Raises:
            ServiceError: OBJECT_NO_ROOM.
        """
        ...

    def open(self, digest: bytes) -> bytes:
        """What was put.

        Raises:
            ServiceError: OBJECT_DAMAGED: it is not there, or was changed.
        """
        ...

    def delete(self, digest: bytes) -> None:
        """Let go of it; also where it is gone already."""
        ...

    def list_before(self, before_us: int) -> Iterator[bytes]:
        """Digests of what was put before that time, in any order."""
        ...


class ObjectFolder:
    """Objects in a folder, which several servers may share."""

    def __init__(self, root: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self._root = root
        self._min_free_bytes = min_free_bytes

    def put(self, sealed: bytes) -> bytes:
        """As :meth:`ObjectFiles.put`."""
        digest = sha256(sealed).digest()
        path = self._path(digest)
        try:
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                for above in (self._root, self._root.parent):
                    sync_folder(above)
            if shutil.disk_usage(self._root).free < self._min_free_bytes + len(sealed):
                raise ServiceError(Reason.OBJECT_NO_ROOM, "The service has no room for files at present.")
            write_private(path, sealed)
        except OSError as error:
            raise ServiceError(Reason.OBJECT_NO_ROOM, "The file could not be written.") from error
        return digest

    def open(self, digest: bytes) -> bytes:
        """As :meth:`ObjectFiles.open`."""
        try:
            sealed = self._path(digest).read_bytes()
        except OSError as error:
            raise ServiceError(Reason.OBJECT_DAMAGED, "The file cannot be read.") from error
        if sha256(sealed).digest() != digest:
            raise ServiceError(Reason.OBJECT_DAMAGED, "The file is not what was put there.")
        return sealed

    def delete(self, digest: bytes) -> None:
        """As :meth:`ObjectFiles.delete`."""
        self._path(digest).unlink(missing_ok=True)

    def list_before(self, before_us: int) -> Iterator[bytes]:
        """As :meth:`ObjectFiles.list_before`; what a kill left half written is deleted by the way."""
        if not self._root.is_dir():
            return
        for folder in (entry for entry in self._root.iterdir() if _FOLDER.fullmatch(entry.name)):
            for path in folder.iterdir():
                try:
                    old = path.stat().st_mtime_ns // 1000 < before_us
                except FileNotFoundError:  # another server sweeps too
                    continue
                if not old:
                    continue
                if path.name.startswith("."):
                    path.unlink(missing_ok=True)
                elif _FILE.fullmatch(path.name):
                    yield bytes.fromhex(path.name)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._root / name[:2] / name
