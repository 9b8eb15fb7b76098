"""Which USB sticks are in, and what the cloud's answers on them are called.

Nobody types a path at a kiosk: it lists what is mounted where desktops and udev mount sticks, and takes a
choice only from that list.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edge.sync.export import SUFFIX

MOUNT_TABLE = Path("/proc/self/mountinfo")
MOUNT_ROOTS = (Path("/media"), Path("/run/media"), Path("/mnt"))
"""Where sticks are mounted by udisks, by our own udev rule, and by hand."""

MAX_TABLE_BYTES = 1024 * 1024
MAX_STICKS = 8
MAX_LISTED = 2000
"""Entries of a stick that are looked at: a stick full of photographs must not hold up the screen."""

MAX_FILES = 50
"""Files offered, the newest: more than one visit brings."""


@dataclass(frozen=True, slots=True)
class Stick:
    """``name``: its label, as the system mounted it. ``free_bytes``: None where it can only be read."""

    name: str
    path: Path
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class StickFile:
    name: str
    path: Path
    size: int


def find_sticks(table: Path = MOUNT_TABLE, roots: tuple[Path, ...] = MOUNT_ROOTS) -> list[Stick]:
    """Return the sticks that are mounted now, by name."""
    found: dict[Path, Stick] = {}
    for point, read_only in _mounts(table):
        if not any(point.is_relative_to(root) and point != root for root in roots):
            continue
        try:
            space = os.statvfs(point)
        except OSError:
            continue  # it was pulled out at this moment
        free = None if read_only or not os.access(point, os.W_OK) else space.f_bavail * space.f_frsize
        found[point] = Stick(point.name, point, free)
    return sorted(found.values(), key=lambda stick: (stick.name, stick.path))[:MAX_STICKS]


def transfer_files(stick: Stick) -> list[StickFile]:
    """Return the files of transfers on a stick, at its top, the newest first; links are none.

    Raises:
        OSError: it was pulled out.
    """
    found: list[tuple[float, StickFile]] = []
    with os.scandir(stick.path) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_LISTED:
                break
            if not entry.name.endswith(SUFFIX) or entry.name.startswith("."):
                continue
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(seen.st_mode):
                found.append((seen.st_mtime, StickFile(entry.name, stick.path / entry.name, seen.st_size)))
    found.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [file for _, file in found[:MAX_FILES]]


def _mounts(table: Path) -> list[tuple[Path, bool]]:
    """Every mount point, and whether it is read-only (proc(5), mountinfo: fields 5 and 6)."""
    try:
        with table.open("rb") as file:
            text = file.read(MAX_TABLE_BYTES)
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        fields = line.split(b" ")
        if len(fields) > 5:
            found.append((Path(os.fsdecode(_unescaped(fields[4]))), b"ro" in fields[5].split(b",")))
    return found


def _unescaped(field: bytes) -> bytes:
    r"""Blanks, tabs, line ends and backslashes stand as \040 and so on."""
    for code, plain in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, plain)
    return field
