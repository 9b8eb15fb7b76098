"""Times as texts in the store."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """One width for all, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def parse_time(text: str) -> datetime:
    """Parse what :func:`time_text` wrote."""
    return datetime.fromisoformat(text)
