"""How often somebody may try with one document, and what they are offered after a failure. Pure.

    failed    offered
    0         the challenge
    1         the challenge again, with the advice of the reasons
    2 ...     more time, and the variants for people who cannot see the screen or turn the head, where the
              policy has them; and two people may decide by hand, where the attempt leaves room (edge.manual)
    the most  no challenge for a quarter of an hour; two people may decide by hand

Each attempt is attested by itself, and says which one it is and which variant was given. What was stopped
before it came to an answer is no failed attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.answers import Accommodation, ChallengeVariant, EarlierRecord
from edge.contact import Arrival
from edge.model import Outcome
from edge.policy import LivenessPolicy

ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP"
"""The reason of a session that ended before the camera, for having failed too often."""

WINDOW = timedelta(minutes=15)
"""For which failures count: long enough that trying out is slow, short enough for somebody who waits."""

FAILED = frozenset({Outcome.INCONCLUSIVE, Outcome.SPOOF, Outcome.NOT_MATCHED})

HELP_AFTER = 2
"""Failures after which other ways are offered: the second may be the challenge, not the person."""


@dataclass(frozen=True, slots=True)
class Offer:
    """``again``: whether there may be another attempt. ``accommodations``: ways to make it, the usual first.

    ``by_hand``: whether to offer that two people decide.
    """

    again: bool
    accommodations: tuple[Accommodation, ...]
    by_hand: bool


def count_failed(records: Iterable[EarlierRecord], *, wall: datetime, mark: Arrival) -> int:
    """Count the attempts that failed within the window. ``wall``, ``mark``: as of a record that is made now.

    Within one boot the wall clock has no say, however it is set. Beyond it one from the future counts as
    well: a clock that was set back must not forgive.
    """
    return sum(record.outcome in FAILED and _is_of_late(record, wall, mark) for record in records)


def _is_of_late(record: EarlierRecord, wall: datetime, mark: Arrival) -> bool:
    if record.boot_id == mark.boot_id:
        return timedelta(microseconds=(mark.monotonic_ns - record.monotonic_ns) // 1000) < WINDOW
    return record.at > wall - WINDOW


def offer_after(failed: int, policy: LivenessPolicy) -> Offer:
    """What to offer after so many failed attempts with one document."""
    again = failed < policy.max_attempts
    helped = failed >= HELP_AFTER
    ways = [Accommodation()]
    if helped:
        variants = [ChallengeVariant.STANDARD]
        if not policy.refuse_variants:
            variants += [ChallengeVariant.NO_SCREEN, ChallengeVariant.NO_TURN]
        ways += [Accommodation(variant, more_time=True) for variant in variants]
    return Offer(again, tuple(ways) if again else (), helped or not again)
