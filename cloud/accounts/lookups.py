"""How many identifiers that nobody has may be asked for from one place.

Signing in says openly that nobody has an identifier. So that nobody finds out at scale who has an account,
each device and each address may be wrong so many times in any minute; then it hears nothing at all, about
identifiers that exist either. The times are kept in the database: they count on all servers, and after a
start.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.store import account_sessions as rows

WINDOW_US = 60_000_000

_BYTES = 8


@dataclass(frozen=True, slots=True)
class Lookups:
    """``secret``: 32 bytes or more that are never in the database. Addresses are kept as keyed digests."""

    secret: bytes = field(repr=False)

    def check(self, connection: Connection, source: str, *, limit: int, now_us: int) -> None:
        """Refuse a source that has no room left.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS.
        """
        times = _within(rows.get_lookups(connection, self._key(source)), now_us)
        if len(times) >= limit:
            raise _too_many(times[-limit], limit=limit, now_us=now_us)

    def note(self, connection: Connection, source: str, *, limit: int, clock: Callable[[], int]) -> None:
        """Count one, exactly, whoever asks at the same time. ``clock``: microseconds.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS: there was no room; nothing is counted then.
        """
        key = self._key(source)
        packed = rows.lock_lookups(connection, key, now_us=clock())
        now_us = clock()  # behind the lock: what others asked meanwhile is not ahead of it
        times = _within(packed, now_us)
        if len(times) >= limit:
            raise _too_many(times[-limit], limit=limit, now_us=now_us)
        packed = struct.pack(f">{len(times) + 1}q", *times, now_us)
        rows.put_lookups(connection, key, packed, now_us=now_us)

    def _key(self, source: str) -> bytes:
        return hmac.digest(self.secret, b"verifield look-ups\0" + source.encode(), sha256)


def _within(packed: bytes | None, now_us: int) -> list[int]:
    """The times of the last minute, in order. Those a little ahead (clocks of servers differ) are among them;
    where a clock was set back, what is still long to come is dropped."""
    if not packed:
        return []
    times = struct.unpack(f">{len(packed) // _BYTES}q", packed)
    return sorted(at for at in times if abs(now_us - at) < WINDOW_US)


def _too_many(first_us: int, *, limit: int, now_us: int) -> ServiceError:
    return ServiceError(
        Reason.TOO_MANY_LOOKUPS,
        f"More than {limit} identifiers that nobody has were asked for in a minute.",
        {"limit": str(limit)},
        retry_s=max((first_us + WINDOW_US - now_us) / 1e6, 0.001),
    )
