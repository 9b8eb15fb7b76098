"""What goes over the cable, by name and size: never a byte of what a card said.

``logging`` gets these lines at the level TRAFFIC, below DEBUG, so that nobody sees them by accident.
"""

from __future__ import annotations

import logging

from edge.reader.dialogue import ASKS
from edge.reader.link import Reply
from edge.reader.status import SUCCESSES, failure

TRAFFIC = 7  # 5 is what uvicorn names TRACE, in the same process
logging.addLevelName(TRAFFIC, "TRAFFIC")

_log = logging.getLogger("edge.reader.traffic")
_NAMES = {ask.frame: state.value.lower() for state, ask in ASKS.items()}


def say_sent(frame: bytes) -> None:
    """Log a command; those that this device sends hold nothing personal."""
    if _log.isEnabledFor(TRAFFIC):
        _log.log(TRAFFIC, "> %s", _NAMES.get(frame, "?"))


def say_heard(reply: Reply) -> None:
    """Log a reply: its status words and how many bytes came with them."""
    if _log.isEnabledFor(TRAFFIC):
        meaning = "ok" if reply.status in SUCCESSES else failure(reply.status).meaning
        _log.log(
            TRAFFIC,
            "< %02X %02X %02X + %d bytes (%s)",
            *(reply.sw1, reply.sw2, reply.status, len(reply.data), meaning),
        )


def say_dropped(count: int) -> None:
    """Log that bytes belonged to no reply."""
    if _log.isEnabledFor(TRAFFIC):
        _log.log(TRAFFIC, "< %d bytes that are no reply", count)
