"""The files that commands write: whole or not at all, and those about people for their owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.errors import SetupError
from cloud.keyfiles import sync_folder

_SHARED = 0o666
"""Less what the user's umask takes."""

_PRIVATE = 0o600


def write_output(path: Path, content: bytes) -> None:
    """Put a file that the caller asked for in the place of the one before, with the folders above it.

    What is no file, such as a pipe or the own standard output, is written to as it is.

    Raises:
        SetupError: OUTPUT_UNWRITABLE; then the file before is still there.
    """
    with _told_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_standard_output(path):
            _print(content)
        elif not path.exists():
            _replace(path.resolve(), content, mode=_SHARED)
        elif path.is_file():
            _replace(path.resolve(), content, mode=stat.S_IMODE(path.stat().st_mode))
        else:
            path.write_bytes(content)


def write_new(path: Path, content: bytes) -> None:
    """Write a file about people, with the folders above it: for its owner alone, never over another.

    Raises:
        SetupError: OUTPUT_EXISTS, or OUTPUT_UNWRITABLE; then nothing is left of it.
    """
    with _told_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_standard_output(path):
            _print(content)
            return
        try:
            _create(path, content, mode=_PRIVATE)
        except FileExistsError:
            raise _taken(path) from None
        sync_folder(path.parent)


def check_free(path: Path) -> None:
    """Raise SetupError OUTPUT_EXISTS where :func:`write_new` would, before anything is fetched."""
    if os.path.lexists(path) and not _is_standard_output(path):
        raise _taken(path)


def _is_standard_output(path: Path) -> bool:
    """Whether the path leads to where the command prints: /dev/stdout."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def _print(content: bytes) -> None:
    with open(1, "wb", closefd=False) as output:
        output.write(content)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Write beside ``path`` and rename, so that a full disk or a kill spares the file before."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _create(beside, content, mode=mode)
    try:
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _create(path: Path, content: bytes, *, mode: int) -> None:
    """Write a new file durably; nothing is left of it where that fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(
            "OUTPUT_UNWRITABLE",
            f"The file {path} cannot be written ({error.strerror or type(error).__name__}).",
            hint="Choose another place, or make room.",
        ) from error


def _taken(path: Path) -> SetupError:
    return SetupError(
        "OUTPUT_EXISTS",
        f"The file {path} is there already, and is not written over.",
        hint="Choose another name.",
    )
