"""Clocks that move only when they are told to."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Implements ``edge.ports.Clock``; ``advance`` can stand in for sleeping."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def boot_id(self) -> str:
        return "00000000-0000-4000-8000-000000000000"

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class SteeredClock:
    """Implements ``edge.ports.Clock`` with every fault that clocks have: set, stopped, rebooted."""

    def __init__(self, *, wall: datetime) -> None:
        self._wall = wall
        self._on = timedelta(hours=1)
        self._boot = 1
        self.stopped = False

    def monotonic_ns(self) -> int:
        return self._on // timedelta(microseconds=1) * 1000

    def wall(self) -> datetime:
        return self._wall

    def boot_id(self) -> str:
        return str(uuid.UUID(int=self._boot, version=4))

    def advance(self, duration: timedelta) -> None:
        """Let time pass; a stopped wall clock does not notice."""
        self._on += duration
        if not self.stopped:
            self._wall += duration

    def set_wall(self, wall: datetime) -> None:
        """Somebody, or an empty battery, sets the clock."""
        self._wall = wall

    def reboot(self, *, on_for: timedelta = timedelta(minutes=1)) -> None:
        """Begin another boot, which has lasted ``on_for``; the wall clock is left as it is."""
        self._boot += 1
        self._on = on_for
