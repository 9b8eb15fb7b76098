"""Byte stream to replies: the framing of SAM_V modules. Pure; fed in any pieces with equal results.

    offset  size  request                  reply
    0       5     AA AA AA 96 69           same
    5       2     LEN, big-endian          bytes after this field
    7       1     command                  SW1
    8       1     parameter                SW2
    9       -     data                     SW3 (the module's status), then data
    last    1     XOR of all from offset 5 up to here

Nothing is escaped, so a preamble can occur in noise and in data. On every failure exactly one byte is
dropped and the search starts again; a candidate that stays unfinished through a quiet gap failed too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import xor

from edge.reader.dialects import DIALECT_BYTES, name_dialect

PREAMBLE = bytes.fromhex("AAAAAA9669")
_HEADER_BYTES = len(PREAMBLE) + 2

LEGAL_LENGTHS = frozenset(
    {
        4,  # status alone
        8,  # find
        12,  # select
        20,  # SAM id
        74,  # newest address
        1288,  # text and photo
        1290,  # text, photo and no fingerprint
        1802,  # ... and one fingerprint
        2314,  # ... and two
    }
)
MAX_FRAME_BYTES = _HEADER_BYTES + max(LEGAL_LENGTHS)

# Longer than any pause seen inside a frame (40 ms) with room for a busy host, shorter than the 200 ms of
# silence that a resynchronisation waits for, so that nothing half-read survives one.
QUIET_GAP_S = 0.15


@dataclass(frozen=True, slots=True)
class Reply:
    """One frame whose checksum holds. ``data`` may be personal: ``repr`` gives its length only."""

    sw1: int
    sw2: int
    status: int
    data: bytearray

    def wipe(self) -> None:
        """Overwrite the data."""
        self.data[:] = bytes(len(self.data))

    def __repr__(self) -> str:
        return f"Reply({self.sw1:02X} {self.sw2:02X} {self.status:02X} + {len(self.data)} bytes)"


def encode_command(command: int, parameter: int, data: bytes = b"") -> bytes:
    """Return the request frame."""
    body = (len(data) + 3).to_bytes(2, "big") + bytes([command, parameter]) + data
    return PREAMBLE + body + bytes([reduce(xor, body)])


class LinkParser:
    """Finds replies in a byte stream. ``dropped`` counts bytes that belonged to none.

    ``dialect``: the other protocol that was heard instead, empty for none.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._heard_at = 0.0
        self._first = bytearray()  # what came before the first reply, as far as a dialect needs it
        self._understood = False
        self.dropped = 0
        self.dialect = ""

    def feed(self, data: bytes, now: float) -> list[Reply]:
        """Take what arrived and return the replies that it completed."""
        if not data:
            return []
        self._heard_at = now
        self._pending += data
        if not self._understood:
            self._first = (self._first + data)[-DIALECT_BYTES:]
            self.dialect = self.dialect or name_dialect(self._first)
        return list(self._scan())

    def tick(self, now: float) -> list[Reply]:
        """Call while nothing arrives: after a quiet gap, search within the unfinished candidate."""
        replies: list[Reply] = []
        if now - self._heard_at >= QUIET_GAP_S:
            while self._pending:
                self._drop(1)
                replies += self._scan()
        return replies

    def clear(self) -> None:
        """Forget everything that is pending."""
        self._drop(len(self._pending))

    def _scan(self) -> Iterator[Reply]:
        pending = self._pending
        while True:
            start = pending.find(PREAMBLE)
            if start < 0:
                self._drop(len(pending) - _preamble_prefix_at_end(pending))
                return
            self._drop(start)
            if len(pending) < _HEADER_BYTES:
                return
            length = int.from_bytes(pending[len(PREAMBLE) : _HEADER_BYTES], "big")
            end = _HEADER_BYTES + length
            if length not in LEGAL_LENGTHS:
                self._drop(1)
                continue
            if len(pending) < end:
                return
            if reduce(xor, memoryview(pending)[len(PREAMBLE) : end]):  # the checksum cancels itself
                self._drop(1)
                continue
            sw1, sw2, status = pending[_HEADER_BYTES : _HEADER_BYTES + 3]
            reply = Reply(sw1, sw2, status, pending[_HEADER_BYTES + 3 : end - 1])
            self._erase(end)
            self._understood = True  # from now on the stream holds personal data: none of it is kept
            self._first, self.dialect = bytearray(), ""
            yield reply

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._erase(count)

    def _erase(self, count: int) -> None:
        self._pending[:count] = bytes(count)  # personal data: overwrite before the memory is given back
        del self._pending[:count]


def _preamble_prefix_at_end(data: bytearray) -> int:
    """Return how many of the last bytes could be the start of a preamble."""
    longest = min(len(data), len(PREAMBLE) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(PREAMBLE[:n])), 0)
