"""Bounds of a record's time: what the service's clock and a device's monotonic clock say together."""

from __future__ import annotations

from datetime import datetime, timedelta

from verifield.errors import Malformed

MAX_DRIFT = 500e-6
"""How much faster than time a monotonic clock may run: the most by which NTP ever slews one (RFC 5905)."""


def earliest_time(server_time: datetime, *, since_receipt_ns: int) -> datetime:
    """Earliest time of a record that was made so long after a receipt of ``server_time`` had arrived.

    The drift is taken off, so that a fast clock never makes a genuine record contradict itself.

    Raises:
        Malformed: it would lie beyond the year 9999.
    """
    try:
        return server_time + timedelta(microseconds=since_receipt_ns // 1000) * (1 - MAX_DRIFT)
    except OverflowError as error:
        raise Malformed("BAD_TIME", "The earliest time of the record is not a valid time.") from error
