"""What an agent in a field wants to see at a glance: how long the battery lasts, and whether there is a line.

Batteries are read where Linux shows them, under /sys/class/power_supply; the line is judged by the cloud's
last word, because a radio that shows bars says nothing about what it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

POWER_SUPPLIES = Path("/sys/class/power_supply")

MAX_SUPPLIES = 16
"""A tablet has three; what lists more is broken."""

MAX_VALUE_BYTES = 64
"""A number or a word."""

LOW_PERCENT = 25
"""A session and its delivery take less; there is time to find a plug."""

EMPTY_PERCENT = 10
"""Where many machines switch themselves off at a few per cent, this is a few sessions."""

FRESH = timedelta(minutes=10)
"""The daemon looks at least that often where there is a line."""

STALE = timedelta(hours=8)
"""A day in the field without a word: time to look for a network."""


class Charge(StrEnum):
    """How a battery is, from nothing to do to something to do."""

    FULL = "FULL"
    CHARGING = "CHARGING"
    ENOUGH = "ENOUGH"
    LOW = "LOW"
    EMPTY = "EMPTY"


class Line(StrEnum):
    """What is known of the way to the cloud."""

    FRESH = "FRESH"
    QUIET = "QUIET"
    STALE = "STALE"
    NEVER = "NEVER"


@dataclass(frozen=True, slots=True)
class Battery:
    """``percent``: 0..100. ``plugged``: whether it runs on mains."""

    percent: int
    plugged: bool

    @property
    def charge(self) -> Charge:
        if self.percent >= 95:
            return Charge.FULL
        if self.plugged:
            return Charge.CHARGING
        if self.percent <= EMPTY_PERCENT:
            return Charge.EMPTY
        return Charge.LOW if self.percent <= LOW_PERCENT else Charge.ENOUGH


def read_battery(folder: Path = POWER_SUPPLIES) -> Battery | None:
    """Return what the system's batteries hold together; None where there is none, or it cannot be told.

    Batteries of mice and the like (scope Device) do not count.
    """
    levels: list[int] = []
    plugged = False
    try:
        supplies = sorted(folder.iterdir())[:MAX_SUPPLIES]
    except OSError:
        return None
    for supply in supplies:
        if _read(supply / "scope") == "Device":
            continue
        if _read(supply / "type") != "Battery":
            plugged = plugged or _read(supply / "online") == "1"
            continue
        plugged = plugged or _read(supply / "status") in ("Charging", "Full")
        level = _read(supply / "capacity")
        if _read(supply / "present") != "0" and level.isdecimal() and int(level) <= 100:
            levels.append(int(level))
    return Battery(sum(levels) // len(levels), plugged) if levels else None


def judge_line(silence: timedelta | None) -> Line:
    """Judge the way to the cloud by the time since its last word; None: it has never spoken."""
    if silence is None:
        return Line.NEVER
    if silence <= FRESH:
        return Line.FRESH
    return Line.QUIET if silence <= STALE else Line.STALE


def _read(path: Path) -> str:
    """One value; empty where it cannot be read: a supply may go at any moment."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_VALUE_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
