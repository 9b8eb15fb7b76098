"""For how long a verification is good: P90D, P6M, P1Y (ISO 8601), and the instant at which that ends."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta

_PERIOD = re.compile(r"P([1-9][0-9]{0,3})([DMY])")
_MONTHS = {"M": 1, "Y": 12}

MAX_MONTHS = 120
MAX_DAYS = 3660
"""Ten years: no verification is good for longer."""


def is_period(text: str) -> bool:
    """Whether ``text`` is a period of at most ten years."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        return False
    count = int(match[1])
    return count <= MAX_DAYS if match[2] == "D" else count * _MONTHS[match[2]] <= MAX_MONTHS


def end_of(begin: datetime, period: str) -> datetime:
    """The instant at which a period that begins at ``begin`` (UTC) is over.

    Days have 24 hours. Months end on the same day of the month at the same time, or on the last day of a
    month that has no such day.
    """
    match = _PERIOD.fullmatch(period)
    if match is None or not is_period(period):
        raise ValueError("a period is one like P90D, P6M, P1Y")
    count = int(match[1])
    if match[2] == "D":
        return begin + timedelta(days=count)
    months = begin.month - 1 + count * _MONTHS[match[2]]
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return begin.replace(year=year, month=month, day=day)
