"""Other protocols that ID readers speak on serial ports: named, so that a person knows what to change."""

from __future__ import annotations

from functools import reduce
from operator import xor

DIALECT_BYTES = 64
"""The longest answer to a status request in any of them is shorter."""

_OTHER_PREAMBLE = bytes.fromhex("AAAAAAA55A")
_WRAPPED_TIMEOUT = bytes.fromhex("AAAAAA96690005050505")
_START, _END = 0x02, 0x03


def name_dialect(heard: bytes | bytearray) -> str:
    """Return the protocol that the first bytes on a line are of, or nothing.

    Framed between 02 and 03 with a length and an XOR; the preamble AA AA AA A5 5A; and a handheld's bridge
    that reports its own time-out in place of the module's answer.
    """
    if _OTHER_PREAMBLE in heard:
        return "preamble AA AA AA A5 5A"
    if _WRAPPED_TIMEOUT in heard:
        return "a bridge that reports a time-out of its own"
    for start, byte in enumerate(heard):
        if byte == _START and _is_stx_frame(heard[start:]):
            return "frames between 02 and 03"
    return ""


def _is_stx_frame(data: bytes | bytearray) -> bool:
    """Whether ``data`` begins with 02, a length (2 bytes), a body, the body's XOR, and 03."""
    if len(data) < 6:
        return False
    length = int.from_bytes(data[1:3], "big")
    end = 3 + length + 1
    if not length or len(data) <= end or data[end] != _END:
        return False
    return not reduce(xor, data[3:end])
