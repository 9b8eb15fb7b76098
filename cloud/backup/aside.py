"""Copies of a database that are not sealed: in a folder that goes with whoever made it.

    DATABASE'S FOLDER/.verifield-backup-*/    0700

Who works with one holds a shared lock on the folder in which it lies, which a kill takes away: what is found
there by who gets the lock alone was left by a kill, and goes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from cloud.config import Config
from cloud.errors import SetupError

ROOM_LEFT_BYTES = 256 * 1024**2
"""On the disk of a database, beside the copy that is made there: the service goes on writing."""

_PREFIX = ".verifield-backup-"


def place_of(config: Config) -> Path:
    """Where copies of a service's database lie: beside it, on a disk that has it anyway."""
    url = make_url(config.database_url)
    return Path(str(url.database)).parent if url.get_backend_name() == "sqlite" else config.data


@contextmanager
def copy_aside(place: Path, *, size: int) -> Iterator[Path]:
    """A folder in ``place`` for a copy of ``size`` bytes, while the block runs.

    Raises:
        SetupError: BACKUP_FAILED: there is no room; a backup must not be what fills the disk of the service.
        OSError: it cannot be made.
    """
    with _opened(place) as handle:
        with suppress(BlockingIOError):  # another copy is in use: what else is there goes the next time
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(place)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _check_room(place, size)
        with tempfile.TemporaryDirectory(dir=place, prefix=_PREFIX) as aside:
            yield Path(aside)


@contextmanager
def no_copies(place: Path) -> Iterator[None]:
    """See to it that there are no copies in ``place`` while the block runs.

    Raises:
        SetupError: BACKUP_RUNS: one is in use. BACKUP_LEFT: one that a kill left cannot be deleted.
    """
    if not place.is_dir():  # of a service on another machine
        yield
        return
    with _opened(place) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(place)
        except BlockingIOError as error:
            raise SetupError(
                "BACKUP_RUNS",
                f"A backup is made or checked, with a copy of the database in {place}.",
                hint="Wait until it has ended, and run the command again.",
            ) from error
        except OSError as error:
            raise SetupError(
                "BACKUP_LEFT",
                f"What a backup left in {place} cannot be deleted ({type(error).__name__}).",
                hint=f"Delete {_PREFIX}* there, or run the command as the user that the service runs as.",
            ) from error
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _clear(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*"):
        shutil.rmtree(left)


def _check_room(place: Path, size: int) -> None:
    free = shutil.disk_usage(place).free
    if free < size + ROOM_LEFT_BYTES:
        raise SetupError(
            "BACKUP_FAILED",
            f"The disk of {place} has {free >> 20} MiB left; a copy of the database needs {size >> 20} MiB, "
            f"and the service {ROOM_LEFT_BYTES >> 20} MiB.",
            hint="Make room there, or move the database to a larger disk.",
        )
