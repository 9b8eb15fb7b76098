"""Faults of the simulated reader: which command they strike, how often, and what they do to the reply."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from verifield_sim.frames import PREAMBLE, encode_reply

ALWAYS = 0  # as ``times``
_TEXT_AT = 4  # in a reply's data: two lengths come first
_BASE_DATA_BYTES = 4 + 256 + 1024


class FaultKind(StrEnum):
    # the reply's bytes
    NOISE = "noise"  # junk that ends in half a preamble comes before the reply
    FALSE_PREAMBLE = "false_preamble"  # a preamble and a length, and then the reply
    FLIP = "flip"  # bits of one byte are turned: the checksum fails
    EVEN_FLIPS = "even_flips"  # the same bits of two bytes are turned: the checksum holds
    BYTES_SWAPPED = "bytes_swapped"  # two bytes change places: the checksum holds
    CHECKSUM = "checksum"  # the last byte is wrong
    LENGTH = "length"  # the length field says ``length``
    TRUNCATED = "truncated"  # the reply breaks off after ``keep`` bytes
    STATUS = "status"  # the reply is the bare ``status``
    CONTENT = "content"  # well-formed, and wrong inside: see Content
    DIALECT = "dialect"  # a frame of another protocol
    # the reply's time
    FRAGMENTED = "fragmented"  # ``chunk`` bytes at a time, with ``gap_s`` between them
    DUPLICATE = "duplicate"  # ``copies`` times
    SLOW = "slow"  # after ``delay_s``, within what a host waits
    LATE = "late"  # ... and here after the host gave up
    # the module
    SILENT = "silent"  # the command is not heard
    BUSY = "busy"  # nor is any other, until a reset
    STUCK = "stuck"  # ... or only until the power is off
    MISHEARD = "misheard"  # a bit of the command is turned on its way
    OTHER_SAM = "other_sam"  # another module says who it is
    # the card
    REMOVED = "removed"  # the card is taken away as the command arrives
    REMOVED_HALFWAY = "removed_halfway"  # ... and here while the reply is sent, after ``keep`` bytes
    SWAPPED = "swapped"  # another card lies there as the command arrives: the module notices
    SWAPPED_UNSEEN = "swapped_unseen"  # ... and here it does not, unless it has read a card already
    # the cable
    UNPLUG = "unplug"  # after ``keep`` bytes of the reply; back after ``delay_s``


class Target(StrEnum):
    """The command that a fault waits for."""

    ANY = "any"
    STATUS = "status"
    SAM_ID = "sam_id"
    FIND = "find"
    SELECT = "select"
    READ = "read"
    ADDRESS = "address"


class Content(StrEnum):
    """What is wrong inside of a card's data, or of what carries them."""

    TYPE = "type"
    ETHNICITY = "ethnicity"
    SURROGATE = "surrogate"
    CONTROL = "control"
    NUL = "nul"
    TEXT_LENGTH = "text_length"
    PHOTO_LENGTH = "photo_length"
    BIRTH = "birth"
    NUMBER = "number"
    VALIDITY = "validity"
    BLANK = "blank"


_EDITS: dict[Content, tuple[int, bytes]] = {  # offset in the data, and what stands there
    Content.TYPE: (_TEXT_AT + 248, "Z".encode("utf-16-le")),
    Content.ETHNICITY: (_TEXT_AT + 32, "99".encode("utf-16-le")),
    Content.SURROGATE: (_TEXT_AT, b"\x00\xd8"),
    Content.CONTROL: (_TEXT_AT + 2, "\u202e".encode("utf-16-le")),
    Content.NUL: (_TEXT_AT + 8, bytes(22)),
    Content.TEXT_LENGTH: (0, b"\x02\x00"),
    Content.PHOTO_LENGTH: (2, b"\x00\x00"),
    Content.BIRTH: (_TEXT_AT + 36, "19000101".encode("utf-16-le")),
    Content.NUMBER: (_TEXT_AT + 122 + 20, "A".encode("utf-16-le")),
    Content.VALIDITY: (_TEXT_AT + 204, "19991231".encode("utf-16-le")),
    Content.BLANK: (_TEXT_AT, " ".encode("utf-16-le") * 128),
}

_DIALECTS = (  # of other readers that sit on serial ports
    bytes.fromhex("02 00 03 32 29 FF E4 03"),
    bytes.fromhex("AA AA AA A5 5A 00 04 00 00 90 94"),
    bytes.fromhex("AA AA AA 96 69 00 05 05 05 05"),
)
_REPLY_DELAYS = {FaultKind.SLOW: 1.2, FaultKind.LATE: 3.0, FaultKind.UNPLUG: 0.5}


