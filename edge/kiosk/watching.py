"""What the header says of the device: looked at every few seconds, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge.health import Health, PartLook
from edge.kiosk.health import hints, look_at
from edge.kiosk.server import Kiosk
from edge.watch import NO_PARTS, Parts

PERIOD_S = 5.0

KEYS_S = 60.0
"""How long keys that were found well, and the gallery that one of them opens, are believed: to open them
takes a TPM several programs. Sessions, and the page of the device's health, open them anyway."""

_log = logging.getLogger(__name__)


class Watch:
    """Tells every page what ``edge.kiosk.health.hints`` says: problems, queue, line and battery."""

    def __init__(self, kiosk: Kiosk, *, now: Callable[[], float] = time.monotonic) -> None:
        self._kiosk = kiosk
        self._now = now
        self._known, self._known_until = NO_PARTS, now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self.look()
            if self._stop.wait(PERIOD_S):
                return

    def look(self) -> None:
        """Look once; a device that cannot be looked at is a problem, never fine."""
        try:
            seen = look_at(self._kiosk, known=self._believed())
            self._remember(seen.health)
            told = hints(seen)
        except Exception:  # a bug: without its thread the header would say for ever what was true once
            _log.exception("the device could not be looked at")
            told = {"problems": ["INTERNAL_FAULT"]}
        self._kiosk.hub.tell(**told)

    def _believed(self) -> Parts:
        """What needs keys, while it is believed."""
        if self._now() >= self._known_until:
            self._known, self._known_until = NO_PARTS, self._now() + KEYS_S
        return self._known

    def _remember(self, health: Health | None) -> None:
        """A fault is looked at again each time: it may be mended."""
        if health is None:
            self._known = NO_PARTS
        else:
            self._known = Parts(key=_if_well(health.key), gallery=_if_well(health.gallery))


def _if_well(part: PartLook | None) -> PartLook | None:
    return part if part is not None and not part.code else None
