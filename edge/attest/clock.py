"""Time as the device knows it, and how far it can be believed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import HardwareError
from edge.ports import Clock
from verifield.v1.attestation_pb2 import TIME_QUALITY_BOUNDED, TIME_QUALITY_SUSPECT, TimeQuality

BUILD_DATE = datetime(2026, 11, 1, tzinfo=UTC)
"""No device of this version existed before; raised with every release."""

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the clocks. ``wall``: aware, UTC."""

    boot_id: str
    monotonic_ns: int
    wall: datetime
    quality: TimeQuality.ValueType


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
    wall: datetime, *, last_server_time: datetime | None, build_date: datetime = BUILD_DATE
) -> TimeQuality.ValueType:
    """Say how far ``wall`` can be believed.

    BOUNDED: not before the server time of the last verified receipt, nor before this software existed.
    SUSPECT: contradicts one of them, or there is no receipt yet and so no bound. The label never
    stops a capture.
    """
    if last_server_time is None or wall < last_server_time or wall < build_date:
        return TIME_QUALITY_SUSPECT
    return TIME_QUALITY_BOUNDED


def read_clock(clock: Clock, *, last_server_time: datetime | None) -> ClockReading:
    """Read all clocks at once and label the reading."""
    wall = clock.wall()
    return ClockReading(
        boot_id=clock.boot_id(),
        monotonic_ns=clock.monotonic_ns(),
        wall=wall,
        quality=label_time(wall, last_server_time=last_server_time),
    )