@dataclass(frozen=True, slots=True)
class Fault:
    """``times``: how many such commands it strikes, ``ALWAYS`` for all; ``every``: only each so-manieth.

    ``offset`` and ``other``: bytes of the frame, counted from its end where negative; beyond it they are
    taken modulo its length.
    """

    kind: FaultKind
    on: Target = Target.READ
    times: int = 1
    every: int = 1
    delay_s: float = 0.0  # 0: the kind's own
    keep: int = 700
    noise_bytes: int = 40
    offset: int = 300
    other: int = 302
    mask: int = 1
    length: int = 0xFFFF
    status: int = 0x41
    copies: int = 2
    chunk: int = 64
    gap_s: float = 0.02
    content: Content = Content.TYPE

    @property
    def delay(self) -> float:
        """Seconds that the reply is held back; of UNPLUG, that the cable is out."""
        return self.delay_s or _REPLY_DELAYS.get(self.kind, 0.0)

    def pieces(self, reply: bytes, rng: random.Random) -> list[tuple[float, bytes]]:
        """Return what reaches the wire instead of ``reply``, each with the seconds that it waits for."""
        if self.kind is FaultKind.FRAGMENTED:
            size = max(1, self.chunk)
            starts = range(0, len(reply), size)
            return [(index * self.gap_s, reply[at : at + size]) for index, at in enumerate(starts)]
        if self.kind in (FaultKind.SLOW, FaultKind.LATE):
            return [(self.delay, reply)]
        return [(0.0, self._spoil(reply, rng))]

    def _spoil(self, reply: bytes, rng: random.Random) -> bytes:
        spoil = _SPOILS.get(self.kind)
        return spoil(self, reply, rng) if spoil else reply

    def _flip(self, reply: bytes, offset: int) -> bytes:
        changed = bytearray(reply)
        changed[offset % len(reply)] ^= self.mask & 0xFF or 1
        return bytes(changed)

    def _swap(self, reply: bytes) -> bytes:
        changed = bytearray(reply)
        first, second = self.offset % len(reply), self.other % len(reply)
        changed[first], changed[second] = changed[second], changed[first]
        return bytes(changed)

    def _edit(self, reply: bytes) -> bytes:
        data = bytearray(reply[10:-1])
        if len(data) < _BASE_DATA_BYTES:
            return reply  # not a card's
        offset, value = _EDITS[self.content]
        data[offset : offset + len(value)] = value
        return encode_reply(reply[9], bytes(data))


_Spoil = Callable[[Fault, bytes, random.Random], bytes]
_SPOILS: dict[FaultKind, _Spoil] = {
    FaultKind.NOISE: lambda fault, reply, rng: rng.randbytes(fault.noise_bytes) + b"\xaa\xaa" + reply,
    FaultKind.FALSE_PREAMBLE: lambda fault, reply, _: PREAMBLE + struct.pack(">H", fault.length) + reply,
    FaultKind.FLIP: lambda fault, reply, _: fault._flip(reply, fault.offset),
    FaultKind.EVEN_FLIPS: lambda fault, reply, _: fault._flip(fault._flip(reply, fault.offset), fault.other),
    FaultKind.BYTES_SWAPPED: lambda fault, reply, _: fault._swap(reply),
    FaultKind.CHECKSUM: lambda _, reply, rng: reply[:-1] + bytes([reply[-1] ^ rng.randint(1, 255)]),
    FaultKind.LENGTH: lambda fault, reply, _: reply[:5] + struct.pack(">H", fault.length) + reply[7:],
    FaultKind.TRUNCATED: lambda fault, reply, _: reply[: min(fault.keep, len(reply) - 1)],
    FaultKind.REMOVED_HALFWAY: lambda fault, reply, _: reply[: min(fault.keep, len(reply) - 1)],
    FaultKind.UNPLUG: lambda fault, reply, _: reply[: fault.keep],
    FaultKind.STATUS: lambda fault, _reply, _: encode_reply(fault.status),
    FaultKind.CONTENT: lambda fault, reply, _: fault._edit(reply),
    FaultKind.DIALECT: lambda fault, _reply, _: _DIALECTS[fault.offset % len(_DIALECTS)],
    FaultKind.DUPLICATE: lambda fault, reply, _: reply * max(1, fault.copies),
}


class FaultPlan:
    """Hands out faults as commands come; the first that fits strikes."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._met = [0] * len(faults)
        self._struck = [0] * len(faults)

    def strike(self, target: Target | None) -> Fault | None:
        """Return the fault for this command, None for none."""
        for index, fault in enumerate(self._faults):
            left = fault.times == ALWAYS or self._struck[index] < fault.times
            if not left or fault.on not in (Target.ANY, target):
                continue
            self._met[index] += 1
            if self._met[index] % max(1, fault.every) == 0:
                self._struck[index] += 1
                return fault
        return None
