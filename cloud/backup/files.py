"""Writes files of backups: new ones only, for the service's own user alone, and durably."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cloud.backup.secrecy import write_pieces


def write_new(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that does not exist yet.

    Raises:
        OSError: it does, or the disk does not take it.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        write_pieces(file, pieces)
        file.flush()
        os.fsync(file.fileno())
