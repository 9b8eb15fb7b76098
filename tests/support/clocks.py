"""A clock that moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime


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
