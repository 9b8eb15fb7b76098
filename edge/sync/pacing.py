"""How long to wait, and how much to send at once. Pure; seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

BACKOFF_FIRST_S = 1.0
BACKOFF_CAP_S = 300.0
"""A cloud that comes back is noticed within five minutes; a fleet does not hammer it."""

BACKOFF_MAX_EXPONENT = 9
"""2**9 s is past the cap; a larger exponent would only overflow after weeks offline."""

FIRST_BATCH_BYTES = 16 * 1024
"""Six seconds on a link of 23 kbit/s: an unknown link is probed with what costs little to lose."""

SMALLEST_BATCH_BYTES = 2 * 1024
"""About one record; a batch always has at least one, whatever its size."""

LARGEST_BATCH_BYTES = 2 * 1024 * 1024
"""A limit of the contract (sync_service.proto)."""

QUICK_S = 5.0
SLOW_S = 20.0
"""Batches grow while answers come within the one and shrink when they take longer than the other: a cut
then costs seconds of a slow link, and a fast one is filled."""


def backoff_s(attempts: int, jitter: float) -> float:
    """Delay after ``attempts`` failures before this one: full jitter under a doubling, capped ceiling.

    Never under the first delay, so that no run of luck makes a busy loop.
    """
    ceiling = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2.0 ** min(attempts, BACKOFF_MAX_EXPONENT))
    return BACKOFF_FIRST_S + jitter * (ceiling - BACKOFF_FIRST_S)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How many bytes the next batch may have."""

    limit: int = FIRST_BATCH_BYTES

    def after_answer(self, *, sent: int, took_s: float) -> BatchSize:
        """Grow only where the batch was about as large as allowed: a small one says little of the link."""
        if took_s > SLOW_S:
            return self.after_failure()
        if took_s < QUICK_S and 2 * sent >= self.limit:
            return replace(self, limit=min(2 * self.limit, LARGEST_BATCH_BYTES))
        return self

    def after_failure(self) -> BatchSize:
        """Halve: less is lost the next time."""
        return replace(self, limit=max(self.limit // 2, SMALLEST_BATCH_BYTES))
