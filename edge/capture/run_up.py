"""When the capture begins by itself: at the first good run of frames, with the head at rest. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edge.geometry import yaw_ratio
from edge.model import Face, QualityComponent

RUN_S = 0.3
"""A face that passes every component for so long has followed the guidance; it is not passing by."""

RUN_AFTER_BREAK_S = 1.0
"""After an interruption: who was in the middle of a turn needs a moment to see the word and to look back."""

MIN_FRAMES = 4
"""Of a run, also where the camera is slow."""

MAX_YAW_SPREAD = 0.08
"""Of the yaw ratio within a run: five points of a head at rest shake by half of that."""


class GoodRun:
    """Fed with every frame until it says yes. ``max_yaw``: of the yaw ratio that still looks straight."""

    def __init__(self, *, seconds: float, max_yaw: float) -> None:
        self._seconds = seconds
        self._max_yaw = max_yaw
        self._run: deque[tuple[float, float]] = deque()  # times and yaw ratios

    def offer(self, face: Face | None, quality: Sequence[QualityComponent], now: float) -> bool:
        """Take the next frame's face and its quality; True once the run is long enough."""
        good = face is not None and bool(quality) and all(part.passed for part in quality)
        yaw = yaw_ratio(face) if face is not None and good else None
        if yaw is None or abs(yaw) > self._max_yaw:
            self._run.clear()
            return False
        self._run.append((now, yaw))
        while max(y for _, y in self._run) - min(y for _, y in self._run) > MAX_YAW_SPREAD:
            self._run.popleft()  # the head was still moving
        return len(self._run) >= MIN_FRAMES and now - self._run[0][0] >= self._seconds
