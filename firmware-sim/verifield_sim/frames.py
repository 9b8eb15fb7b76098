"""Frames of the reader's module: AA AA AA 96 69, a length, the content, and the XOR of both."""

from __future__ import annotations

import struct
from functools import reduce
from operator import xor

PREAMBLE = b"\xaa\xaa\xaa\x96\x69"


def encode_reply(status: int, data: bytes = b"") -> bytes:
    """Return a reply frame; SW1 and SW2 are zero."""
    body = struct.pack(">HBBB", len(data) + 4, 0, 0, status) + data
    return PREAMBLE + body + bytes([checksum(body)])


def checksum(body: bytes) -> int:
    """XOR of all bytes: zero over a body that ends in its own."""
    return reduce(xor, body, 0)
