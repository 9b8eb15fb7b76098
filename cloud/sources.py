"""Where time and randomness come from: passed in, so that tests choose both."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sources:
    """``now``: aware UTC time. ``random_bytes``: cryptographically strong."""

    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]

    @classmethod
    def system(cls) -> Sources:
        """The machine's own clock and generator."""
        return cls(now=lambda: datetime.now(UTC), random_bytes=secrets.token_bytes)

    def uuid7(self) -> str:
        """A new UUID version 7 (RFC 9562): milliseconds, then chance, so that ids ascend with time."""
        stamp = (to_us(self.now()) // 1000).to_bytes(6, "big")
        number = int.from_bytes(stamp + self.random_bytes(10), "big")
        number = number & ~(0xF << 76) | 7 << 76
        return str(uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62))


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time: how the store keeps times."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The aware UTC time of ``to_us``."""
    return _EPOCH + timedelta(microseconds=microseconds)
