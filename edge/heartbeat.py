"""A daemon's last sign of life, in a file that others read: is it alive, and how does it stand?

The file lies on a memory disk where the device has one, and is not made durable: it is worth nothing after
a restart, and says so by the boot's id. Codes only, nothing about a person.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.files import PRIVATE_FILE, make_private_folder
from edge.ports import Clock

SYNC_BEAT = "sync.json"
"""Where the sync daemon leaves its sign of life, in the run folder."""

BEAT_S = 10.0
"""How often a daemon writes; a change of its state is written at once."""

SILENT_S = 180.0
"""A call over the slowest link may take as long; a daemon that is silent longer hangs or is gone."""

MAX_BYTES = 4096
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Beat:
    """``age_s``: since it was written, in this boot. ``code``: of what troubles the daemon, or empty."""

    state: str
    code: str
    age_s: float

    @property
    def alive(self) -> bool:
        return self.age_s <= SILENT_S


class Heartbeat:
    """Writes the sign of life of one daemon at ``path``."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._last: tuple[str, str] | None = None
        self._next_ns = 0

    def beat(self, *, state: str, code: str = "") -> None:
        """Write, where it is time or something has changed; a disk that refuses stops no daemon."""
        now = self._clock.monotonic_ns()
        if (state, code) == self._last and now < self._next_ns:
            return
        self._last, self._next_ns = (state, code), now + int(BEAT_S * _NS)
        said = {"boot_id": self._clock.boot_id(), "monotonic_ns": now, "state": state, "code": code}
        with suppress(OSError):
            make_private_folder(self._path.parent)
            beside = self._path.with_name(f".{self._path.name}.new")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(said, file)
            beside.replace(self._path)

    def end(self) -> None:
        """The daemon ends as it should: there is nothing to hear of it any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_beat(path: Path, clock: Clock) -> Beat | None:
    """The last sign of life in this boot; None where there is none, or where the file makes no sense."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(MAX_BYTES))
        if said["boot_id"] != clock.boot_id():
            return None
        age_s = (clock.monotonic_ns() - int(said["monotonic_ns"])) / _NS
        return Beat(str(said["state"])[:64], str(said["code"])[:64], max(0.0, age_s))
    except (OSError, ValueError, KeyError, TypeError):
        return None
