"""Tells systemd how the service is: READY, STOPPING and WATCHDOG (sd_notify(3)), in a datagram each.

Only where systemd asks for it: NOTIFY_SOCKET in the environment. The watchdog is fed from the event loop,
so that a loop that hangs, and not just a process that died, is started again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

FEED_SHARE = 3
"""The watchdog is fed at a third of its time: one late turn of the loop is not the end."""

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


@dataclass(frozen=True, slots=True)
class Notifier:
    """``address``: None where nobody wants to know; ``watchdog_s``: None where nobody watches."""

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], *, pid: int) -> Notifier:
        """Read what systemd left in the environment; what is meant for another process is nobody's."""
        address = environment.get("NOTIFY_SOCKET", "")
        usable = address.startswith(("/", "@")) and len(address) > 1
        period = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = usable and ours and period.isascii() and period.isdigit() and int(period) > 0
        return cls(address if usable else None, int(period) / 1e6 if watched else None)

    @classmethod
    def system(cls) -> Notifier:
        """That of this process."""
        return cls.of(os.environ, pid=os.getpid())

    def tell(self, *states: str) -> None:
        """Send; a supervisor that is gone or slow must not stop the service."""
        if self.address is None:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(states).encode(), address)
        except OSError:
            return

    async def feed(self) -> None:
        """Feed the watchdog until cancelled; returns at once where there is none."""
        while self.watchdog_s is not None:
            self.tell(WATCHDOG)
            await asyncio.sleep(self.watchdog_s / FEED_SHARE)
