"""How long to wait after failed sign-ins. Pure, on the monotonic clock: no wall clock can shorten it."""

from __future__ import annotations

from edge.contact import Arrival
from edge.state.records import Lockout

FREE_FAILURES = 4
"""Mistypings that cost nothing."""

FIRST_BLOCK_S = 30
"""After the fifth failure; doubled by each that follows."""

MAX_BLOCK_S = 3600
"""An hour: 24 guesses a day against a million PINs, and nobody is kept from work for longer."""

_MAX_DOUBLINGS = 7
"""30 s * 2**7 is past the cap; a larger exponent would only overflow."""


def left_ns(lockout: Lockout, now: Arrival) -> int:
    """Nanoseconds until the next attempt is allowed; 0 where it is.

    In another boot the time since that boot counts, and nothing before it: switching the device off and
    on can only lengthen the wait.
    """
    started_ns = lockout.at_ns if lockout.boot_id == now.boot_id else 0
    return max(0, lockout.blocked_ns - max(0, now.monotonic_ns - started_ns))


def counted(lockout: Lockout, now: Arrival) -> Lockout:
    """Return the lock-out with one more failure, which an attempt is until it has passed."""
    failures = lockout.failures + 1
    return Lockout(failures, block_s(failures) * 1_000_000_000, now.boot_id, now.monotonic_ns)


def block_s(failures: int) -> int:
    """Seconds to wait after so many failures in a row."""
    if failures <= FREE_FAILURES:
        return 0
    doublings = min(failures - FREE_FAILURES - 1, _MAX_DOUBLINGS)
    return min(MAX_BLOCK_S, FIRST_BLOCK_S << doublings)
