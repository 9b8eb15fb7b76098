"""Small files that only the device's own user may read, written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
OTHERS = 0o077
"""Permission bits of everybody but the owner."""

_SUFFIX_BYTES = 8
_LEFTOVER = re.compile(rf"\..+\.[0-9a-f]{{{2 * _SUFFIX_BYTES}}}")
"""Names of files that are being written: .NAME.SUFFIX."""


class NotPrivateError(PermissionError):
    """Somebody else may read the file, so its secret is one no more."""


def write_private(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step, replacing what was there; durable when this returns."""
    with _written_beside(path, data) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """As :func:`write_private`, but never over an existing file.

    Raises:
        FileExistsError: there is one already, also if it appeared a moment ago.
    """
    with _written_beside(path, data) as temporary:
        path.hardlink_to(temporary)  # unlike a rename, a link refuses to replace
    sync_folder(path.parent)


def destroy_leftovers(folder: Path) -> int:
    """Destroy what processes that were killed left in ``folder`` of files they were writing; return how many.

    Who writes holds a lock on the file: one that is under way stays. So does one that is still empty.
    """
    count = 0
    try:
        found = [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for path in found:
        with suppress(FileNotFoundError):  # another process was faster
            if not _is_abandoned(path):
                continue
            if path.stat().st_nlink == 1:
                destroy_file(path)
            else:  # it has its own name too, by which it is whole
                path.unlink()
            count += 1
    return count


def read_private(path: Path, *, max_bytes: int, refuse: int = OTHERS) -> bytes:
    """Return the file's bytes, at most ``max_bytes``.

    Raises:
        NotPrivateError: one of the permission bits in ``refuse`` is set.
        OSError: missing, unreadable or too large.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & refuse:
            raise NotPrivateError(f"{path} can be read by others")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(f"{path} has more than {max_bytes} bytes")
    return data


def destroy_file(path: Path) -> None:
    """Overwrite the file's bytes, durably, then remove it; no fault where there is none.

    Other names of the same file lose its content too. Flash may keep an old copy of a block where no
    program can reach it: secrets that must go for certain belong in a TPM or token.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            file.write(secrets.token_bytes(os.fstat(file.fileno()).st_size))
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_private_folder(path: Path) -> None:
    """Create the folder, and those above it, for the owner alone; an existing one is left as it is."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make names created or replaced in the folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; another process that asks for it waits.

    Several may hold it at once where all of them hold it ``shared``.

    Raises:
        BlockingIOError: it is held, and ``wait`` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, how | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Give a durable file beside ``path`` that holds ``data``; its name is gone afterwards in any case."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_SUFFIX_BYTES)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # before it has content: so nobody takes it for abandoned
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield temporary
    finally:  # Ctrl-C too: it may hold a secret
        temporary.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(file.fileno()).st_size > 0
    except OSError:  # gone, or somebody writes it
        return False
