"""Sealed objects, named by the digests of what lies there; and the simplest place for them, a folder.

    OBJECTS/AB/ABCDEF...    one object
    OBJECTS/.store          whose store this is, where a service has several

Each is written beside its place, synced, and moved there whole. A file never changes, and nobody reads it
without the key that is in the database.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cloud.errors import Reason, ServiceError
from cloud.keyfiles import sync_folder, write_private

_FOLDER = re.compile(r"[0-9a-f]{2}")
_FILE = re.compile(r"[0-9a-f]{64}")

MIN_FREE_BYTES = 1024**3
"""Left on the disk for the database, which matters more."""

MAX_SEALED_BYTES = 72 * 1024 * 1024
"""Of one file as it lies there: the largest object, sealed. What is longer is none of ours, and not read."""

MARK_FILE = ".store"
MAX_MARK_BYTES = 1024


class Fault(StrEnum):
    """What is wrong at a store; the first two are of one file, the others of the store."""

    MISSING = "MISSING"
    CORRUPT = "CORRUPT"
    AWAY = "AWAY"  # not mounted, or nobody answers
    FULL = "FULL"
    READ_ONLY = "READ_ONLY"
    DENIED = "DENIED"
    SLOW = "SLOW"  # no answer in time
    FOREIGN = "FOREIGN"  # the store of another service
    BROKEN = "BROKEN"


OF_ONE_FILE = frozenset({Fault.MISSING, Fault.CORRUPT})
OF_WRITING = frozenset({Fault.FULL, Fault.READ_ONLY})
"""What such a store has can be read all the same."""

_BY_ERRNO = {
    errno.ENOSPC: Fault.FULL,
    errno.EDQUOT: Fault.FULL,
    errno.EROFS: Fault.READ_ONLY,
    errno.EACCES: Fault.DENIED,
    errno.EPERM: Fault.DENIED,
    errno.ENOENT: Fault.AWAY,
    errno.ENOTDIR: Fault.AWAY,
    errno.ENODEV: Fault.AWAY,
    errno.ENXIO: Fault.AWAY,
    errno.ESTALE: Fault.AWAY,
    errno.ENOTCONN: Fault.AWAY,
    errno.ETIMEDOUT: Fault.SLOW,
}


class StoreFault(ServiceError):
    """One store could not do it; where it is the only one, the caller is told so."""

    def __init__(self, fault: Fault, message: str, reason: Reason = Reason.OBJECT_DAMAGED) -> None:
        super().__init__(reason, message)
        self.fault = fault


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


class Backend(ObjectFiles, Protocol):
    """One kind of store, of which a service may have several; whatever goes wrong is a StoreFault."""

    def read_mark(self) -> bytes | None:
        """Whose store it is; None where nobody said so.

        Raises:
            StoreFault: the store is away.
        """
        ...

    def write_mark(self, mark: bytes) -> None:
        """Say whose it is, durably.

        Raises:
            StoreFault: the store does not take it.
        """
        ...

    def expect(self, mark: bytes) -> None:
        """From now on, without this mark the store is away: what is written would go to the wrong disk."""
        ...


class ObjectFolder:
    """Objects in a folder, which several servers may share."""

    def __init__(self, root: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._expected: bytes | None = None

    def put(self, sealed: bytes) -> bytes:
        """As :meth:`ObjectFiles.put`."""
        digest = sha256(sealed).digest()
        path = self._path(digest)
        try:
            self._check_here()
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=self._expected is None, exist_ok=True)
                for above in (self._root, self._root.parent):
                    sync_folder(above)
            if shutil.disk_usage(self._root).free < self._min_free_bytes + len(sealed):
                raise StoreFault(
                    Fault.FULL, "The service has no room for files at present.", Reason.OBJECT_NO_ROOM
                )
            write_private(path, sealed)
        except OSError as error:
            raise _fault(error, "The file could not be written.", Reason.OBJECT_NO_ROOM) from error
        return digest

    def open(self, digest: bytes) -> bytes:
        """As :meth:`ObjectFiles.open`."""
        try:
            with self._path(digest).open("rb") as file:
                sealed = file.read(MAX_SEALED_BYTES + 1)
        except FileNotFoundError as error:
            self._check_here()
            raise StoreFault(Fault.MISSING, "The file cannot be read.") from error
        except OSError as error:
            raise _fault(error, "The file cannot be read.") from error
        if sha256(sealed).digest() != digest:
            raise StoreFault(Fault.CORRUPT, "The file is not what was put there.")
        return sealed

    def delete(self, digest: bytes) -> None:
        """As :meth:`ObjectFiles.delete`."""
        try:
            self._path(digest).unlink()
        except FileNotFoundError:
            self._check_here()
        except OSError as error:
            raise _fault(error, "The file could not be deleted.") from error

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

    def read_mark(self) -> bytes | None:
        """As :meth:`Backend.read_mark`."""
        try:
            with (self._root / MARK_FILE).open("rb") as file:
                return file.read(MAX_MARK_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _fault(error, "The store cannot be read.") from error

    def write_mark(self, mark: bytes) -> None:
        """As :meth:`Backend.write_mark`."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._root / MARK_FILE, mark)
        except OSError as error:
            raise _fault(error, "The store cannot be written.", Reason.OBJECT_NO_ROOM) from error

    def expect(self, mark: bytes) -> None:
        """As :meth:`Backend.expect`."""
        self._expected = mark

    def _check_here(self) -> None:
        """That the folder is that of this store, and not the empty place where its disk is mounted.

        Raises:
            StoreFault: AWAY.
        """
        if self._expected is not None and self.read_mark() != self._expected:
            raise StoreFault(Fault.AWAY, "The store is not mounted.", Reason.OBJECT_NO_ROOM)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._root / name[:2] / name


def _fault(error: OSError, message: str, reason: Reason = Reason.OBJECT_DAMAGED) -> StoreFault:
    return StoreFault(_BY_ERRNO.get(error.errno or 0, Fault.BROKEN), message, reason)
