"""A reader that outlives its cable: when the port dies, it is opened again, and the read begins anew."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge.errors import EdgeError, HardwareError, ReaderGone
from edge.model import IdDocument, Prompt
from edge.ports import CardReader, Screen

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Between two tries: soon enough for a person who waits, and seldom enough for a port that stays away."""

_COMING_BACK = frozenset({"NO_READER", "READER_BUSY", "READER_FORBIDDEN", "READER_SILENT", "READER_GARBLED"})
"""Right after it was plugged in, a port may not be there yet, not be ours yet, or its module still start."""

_log = logging.getLogger(__name__)


class LastingReader:
    """Opens readers with ``reopen``, which takes the identity that the module must have.

    The module that came first stays the only one: another at the same cable is READER_CHANGED.
    """

    def __init__(
        self,
        reopen: Callable[[str | None], CardReader],
        *,
        expected_sam_id: str | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reopen = reopen
        self._clock = clock
        self._sleep = sleep
        self._reader: CardReader | None = reopen(expected_sam_id)
        self._sam_id = self._reader.sam_id

    @property
    def sam_id(self) -> str:
        return self._sam_id

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        """As ``edge.ports.CardReader``; a port that dies is waited for as long as a card would be.

        Raises:
            ReaderGone: it did not come back in time.
        """
        until = self._clock() + timeout_s
        while True:
            reader = self._reader or self._open_again(until, screen)
            try:
                return reader.read_document(max(0.0, until - self._clock()), screen)
            except ReaderGone:
                _log.warning("the card reader went away")
                self.close()
                if self._clock() >= until:
                    raise

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_again(self, until: float, screen: Screen) -> CardReader:
        screen.show(Prompt.PLUG_IN_READER)
        pause = FIRST_PAUSE_S
        while True:
            try:
                self._reader = self._reopen(self._sam_id)
            except (HardwareError, ReaderGone) as error:
                if not _may_come_back(error) or self._clock() + pause >= until:
                    raise
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                _log.info("the card reader is back")
                return self._reader


def _may_come_back(error: EdgeError) -> bool:
    return isinstance(error, ReaderGone) or error.code in _COMING_BACK
