"""How times and sizes are shown on the kiosk: the device's own time zone, round figures. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from edge.kiosk.texts import Texts

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def ago(texts: Texts, silence: timedelta) -> str:
    """``3 h ago`` in words; what lies ahead is just now."""
    minutes = int(silence / timedelta(minutes=1))
    if minutes < 1:
        return texts("ago.now")
    if minutes < 60:
        return texts("ago.minutes", n=minutes)
    hours = minutes // 60
    return texts("ago.hours", n=hours) if hours < 48 else texts("ago.days", n=hours // 24)


def moment(at: datetime) -> str:
    """``2026-11-22 14:05`` on the device's clock; ``at``: aware."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def hour(at: datetime) -> str:
    """``14:05`` on the device's clock; ``at``: aware."""
    return f"{at.astimezone():%H:%M}"


def figure(value: str) -> str:
    """A figure of the device's health; a time among them as all other times are shown."""
    if "T" not in value:
        return value
    try:
        return moment(datetime.fromisoformat(value))
    except ValueError:
        return value


def size(count: int) -> str:
    """``1.4 MiB``; at most one digit behind the point."""
    value = float(max(0, count))
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes everything")
