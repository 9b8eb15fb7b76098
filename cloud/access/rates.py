"""How often somebody may call, and how often at once; kept by each server for itself."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from cloud.access.rules import Rule
from cloud.access.windows import MAX_KEYS, Windows
from cloud.errors import Reason, ServiceError

MAX_AT_ONCE = 64
"""Calls of one caller, or from one address where nobody says who calls: programs have ten, and nobody alone
takes all places of a port (cloud.server). Some calls may be kept open for ever: those that watch health."""

IPV6_SITE_BITS = 64
"""A single machine chooses addresses within its /64 as it likes."""

_IPV4 = re.compile(r"ipv4:([0-9.]+):[0-9]+")
_IPV6 = re.compile(r"ipv6:\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\]:[0-9]+")


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a minute. ``read``, ``write``: of a person or a token; ``device``: of a device; ``account``: of
    who signed in to an account; ``open``: what
    needs no proof, of an address; ``failed``: calls of an address whose proof was not good."""

    read: int
    write: int
    device: int
    account: int
    open: int
    failed: int


class RateLimits:
    """``clock``: seconds of a clock that never jumps."""

    def __init__(self, rates: Rates, clock: Callable[[], float], *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._items = {
            name: RateLimitItemPerMinute(getattr(rates, name))
            for name in ("read", "write", "device", "account", "open", "failed")
        }
        # Apart, so that thousands of one class do not make those of another forgotten.
        self._limiters = {
            name: MovingWindowRateLimiter(Windows(clock, max_keys=max_keys)) for name in self._items
        }

    def take(self, name: str, who: str) -> None:
        """Count one call of ``who`` in the class ``name`` (a field of Rates).

        Raises:
            ServiceError: RATE_LIMITED, with the time after which there is room again.
        """
        if not self._limiters[name].hit(self._items[name], who):
            raise self._refusal(name, who)

    def check(self, name: str, who: str) -> None:
        """Count nothing, and refuse where there is no room.

        Raises:
            ServiceError: RATE_LIMITED.
        """
        if not self._limiters[name].test(self._items[name], who):
            raise self._refusal(name, who)

    def note(self, name: str, who: str) -> None:
        """Count one where there is room, and refuse nothing."""
        self._limiters[name].hit(self._items[name], who)

    def _refusal(self, name: str, who: str) -> ServiceError:
        item = self._items[name]
        free_at = self._limiters[name].get_window_stats(item, who).reset_time
        return ServiceError(
            Reason.RATE_LIMITED,
            f"More than {item.amount} calls of this kind in a minute.",
            {"class": name, "limit": str(item.amount), "window_s": str(item.get_expiry())},
            retry_s=max(free_at - self._clock(), 0.001),
        )


class Places:
    """Calls that run now, by who makes them. For one event loop."""

    def __init__(self, *, most: int = MAX_AT_ONCE) -> None:
        self._most = most
        self._running: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def take(self, who: str) -> Iterator[None]:
        """Hold a place while the block runs.

        Raises:
            ServiceError: RATE_LIMITED: ``who`` has none left.
        """
        running = self._running.get(who, 0)
        if running >= self._most:
            raise ServiceError(
                Reason.RATE_LIMITED,
                f"More than {self._most} calls at once.",
                {"class": "at_once", "limit": str(self._most)},
                retry_s=1.0,
            )
        self._running[who] = running + 1
        try:
            yield
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]


def class_of(rule: Rule | None) -> str:
    """The class of a method, a field of Rates; None: of one that is closed."""
    if rule is None:
        return "write"
    if rule.open:
        return "open"
    if rule.device:
        return "device"
    if rule.account:
        return "account"
    return "read" if rule.permission and rule.permission.value.endswith(".read") else "write"


def address_of(peer: str) -> str:
    """The address in gRPC's name of a peer, of IPv6 the network of one machine; else the name itself."""
    peer = unquote(peer)
    if found := _IPV4.fullmatch(peer):
        return found[1]
    if found := _IPV6.fullmatch(peer):
        try:
            return str(ipaddress.ip_network((found[1], IPV6_SITE_BITS), strict=False))
        except ValueError:
            return peer
    return peer
