"""The cloud's newest word, and the clocks around it: values that bound what time it is. Frozen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where the device's own clock stood when the cloud's word arrived. ``monotonic_ns``: since boot."""

    boot_id: str
    monotonic_ns: int


BY_HAND = Arrival("by-hand", 0)
"""Of a word that lay on a stick: it says nothing about when this boot's clock stood where."""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What the clocks showed together at the newest record whose time was not SUSPECT. ``wall``: aware."""

    boot_id: str
    monotonic_ns: int
    wall: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """The cloud's newest word. ``server_time``: None where the device has none since it was enrolled.

    ``arrival``: when that word came. ``uptime_ns``: how long the device was certainly on since, up to
    the moment ``mark``, which may be of a later boot.
    """

    server_time: datetime | None
    arrival: Arrival
    mark: Arrival
    uptime_ns: int = 0

    def elapsed(self, now: Arrival) -> timedelta:
        """At least this long ago: time switched off is not known, time switched on is."""
        return timedelta(microseconds=self._elapsed_ns(now) // 1000)

    def until(self, now: Arrival) -> Contact:
        """The same word, with the time until ``now`` counted."""
        return Contact(self.server_time, self.arrival, now, self._elapsed_ns(now))

    def after_word_by_hand(self, server_time: datetime, now: Arrival) -> Contact:
        """What is known once a word was read that had lain on a stick, for nobody knows how long.

        One that is not newer is no new word, and the time that was certain before stays so.
        """
        if self.server_time is None:
            return Contact(server_time, BY_HAND, now)
        if server_time <= self.server_time:
            return self.until(now)
        since = self.server_time + self.elapsed(now) - server_time
        return Contact(server_time, BY_HAND, now, max(0, since // timedelta(microseconds=1)) * 1000)

    def _elapsed_ns(self, now: Arrival) -> int:
        counted_ns = self.mark.monotonic_ns if self.mark.boot_id == now.boot_id else 0
        return self.uptime_ns + max(0, now.monotonic_ns - counted_ns)
