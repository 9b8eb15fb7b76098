"""What a daemon tells systemd (sd_notify(3)): that it is ready, that its loop turns, how it stands.

Outside systemd nothing is told. A watchdog that is fed by a thread of its own says nothing about the
program: ``alive`` is called by the loop that does the work, and by nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sdnotify import SystemdNotifier

BEATS_PER_LIMIT = 3
"""How often within the watchdog's time the loop is reported: one that is late is not killed."""

_MICROSECONDS = 1_000_000
_MAX_STATUS = 200
"""Characters of a status line; systemctl shows one line."""


class Notifier(Protocol):
    """The part of ``sdnotify.SystemdNotifier`` that is used."""

    def notify(self, state: str) -> None: ...


class Service:
    """Opened with ``Service.open``; ``watchdog_s``: the time in which a beat is wanted, None for never."""

    def __init__(
        self,
        notifier: Notifier | None,
        *,
        watchdog_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._every_s = None if watchdog_s is None else watchdog_s / BEATS_PER_LIMIT
        self._monotonic = monotonic
        self._next_beat = float("-inf")
        self._status = ""

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> Service:
        """Speak to the systemd that the environment names, if there is one."""
        if not environ.get("NOTIFY_SOCKET"):
            return cls(None)
        micros = environ.get("WATCHDOG_USEC", "")
        watchdog_s = int(micros) / _MICROSECONDS if micros.isdecimal() and int(micros) > 0 else None
        return cls(SystemdNotifier(), watchdog_s=watchdog_s)

    def ready(self, status: str = "") -> None:
        """The daemon does its work from now on."""
        self._send("READY=1")
        self.alive()
        self.status(status)

    def alive(self) -> None:
        """The loop has turned; told as often as the watchdog needs, and no more."""
        now = self._monotonic()
        if self._every_s is not None and now >= self._next_beat:
            self._next_beat = now + self._every_s
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``: codes and figures, nothing about a person."""
        line = " ".join(text.encode("ascii", "replace").decode().split())[:_MAX_STATUS]
        if line and line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def stopping(self) -> None:
        """The daemon ends, and that is no fault."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Let go of the socket; a daemon's end does it as well."""
        own = getattr(self._notifier, "socket", None)
        if own is not None:
            own.close()

    def _send(self, state: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(state)
