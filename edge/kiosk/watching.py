"""What the header says of the device: looked at every few seconds, on a thread of its own."""

from __future__ import annotations

import logging
import threading

from edge.kiosk.health import hints, look_at
from edge.kiosk.server import Kiosk

PERIOD_S = 5.0

_log = logging.getLogger(__name__)


class Watch:
    """Tells every page what ``edge.kiosk.health.hints`` says: problems, queue, line and battery."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
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
            told = hints(look_at(self._kiosk))
        except Exception:  # a bug: without its thread the header would say for ever what was true once
            _log.exception("the device could not be looked at")
            told = {"problems": ["INTERNAL_FAULT"]}
        self._kiosk.hub.tell(**told)
