"""Time as the device knows it, and how far it can be believed.

A wall clock alone proves nothing: a battery dies, somebody sets it. What the device does know is what
the cloud said last, and how long it has been on since. From these come a label for each reading, which
never stops a capture, and bounds, by which things expire.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

from edge.contact import Arrival, ClockMark, Contact
from edge.errors import HardwareError
from edge.model import Validity
from edge.ports import Clock
from verifield.v1.attestation_pb2 import (
    TIME_QUALITY_BOUNDED,
    TIME_QUALITY_SUSPECT,
    TIME_QUALITY_TRUSTED,
    TimeQuality,
)

BUILD_DATE = datetime(2026, 11, 1, tzinfo=UTC)
"""No device of this version existed before; raised with every release."""

MAX_DRIFT = timedelta(seconds=60)
"""Two clocks that differ by more do not agree; the way of a receipt over a slow link takes less."""

MAX_SILENCE = timedelta(days=400)
"""A device is stopped long before; a wall clock that lies further ahead of the last receipt is wrong."""

ZONE_WIDTH = timedelta(hours=14)
"""The zones furthest from UTC; a document's last day ends that much later, or earlier, than UTC's."""

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the clocks. ``wall``: aware, UTC.

    ``since_receipt_ns``: since the cited receipt arrived, where that was in this very boot.
    """

    boot_id: str
    monotonic_ns: int
    wall: datetime
    quality: TimeQuality.ValueType
    since_receipt_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """``not_before``: it is certainly that late. ``wall``: what the clock shows, worth its ``quality``."""

    not_before: datetime
    quality: TimeQuality.ValueType
    wall: datetime

    @property
    def likely(self) -> datetime:
        """The best guess: the wall clock unless it is SUSPECT. Good for marks, never for deleting."""
        if self.quality == TIME_QUALITY_SUSPECT:
            return self.not_before
        return max(self.wall, self.not_before)


class SystemClock:
    """The clocks of the operating system; implements ``edge.ports.Clock``."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot, suspend included (CLOCK_BOOTTIME)."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def boot_id(self) -> str:
        """Return the kernel's id of this boot.

        Raises:
            HardwareError: NO_BOOT_ID, on a system that does not tell.
        """
        try:
            return BOOT_ID_PATH.read_text("ascii").strip()
        except OSError:
            raise HardwareError(
                "NO_BOOT_ID",
                "The system does not tell its boot id.",
                hint=f"Run on Linux with {BOOT_ID_PATH} readable.",
            ) from None


def label_time(
    wall: datetime,
    *,
    last_server_time: datetime | None,
    since_word: timedelta | None = None,
    since_mark: tuple[datetime, timedelta] | None = None,
    uptime: timedelta = timedelta(0),
    build_date: datetime = BUILD_DATE,
) -> TimeQuality.ValueType:
    """Say how far ``wall`` can be believed. The label never stops a capture.

    ``since_word``: how long ago the last receipt arrived, where that was in this boot. ``since_mark``:
    what the wall clock showed at an earlier record of this boot, and how long ago that was. ``uptime``:
    how long the device was certainly on since the last receipt, in whichever boots.

    TRUSTED: a receipt arrived in this boot, and the wall clock agrees with it.
    SUSPECT: there was never a receipt, or the wall clock contradicts what is known: the receipt of this
    boot, the server time of the last receipt, the time on since, the build date, the earlier record, or
    the longest silence that is possible.
    BOUNDED: otherwise.
    """
    if last_server_time is None or wall < build_date:
        return TIME_QUALITY_SUSPECT
    if since_word is not None:
        agrees = abs(wall - last_server_time - since_word) <= MAX_DRIFT
        return TIME_QUALITY_TRUSTED if agrees else TIME_QUALITY_SUSPECT
    if not last_server_time <= wall <= last_server_time + MAX_SILENCE:
        return TIME_QUALITY_SUSPECT
    if wall < last_server_time + uptime - MAX_DRIFT:
        return TIME_QUALITY_SUSPECT
    if since_mark is not None and abs(wall - since_mark[0] - since_mark[1]) > MAX_DRIFT:
        return TIME_QUALITY_SUSPECT
    return TIME_QUALITY_BOUNDED


def read_clock(
    clock: Clock,
    *,
    last_server_time: datetime | None,
    arrival: Arrival | None = None,
    last_clock: ClockMark | None = None,
) -> ClockReading:
    """Read all clocks at once and label the reading.

    ``last_server_time`` and ``arrival``: of the cited receipt. ``last_clock``: of an earlier record.
    """
    boot_id, now_ns, wall = clock.boot_id(), clock.monotonic_ns(), clock.wall()
    since_ns = _since(arrival, boot_id, now_ns)
    since_mark_ns = _since(last_clock, boot_id, now_ns)
    quality = label_time(
        wall,
        last_server_time=last_server_time,
        since_word=None if since_ns is None else _duration(since_ns),
        since_mark=(last_clock.wall, _duration(since_mark_ns))
        if last_clock is not None and since_mark_ns is not None
        else None,
    )
    return ClockReading(boot_id, now_ns, wall, quality, since_ns)


def arrival_now(clock: Clock) -> Arrival:
    """Where the device's own clock stands, to be noted beside what arrives."""
    return Arrival(clock.boot_id(), clock.monotonic_ns())


def bounded_now(clock: Clock, *, contact: Contact | None, build_date: datetime = BUILD_DATE) -> TimeBounds:
    """Say how late it certainly is: what the cloud said last, plus the time that the device was on since."""
    now, wall = arrival_now(clock), clock.wall()
    if contact is None or contact.server_time is None:
        return TimeBounds(build_date, TIME_QUALITY_SUSPECT, wall)
    uptime = contact.elapsed(now)
    quality = label_time(
        wall,
        last_server_time=contact.server_time,
        since_word=uptime if contact.arrival.boot_id == now.boot_id else None,
        uptime=uptime,
        build_date=build_date,
    )
    return TimeBounds(max(contact.server_time + uptime, build_date), quality, wall)


def judge_validity(valid_from: date, valid_to: date | None, bounds: TimeBounds) -> Validity:
    """Judge a document by its dates, both included; ``valid_to`` None does not expire.

    EXPIRED and NOT_YET only where that is certain: an earliest time past the end is, and so is what a
    TRUSTED clock shows. A BOUNDED clock may speak for a document, not against it; one that never expires
    and has surely begun needs none. Dates are those of some time zone, so a day's width is left at both
    ends.
    """
    first = datetime.combine(valid_from, time_of_day.min, UTC)
    last = datetime.combine(valid_to or date.max, time_of_day.max, UTC)
    if bounds.not_before - ZONE_WIDTH > last:
        return Validity.EXPIRED
    if valid_to is None and bounds.not_before - ZONE_WIDTH >= first:
        return Validity.VALID
    if bounds.quality == TIME_QUALITY_SUSPECT:
        return Validity.UNCERTAIN
    trusted = bounds.quality == TIME_QUALITY_TRUSTED
    if bounds.likely + ZONE_WIDTH < first:
        return Validity.NOT_YET if trusted else Validity.UNCERTAIN
    if bounds.likely - ZONE_WIDTH > last:
        return Validity.EXPIRED if trusted else Validity.UNCERTAIN
    return Validity.VALID


def _since(mark: Arrival | ClockMark | None, boot_id: str, now_ns: int) -> int | None:
    """Nanoseconds since ``mark``; None where it belongs to another boot."""
    if mark is None or mark.boot_id != boot_id or mark.monotonic_ns > now_ns:
        return None
    return now_ns - mark.monotonic_ns


def _duration(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds // 1000)
