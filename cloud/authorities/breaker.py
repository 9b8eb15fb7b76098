"""When an authority is not asked for a while: a circuit breaker. Pure; times are monotonic seconds.

CLOSED   every question is sent; ``open_after`` questions in a row without an answer open it
OPEN     none is sent, until ``open_s`` have passed
PROBING  one question is under way, and nobody else's is sent; its end closes or opens the circuit
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    PROBING = "PROBING"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """``open_after``: questions in a row. ``open_s``: how long nothing is sent."""

    open_after: int
    open_s: float


class Breaker:
    """Of one authority. Every question that is admitted ends with exactly one of the three methods."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False

    def circuit(self, now: float) -> Circuit:
        """The state that a question would meet."""
        if self._opened_at is None:
            return Circuit.CLOSED
        if self._probing or now - self._opened_at >= self._limits.open_s:
            return Circuit.PROBING
        return Circuit.OPEN

    @property
    def failed_in_a_row(self) -> int:
        return self._failed

    def admit(self, now: float) -> float | None:
        """None where the question may be sent; else after how many seconds one may be again."""
        if self._opened_at is None:
            return None
        left = self._opened_at + self._limits.open_s - now
        if self._probing or left > 0:
            return max(left, 1.0)  # a probe takes about as long as a question
        self._probing = True
        return None

    def answered(self) -> None:
        """An answer came: all is well."""
        self._failed = 0
        self._opened_at = None
        self._probing = False

    def failed(self, now: float) -> None:
        """No answer came, with all the tries that a question has."""
        self._failed += 1
        if self._probing or self._failed >= self._limits.open_after:
            self._opened_at = now
        self._probing = False

    def abandoned(self) -> None:
        """The asker went away before the end: nothing was learnt, and another may probe."""
        self._probing = False
