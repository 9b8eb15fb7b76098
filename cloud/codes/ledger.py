"""How often codes are sent: rolling windows over a ledger in the database, the same for all servers.

Whoever sends locks a row for the number, one for the source and one for the person, in one order; then
looks, then writes. So of any number of calls at once, on any number of servers, exactly as many are
accepted as if they had come one after the other. What is refused leaves nothing.

Numbers and sources stand here as digests under the service's own secret, which is never in the database and
never rotates, so that a limit holds over a rotation of the ring. Rows go when the longest window has passed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import codes as rows

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``count`` sends in any span of ``length_us``; one that is exactly so old is not in it."""

    count: int
    length_us: int


PHONE_WINDOWS = (Window(1, MINUTE_US), Window(3, HOUR_US), Window(5, DAY_US))

PERSON_WINDOWS = (Window(10, DAY_US),)
"""Of one account, for all numbers: what its own number has, and as much for a new one. Else whoever holds an
account could use up the codes of strangers."""


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Of one device or one address of the network, whatever the numbers: an office has many people."""

    per_minute: int = 20
    per_hour: int = 200
    per_day: int = 1000

    @property
    def windows(self) -> tuple[Window, ...]:
        return (
            Window(self.per_minute, MINUTE_US),
            Window(self.per_hour, HOUR_US),
            Window(self.per_day, DAY_US),
        )


def free_at(windows: tuple[Window, ...], nth_newest: Callable[[int], int | None], *, now_us: int) -> int:
    """From when on the next send is accepted; ``now_us`` or less: now.

    ``nth_newest``: when the n-th newest send was. A time ahead of ``now_us`` (clocks differ) is in all
    windows.
    """
    newest = ((nth_newest(window.count), window) for window in windows)
    return max((at + window.length_us for at, window in newest if at is not None), default=now_us)


class Ledger:
    """Decides on sends. ``secret``: 32 bytes or more that are never in the database."""

    def __init__(self, sources: Sources, *, secret: bytes, limits: SourceLimits) -> None:
        self._sources = sources
        self._secret = hmac.digest(secret, b"verifield sms ledger", hashlib.sha256)
        self._source_windows = limits.windows

    def phone_meter(self, phone: str) -> bytes:
        """What stands for a number (E.164)."""
        return self._meter("phone", phone)

    def take(
        self, connection: Connection, *, phone: str, source: str, person_id: str, purpose: int
    ) -> tuple[int, float]:
        """Count one send; return its time in microseconds, and the seconds until the next one is accepted.

        Raises:
            ServiceError: SMS_TOO_OFTEN; the caller's transaction is undone, and nothing was counted.
        """
        number, origin = self.phone_meter(phone), self._meter("source", source)
        person = self._meter("person", person_id)
        rows.lock_meters(connection, [number, origin, person], now_us=to_us(self._sources.now()))
        now_us = to_us(self._sources.now())  # behind the locks: what others sent meanwhile is not ahead of it

        def of_phone() -> int:
            return free_at(
                PHONE_WINDOWS, lambda nth: rows.phone_nth_newest(connection, number, nth), now_us=now_us
            )

        of_source = free_at(
            self._source_windows, lambda nth: rows.source_nth_newest(connection, origin, nth), now_us=now_us
        )
        of_person = free_at(
            PERSON_WINDOWS, lambda nth: rows.person_nth_newest(connection, person, nth), now_us=now_us
        )
        for scope, free_us in (("phone", of_phone()), ("source", of_source), ("person", of_person)):
            if free_us > now_us:
                raise ServiceError(
                    Reason.SMS_TOO_OFTEN,
                    "Too many text messages were asked for.",
                    {"scope": scope},
                    retry_s=(free_us - now_us) / SECOND_US,
                )
        send = rows.SendRow(self._sources.uuid7(), number, origin, person, purpose=purpose, sent_us=now_us)
        rows.add_send(connection, send)
        return now_us, max(of_phone() - now_us, 0) / SECOND_US

    def sweep(self, connection: Connection, *, limit: int) -> int:
        """Delete what no window reaches any more; return how many rows that were."""
        now_us = to_us(self._sources.now())
        # An hour more than the window: clocks of servers differ.
        before_us = now_us - DAY_US - HOUR_US
        return rows.drop_old(connection, sends_us=before_us, challenges_us=before_us, limit=limit)

    def _meter(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._secret, f"{kind}\0{value}".encode(), hashlib.sha256)
