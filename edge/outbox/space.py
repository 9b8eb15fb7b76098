"""Room on the disk: a reserve for the record in hand, and no new session when little is left."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.errors import StorageError
from edge.files import PRIVATE_FILE

WARN_SHARE, WARN_BYTES = 0.20, 8 * 2**30
"""Of the disk free, or as much: enough time for somebody to bring a network or a stick."""

STOP_SHARE, STOP_BYTES = 0.10, 4 * 2**30
"""Of the disk free, or as much: what is under way, receipts and events still fit for long; new sessions do
not start. The amounts are for large disks, on which a tenth is room for years.
"""

RESERVE_BYTES = 8 * 1024 * 1024
"""Holds the record in hand, its pictures, and what SQLite needs to write and then to check-point them."""


class SpaceVerdict(StrEnum):
    OK = "OK"
    LOW = "LOW"  # warn
    STOP = "STOP"  # no new session


@dataclass(frozen=True, slots=True)
class Space:
    """``free_bytes`` includes what the store has free inside; ``total_bytes``: what is in use, and free."""

    free_bytes: int
    total_bytes: int
    verdict: SpaceVerdict


def judge_space(free: int, total: int) -> SpaceVerdict:
    """Judge by what is free of the disk; both in bytes."""
    if free < min(total * STOP_SHARE, STOP_BYTES):
        return SpaceVerdict.STOP
    return SpaceVerdict.LOW if free < min(total * WARN_SHARE, WARN_BYTES) else SpaceVerdict.OK


def look_at_space(folder: Path, *, reusable_bytes: int = 0) -> Space:
    """Look at the disk that ``folder`` is on. ``reusable_bytes``: what is free inside files there.

    Blocks that the file system keeps for its administrator count neither as free nor as part of the disk,
    as in POSIX ``df``.
    """
    disk = os.statvfs(folder)
    used, free = disk.f_blocks - disk.f_bfree, disk.f_bavail
    total = (used + free) * disk.f_frsize
    free_bytes = free * disk.f_frsize + reusable_bytes
    return Space(free_bytes, total, judge_space(free_bytes, total))


def check_space(space: Space) -> None:
    """Refuse a new session where the disk is nearly full.

    Raises:
        StorageError: DISK_RESERVE.
    """
    if space.verdict is SpaceVerdict.STOP:
        left, share = space.free_bytes // 2**20, space.free_bytes * 100 // max(1, space.total_bytes)
        raise StorageError(
            "DISK_RESERVE",
            f"Only {left} MiB of the disk are free ({share} %): no new session is begun.",
            hint="Connect the device, so that it delivers and deletes records; or free space on the disk.",
        )


class Reserve:
    """A file that only takes up room. ``size`` in bytes."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self.path = path
        self.size = size

    def keep(self) -> bool:
        """Make the file where it is missing and twice its size is free; tell whether it is there.

        A disk that refuses is no fault here: the device works on without a reserve.
        """
        with suppress(OSError):
            if self.path.exists() and self.path.stat().st_size == self.size:
                return True
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize >= 2 * self.size:
                return self._allocate()
        return False

    def give_up(self) -> bool:
        """Free the room; False where there is none to free."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def _allocate(self) -> bool:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            self.path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
        return True
