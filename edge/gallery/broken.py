"""Damaged galleries that repairs have kept beside the good one, until nobody needs them any more."""

from __future__ import annotations

from pathlib import Path

from edge.files import sync_folder
from edge.gallery import faults
from edge.gallery.writing import forget_file
from edge.sqlite import storage_errors

_MARK = ".broken-"


def keep(path: Path) -> Path:
    """Give the gallery a second name, by which it stays when another file takes its place. Raises OSError."""
    number = 1
    while (kept := path.with_name(f"{path.name}{_MARK}{number}")).exists():
        number += 1
    kept.hardlink_to(path)
    sync_folder(path.parent)
    return kept


def kept_beside(path: Path) -> list[Path]:
    """Those of the gallery at ``path``, by name.

    Raises:
        StorageError: GALLERY_UNREADABLE and the like.
    """
    with storage_errors(faults.STORE):
        return sorted(one for one in path.parent.glob(f"{path.name}{_MARK}*") if one.is_file())


def destroy(path: Path) -> int:
    """Let nobody read them again, by any key; return how many there were. Repeating it goes on.

    To be called with the gallery at ``path`` open: no repair is under way then.

    Raises:
        StorageError: GALLERY_READONLY, GALLERY_IO and the like.
    """
    files = kept_beside(path)
    with storage_errors(faults.STORE):
        for one in files:
            forget_file(one, but=path)  # a repair that was cut off has only given the gallery a second name
    return len(files)
