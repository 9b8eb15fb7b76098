"""A folder in memory, for files that must never reach a disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM_FOLDERS = (Path("/run/verifield"), Path("/dev/shm"))  # noqa: S108 - checked to be in memory
"""The device's own, as its units make it; and everybody's, on a machine without them."""

MOUNT_TABLE = Path("/proc/self/mountinfo")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})

_PREFIX = "verifield-memory-"  # then the process that made it: whoever was killed clears nothing


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Give an empty folder of mode 0700, gone with all that is in it when the block ends, in any way.

    Raises:
        FileNotFoundError: no memory file system is here that this user may write to.
    """
    clear_leftovers()
    folder = _make()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers() -> None:
    """Remove what processes of this user that were killed left behind."""
    for base in _bases():
        for left in base.glob(f"{_PREFIX}*"):
            if not _is_running(left.name.removeprefix(_PREFIX).partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)


def _make() -> Path:
    for base in _bases():
        try:
            return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        except OSError:  # another user's, or full
            continue
    raise FileNotFoundError("no folder in memory")


def _bases() -> list[Path]:
    own, shared = SYSTEM_FOLDERS
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    return [base for base in (own, *([Path(session)] if session else []), shared) if _is_in_memory(base)]


def _is_in_memory(folder: Path) -> bool:
    """By the mount that the folder lies on (proc(5), mountinfo: field 3, and the first after the dash)."""
    try:
        device = folder.stat().st_dev
        lines = MOUNT_TABLE.read_text(errors="replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.partition(" - ") for line in lines)
    return any(
        place.split()[2] == number and kind.split()[0] in MEMORY_FILE_SYSTEMS for place, _, kind in mounts
    )


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # its number is another user's process by now
        return False
    return True
