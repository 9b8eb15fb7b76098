"""At which speed a module answers: tried one after the other, and never set.

A speed can be written into a module for good, and a change that breaks off half-way strands it. So the
host follows the module.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge.reader.dialogue import ASKS, State
from edge.reader.faults import fault
from edge.reader.link import LinkParser
from edge.reader.serial_port import SerialPort

SPEEDS = (115200, 9600, 57600, 38400, 19200)
"""The most usual one first, then the one that readers fall back to."""

ANSWER_S = 0.3
"""What a module needs to say its status, with the time of 21 bytes at the slowest speed."""

Clock = Callable[[], float]


def find_speed(port: str, *, clock: Clock = time.monotonic) -> int:
    """Return the speed at which whatever is on ``port`` answers with a well-formed frame.

    Raises:
        HardwareError: NO_READER, READER_BUSY, READER_FORBIDDEN; READER_SILENT where no speed fits,
            READER_DIALECT where something else was understood.
        ReaderGone: the port died meanwhile.
    """
    dialect = ""
    for speed in SPEEDS:
        link = LinkParser()
        transport = SerialPort.open(port, baud=speed)
        try:
            if _answers(transport, link, clock):
                return speed
        finally:
            transport.close()
        dialect = dialect or link.dialect
    if dialect:
        raise fault("READER_DIALECT", dialect)
    raise fault("READER_SILENT", f"at none of {', '.join(map(str, SPEEDS))} baud")


def _answers(transport: SerialPort, link: LinkParser, clock: Clock) -> bool:
    """Whether a whole frame comes; one that is left over from before tells the speed as well."""
    transport.write(ASKS[State.STATUS].frame)
    until = clock() + ANSWER_S
    while (now := clock()) < until:
        for reply in link.feed(transport.read(), now):
            reply.wipe()
            return True
    return False
