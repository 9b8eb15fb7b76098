"""Days in seconds: a clock that jumps where the daemon would sleep. Network calls take their real time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from edge.attest.clock import SystemClock


class JumpingClock(SystemClock):
    """The system's clocks, and what was slept over."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + round(self.skipped_s * 1e9)

    def wall(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skipped_s)

    def now_s(self) -> float:
        return self.monotonic_ns() / 1e9


class JumpingStop(threading.Event):
    """A stop for the daemon: waiting for it takes no time, and moves the clock."""

    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        time.sleep(0)  # lets other threads look
        self._clock.skipped_s += timeout
        return self.is_set()
