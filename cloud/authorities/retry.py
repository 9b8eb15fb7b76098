"""How often, and after which pauses, a question is sent again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.2
"""A gateway that was busy for a moment is asked again before a person notices."""

LONGEST_PAUSE_S = 5.0
"""Pauses double up to here; longer ones would use up the budget without asking."""


@dataclass(frozen=True, slots=True)
class Budget:
    """``tries``: how often a question is sent. ``seconds``: all tries and pauses together.

    ``try_s``: the longest that one try may take.
    """

    tries: int
    seconds: float
    try_s: float

    def time_for_try(self, elapsed_s: float) -> float:
        """How long the next try may take; not above zero where none is left."""
        return min(self.try_s, self.seconds - elapsed_s)

    def pause(
        self, *, tried: int, elapsed_s: float, chance: float, told_s: float | None = None
    ) -> float | None:
        """How long to wait before the next try; None where there is none.

        ``chance``: evenly from 0 to 1. Half of the pause is chance, so that many who were refused in one
        moment do not come again in one moment. ``told_s``: what the authority asked for, the least.
        """
        if tried >= self.tries:
            return None
        longest = LONGEST_PAUSE_S
        if tried <= 16:  # beyond, the power is far above the longest pause
            longest = min(longest, FIRST_PAUSE_S * 2 ** (tried - 1))
        wait = max(longest * (0.5 + chance / 2), told_s or 0.0)
        return wait if elapsed_s + wait < self.seconds else None
