"""Power cuts, from the system calls that a process really made.

    events = trace([sys.executable, ...], folder=folder)        # strace records every write, sync and rename
    disk = Disk(folder)
    for event in events:
        disk.apply(event)
        disk.cut(chance, into=other)                            # one state that a cut here might leave

A state is made like this. A write since the last sync of its file is kept, dropped, or torn: of a torn one
each sector of 512 bytes is kept or dropped on its own. Of the names in a folder that changed since the
folder was synced, some first ones changed, since file systems keep a journal of names in order; a synced
file whose name was not synced may so be gone. What is in memory-mapped files is never kept.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = (
    "openat,open,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,fsync,fdatasync,"
    "ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,"
    "mkdir,mkdirat,rmdir"
)
UNKNOWN = ("creat", "writev", "pwritev", "symlink", "symlinkat", "rmdir")
"""Calls whose effect the disk below does not know: none of the traced programs makes them."""

_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def why_not() -> str | None:
    """A sentence where processes cannot be traced here; None where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed: power cuts cannot be rebuilt"
    probe = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    return None if probe.returncode == 0 else f"strace is not allowed here: {probe.stderr.strip()}"


@dataclass(frozen=True)
class Call:
    """One system call that succeeded. ``texts``: its strings, in order; ``rest``: arguments as printed."""

    pid: int
    name: str
    texts: tuple[bytes, ...]
    rest: str
    result: int

    def numbers(self) -> list[int]:
        """The arguments that are plain numbers, in order."""
        return [int(part) for part in self.rest.split(", ") if re.fullmatch(r"-?\d+", part)]


