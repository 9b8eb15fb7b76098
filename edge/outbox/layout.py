"""What lies beside the store's database, and how it is found."""

from __future__ import annotations

from pathlib import Path

from edge.errors import StorageError
from edge.files import make_private_folder, sync_folder

LOCK_SUFFIX = ".lock"
COUNTER_LOCK_SUFFIX = ".counter.lock"
SESSION_LOCK_SUFFIX = ".session.lock"
DATA_KEY_SUFFIX = ".key"
MARK_SUFFIX = ".head"
RESERVE_SUFFIX = ".reserve"
MEDIA_SUFFIX = ".media"
BROKEN_INFIX = ".broken-"
"""Between the store's name and the time at which it was set aside."""


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to the store at ``path``."""
    return path.with_name(path.name + suffix)


def newest_broken(path: Path) -> Path | None:
    """Return the newest database that was set aside from ``path``."""
    journals = ("-wal", "-shm")
    found = [
        one for one in path.parent.glob(f"{path.name}{BROKEN_INFIX}*") if not one.name.endswith(journals)
    ]
    return max(found, default=None)


def make_durable_folder(folder: Path) -> None:
    """Make the folder, and see to it that its name outlives a power cut."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    make_private_folder(folder)
    for path in new:
        sync_folder(path.parent)


def missing(path: Path) -> StorageError:
    """OUTBOX_MISSING: there was a store at ``path``."""
    return StorageError(
        "OUTBOX_MISSING",
        f"The store of records {path} is gone, though records were stored in it.",
        hint="Put it back where it was; or, if it is lost, run: verifield-edge outbox recover",
    )