def trace(command: Sequence[str], *, cwd: Path, environment: dict[str, str]) -> list[Call]:
    """Run ``command`` and return the calls that it and its children made."""
    with tempfile.TemporaryDirectory(prefix="verifield-trace-") as folder:
        log = Path(folder) / "log"
        done = subprocess.run(
            [
                "strace",
                "-f",
                "-qq",
                "-xx",
                "-s",
                "100000000",
                "-e",
                f"trace={CALLS}",
                "-e",
                "signal=none",
                "-o",
                str(log),
                *command,
            ],
            cwd=cwd,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with log.open(encoding="ascii") as lines:
            return list(_parse(_whole(lines)))


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Join calls that another thread interrupted in the log."""
    waiting: dict[str, str] = {}
    for line in lines:
        pid = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>\n"):
            waiting[pid] = line[: -len("<unfinished ...>\n")]
        elif " resumed>" in line:
            yield waiting.pop(pid) + line.split(" resumed>", 1)[1]
        else:
            yield line


def _parse(lines: Iterator[str]) -> Iterator[Call]:
    for line in lines:
        found = _LINE.match(line)
        if found is None or found[4] == "?" or int(found[4]) < 0:
            continue  # a call that failed changed nothing
        texts = tuple(bytes.fromhex(text[1].replace("\\x", "")) for text in _TEXT.finditer(found[3]))
        assert not any(text[2] for text in _TEXT.finditer(found[3])), "strace has cut a string"
        yield Call(int(found[1]), found[2], texts, _TEXT.sub("_", found[3]), int(found[4]))


@dataclass
class File:
    """``synced``: what is on the disk for certain. ``since``: what was done since, in order."""

    synced: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (size, None)

    def write(self, offset: int, data: bytes) -> None:
        self.since.append((offset, data))

    def resize(self, size: int) -> None:
        self.since.append((size, None))

    def sync(self) -> None:
        self.synced = self.now()
        self.since.clear()

    def now(self) -> bytes:
        return _apply(self.synced, self.since)

    def size(self) -> int:
        size = len(self.synced)
        for place, data in self.since:
            size = place if data is None else max(size, place + len(data))
        return size

    def after_cut(self, chance: random.Random) -> bytes:
        kept: list[tuple[int, bytes | None]] = []
        fate = chance.choice(("all", "none", "some", "some"))  # for the whole file, then for each write
        for place, data in self.since:
            luck = {"all": 1.0, "none": 0.0}.get(fate, chance.choice((0.0, 0.5, 1.0)))
            if data is None:
                if chance.random() < luck:
                    kept.append((place, None))
                continue
            kept += [
                (place + start, data[start : start + SECTOR])
                for start in range(0, len(data), SECTOR)
                if chance.random() < luck
            ]
        return _apply(self.synced, kept)


def _apply(content: bytes, changes: Sequence[tuple[int, bytes | None]]) -> bytes:
    data = bytearray(content)
    for place, piece in changes:
        if piece is None:
            data = data[:place].ljust(place, b"\0")
        else:
            if len(data) < place + len(piece):
                data.extend(bytes(place + len(piece) - len(data)))
            data[place : place + len(piece)] = piece
    return bytes(data)


Names = dict[str, "File | Folder"]


@dataclass
class Folder:
    """``since``: changes of names since the last sync, each as (name, what it is now)."""

    names: Names = field(default_factory=dict)
    since: list[tuple[tuple[str, File | Folder | None], ...]] = field(default_factory=list)

    def change(self, *changes: tuple[str, File | Folder | None]) -> None:
        """In one step."""
        self.since.append(changes)

    def sync(self) -> None:
        self.names = self.now()
        self.since.clear()

    def now(self, count: int | None = None) -> Names:
        names = dict(self.names)
        for changes in self.since[:count]:
            for name, what in changes:
                if what is None:
                    names.pop(name, None)
                else:
                    names[name] = what
        return names


@dataclass
class _Opened:
    what: File | Folder
    at: int = 0
    appends: bool = False


class Disk:
    """A disk that holds one folder, ``root``, which exists and is empty at the beginning.

    Files whose name contains ``hardware`` are no part of it: they keep whatever was done to them.
    """

    def __init__(self, root: Path, *, hardware: str = "") -> None:
        self._root = root
        self._top = Folder()
        self._hardware = hardware
        self._opened: dict[tuple[int, int], _Opened] = {}
        self._said: list[bytes] = []

    def said(self) -> list[bytes]:
        """What was written to standard output: all that anybody was told so far."""
        return list(self._said)

    def apply(self, call: Call) -> bool:
        """Take in one call; whether it changed the disk, or what somebody was told."""
        assert call.name not in UNKNOWN or not self._concerns(call), f"{call.name} is not understood"
        handler = getattr(self, f"_{call.name.rstrip('2346at').rstrip('_') or call.name}", None)
        return bool(handler and handler(call))

    def cut(self, chance: random.Random, *, into: Path) -> None:
        """Write one state that a power cut here might leave into the folder ``into``."""
        into.mkdir()
        self._put(self._top, into, chance)

    def _put(self, folder: Folder, into: Path, chance: random.Random) -> None:
        for name, what in folder.now(chance.randint(0, len(folder.since))).items():
            if isinstance(what, Folder):
                (into / name).mkdir(mode=0o700)
                self._put(what, into / name, chance)
            elif not self._is_hardware(name):
                self._write_file(into / name, what.after_cut(chance))
        for name, what in folder.now().items():
            if isinstance(what, File) and self._is_hardware(name):
                self._write_file(into / name, what.now())

    def _write_file(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)

    def _is_hardware(self, name: str) -> bool:
        return bool(self._hardware) and self._hardware in name

    def _concerns(self, call: Call) -> bool:
        return any(self._find(text) is not None for text in call.texts)

    def _find(self, path: bytes) -> tuple[Folder, str] | None:
        """The folder and the name that an absolute path means; None outside of this disk."""
        try:
            parts = Path(os.fsdecode(path)).relative_to(self._root).parts
        except ValueError:
            return None
        folder = self._top
        for part in parts[:-1]:
            found = folder.now().get(part)
            if not isinstance(found, Folder):
                return None
            folder = found
        return folder, parts[-1] if parts else ""

    def _lookup(self, path: bytes) -> File | Folder | None:
        place = self._find(path)
        if place is None:
            return None
        folder, name = place
        return folder.now().get(name) if name else folder

    def _open(self, call: Call) -> bool:
        place = self._find(call.texts[0])
        self._opened.pop((call.pid, call.result), None)
        if place is None:
            return False
        folder, name = place
        what: File | Folder | None = folder.now().get(name) if name else folder
        created = what is None
        if what is None:
            what = File()
            folder.change((name, what))
        elif isinstance(what, File) and "O_TRUNC" in call.rest and what.size():
            what.resize(0)
        self._opened[call.pid, call.result] = _Opened(what, appends="O_APPEND" in call.rest)
        return created

    def _close(self, call: Call) -> bool:
        self._opened.pop((call.pid, call.numbers()[0]), None)
        return False

    def _dup(self, call: Call) -> bool:
        opened = self._opened.get((call.pid, call.numbers()[0]))
        if opened is not None:
            self._opened[call.pid, call.result] = opened
        return False

    def _fcntl(self, call: Call) -> bool:
        return self._dup(call) if "F_DUPFD" in call.rest else False

    def _lseek(self, call: Call) -> bool:
        opened = self._opened.get((call.pid, call.numbers()[0]))
        if opened is not None:
            opened.at = call.result
        return False

    def _write(self, call: Call) -> bool:
        descriptor = call.numbers()[0]
        opened = self._opened.get((call.pid, descriptor))
        if opened is None:
            if descriptor == 1:
                self._said.append(call.texts[0])
            return descriptor == 1
        assert isinstance(opened.what, File)
        at = opened.what.size() if opened.appends else opened.at
        opened.what.write(at, call.texts[0][: call.result])
        opened.at = at + call.result
        return True

    def _pwrite(self, call: Call) -> bool:
        opened = self._opened.get((call.pid, call.numbers()[0]))
        if opened is None:
            return False
        assert isinstance(opened.what, File)
        opened.what.write(call.numbers()[-1], call.texts[0][: call.result])
        return True

    def _ftruncate(self, call: Call) -> bool:
        descriptor, size = call.numbers()
        opened = self._opened.get((call.pid, descriptor))
        if opened is None:
            return False
        assert isinstance(opened.what, File)
        opened.what.resize(size)
        return True

    def _fallocate(self, call: Call) -> bool:
        opened = self._opened.get((call.pid, call.numbers()[0]))
        if opened is None or not isinstance(opened.what, File):
            return False
        opened.what.resize(max(opened.what.size(), sum(call.numbers()[-2:])))
        return True

    def _fsync(self, call: Call) -> bool:
        opened = self._opened.get((call.pid, call.numbers()[0]))
        if opened is not None:
            opened.what.sync()
        return opened is not None

    _fdatasync = _fsync

    def _rename(self, call: Call) -> bool:
        source, target = (self._find(text) for text in call.texts)
        if source is None or target is None:
            return False
        assert source[0] is target[0], "a rename between folders is not understood"
        source[0].change((source[1], None), (target[1], source[0].now()[source[1]]))
        return True

    def _link(self, call: Call) -> bool:
        what, target = self._lookup(call.texts[0]), self._find(call.texts[1])
        if what is None or target is None:
            return False
        target[0].change((target[1], what))
        return True

    def _unlink(self, call: Call) -> bool:
        place = self._find(call.texts[0])
        if place is None:
            return False
        place[0].change((place[1], None))
        return True

    def _mkdir(self, call: Call) -> bool:
        place = self._find(call.texts[0])
        if place is None:
            return False
        place[0].change((place[1], Folder()))
        return True
