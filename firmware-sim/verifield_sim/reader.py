"""The ID-card reader's module from the inside: commands in, replies out, a card that comes and goes. Pure.

    IDLE --find--> FOUND --select--> SELECTED --read--> MUST_LIFT --card lifted--> IDLE

Each of FOUND and SELECTED lasts three seconds. After a good read the card is not found again until it
was lifted; its newest address is still given out. The module is sequential: while it works on one
command, the next ones wait in its buffer.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from verifield_sim.cards import Card
from verifield_sim.errors import SimError
from verifield_sim.frames import PREAMBLE, checksum, encode_reply
from verifield_sim.reader_faults import Fault, FaultKind, FaultPlan, Target

STAGE_S = 3.0  # what bridge firmware grants between find and select, and between select and read
MAX_REQUEST_BYTES = 64  # of LEN: the longest known request has 4; what claims more is noise

OK, CARD_FOUND, NO_ITEM = 0x90, 0x9F, 0x91
BAD_SUM, BAD_LENGTH, BAD_COMMAND, OUT_OF_SEQUENCE = 0x10, 0x11, 0x21, 0x24
READ_FAILED, NO_CARD, SELECT_FAILED = 0x41, 0x80, 0x81
_RESET = (0x10, 0xFF)


class Phase(StrEnum):
    IDLE = "IDLE"
    FOUND = "FOUND"
    SELECTED = "SELECTED"
    MUST_LIFT = "MUST_LIFT"


@dataclass(frozen=True, slots=True)
class Bytes:
    """The host sent this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Place:
    card: Card


@dataclass(frozen=True, slots=True)
class Lift:
    pass


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes: delayed replies come out."""


Event = Bytes | Place | Lift | Tick


def encode_sam_id(text: str) -> bytes:
    """Turn ``05.03-20240115-0000123456-0987654321`` into its 16 bytes.

    Raises:
        SimError: the text has another form.
    """
    try:
        kind, rest = text.split(".")
        numbers = [int(kind), *(int(part) for part in rest.split("-"))]
        return struct.pack("<HHIII", *numbers)
    except (ValueError, struct.error):
        raise SimError(f"sam_id {text!r} is not of the form 05.03-20240115-0000123456-0987654321") from None


class ReaderModule:
    """One module with at most one card on it. ``handle`` returns what goes onto the wire now.

    ``spare``: the card that SWAPPED faults bring. ``unplugged_s``: set when an UNPLUG fault has struck,
    after what ``handle`` returned: the cable is out for so long, and the module then starts afresh.
    """

    def __init__(
        self, *, sam_id: str, faults: tuple[Fault, ...] = (), seed: int = 0, spare: Card | None = None
    ) -> None:
        self.phase = Phase.IDLE
        self.unplugged_s: float | None = None
        self._sam_id = encode_sam_id(sam_id)
        self._plan = FaultPlan(faults)
        self._rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._card: Card | None = None
        self._spare = spare
        self._phase_since = 0.0
        self._inbox = bytearray()
        self._outbox: deque[tuple[float, bytes]] = deque()  # what is still to be sent, and when
        self._deaf_until: FaultKind | None = None
        self._pulling: float | None = None  # the cable comes out behind the last piece
        self._commands: dict[tuple[int, int], tuple[Target | None, Callable[[float], bytes]]] = {
            _RESET: (None, self._reset),
            (0x11, 0xFF): (Target.STATUS, lambda _now: encode_reply(OK)),
            (0x12, 0xFF): (Target.SAM_ID, lambda _now: encode_reply(OK, self._sam_id)),
            (0x20, 0x01): (Target.FIND, self._find),
            (0x20, 0x02): (Target.SELECT, self._select),
            (0x30, 0x01): (Target.READ, self._read),
            (0x30, 0x03): (Target.ADDRESS, self._address),
            (0x61, 0xFF): (None, lambda _now: encode_reply(OK)),
        }

    @property
    def card(self) -> Card | None:
        """What lies there now."""
        return self._card

    @property
    def card_present(self) -> bool:
        return self._card is not None

    def handle(self, event: Event, now: float) -> list[bytes]:
        """Take one event at monotonic time ``now`` (seconds)."""
        match event:
            case Place(card):
                self._card = card
                self._enter(Phase.IDLE, now)  # whatever was selected before was not this card
                return []
            case Lift():
                self._card = None  # a command under way finds out by itself
                if self.phase is Phase.MUST_LIFT:
                    self._enter(Phase.IDLE, now)
                return []
            case Bytes(data):
                self._inbox += data
            case Tick():
                pass
        return self._work(now)

    def power_on(self, now: float) -> None:
        """Begin afresh, as after the power was off; a card that lies there still lies there."""
        self._inbox.clear()
        self._outbox.clear()
        self._deaf_until = self._pulling = self.unplugged_s = None
        self._enter(Phase.IDLE, now)

    def _work(self, now: float) -> list[bytes]:
        sent: list[bytes] = []
        while True:
            while self._outbox:
                due, piece = self._outbox[0]
                if now < due:
                    return sent
                sent.append(piece)
                self._outbox.popleft()
            if self._pulling is not None:
                self.unplugged_s = self._pulling
                return sent
            body = self._next_request()
            if body is None:
                return sent
            self._answer(body, now)

    def _next_request(self) -> bytes | None:
        """Take the next frame's bytes from LEN to the checksum out of the inbox."""
        while (start := self._inbox.find(PREAMBLE)) >= 0:
            del self._inbox[:start]
            if len(self._inbox) < 7:
                return None
            length = int.from_bytes(self._inbox[5:7], "big")
            if length > MAX_REQUEST_BYTES:
                del self._inbox[0]
                continue
            if len(self._inbox) < 7 + length:
                return None
            body = bytes(self._inbox[5 : 7 + length])
            del self._inbox[: 7 + length]
            return body
        del self._inbox[: max(0, len(self._inbox) - len(PREAMBLE) + 1)]
        return None

    def _answer(self, body: bytes, now: float) -> None:
        known = self._commands.get((body[2], body[3])) if len(body) >= 5 else None
        target, act = known or (None, lambda _now: encode_reply(BAD_COMMAND))
        if self._deaf_until and not (self._deaf_until is FaultKind.BUSY and (body[2], body[3]) == _RESET):
            return
        self._deaf_until = None
        fault = self._plan.strike(target)
        if fault is not None and not self._is_heard(fault, now):
            return
        misheard = fault is not None and fault.kind is FaultKind.MISHEARD
        if len(body) < 5:
            reply = encode_reply(BAD_LENGTH)
        elif misheard or checksum(body):
            reply = encode_reply(BAD_SUM)
        else:
            reply = act(now)
        if fault is not None and fault.kind is FaultKind.REMOVED_HALFWAY:
            self._card = None
        if self._card is None:
            self._enter(Phase.IDLE, now)
        pieces = [(0.0, reply)] if fault is None else fault.pieces(reply, self._rng)
        self._outbox.extend((now + wait, piece) for wait, piece in pieces)
        if fault is not None and fault.kind is FaultKind.UNPLUG:
            self._pulling = fault.delay

    def _is_heard(self, fault: Fault, now: float) -> bool:
        """Let a fault do what comes before the answer; whether there will be one."""
        match fault.kind:
            case FaultKind.SILENT:
                return False
            case FaultKind.BUSY | FaultKind.STUCK:
                self._deaf_until = fault.kind
                return False
            case FaultKind.REMOVED:
                self._card = None
            case FaultKind.SWAPPED | FaultKind.SWAPPED_UNSEEN if self._spare:
                self._card, self._spare = self._spare, self._card
                if fault.kind is FaultKind.SWAPPED or self.phase is Phase.MUST_LIFT:
                    self._enter(Phase.IDLE, now)
            case FaultKind.OTHER_SAM:
                self._sam_id = self._sam_id[:-1] + bytes([self._sam_id[-1] ^ 1])
        return True

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self._phase_since = phase, now

    def _in_time(self, phase: Phase, now: float) -> bool:
        """Whether ``phase`` was reached and is not over."""
        if self.phase in (Phase.FOUND, Phase.SELECTED) and now - self._phase_since > STAGE_S:
            self._enter(Phase.IDLE, now)
        return self.phase is phase

    def _reset(self, now: float) -> bytes:
        if self.phase is not Phase.MUST_LIFT:
            self._enter(Phase.IDLE, now)
        return encode_reply(OK)

    def _find(self, now: float) -> bytes:
        if self._card is None or self.phase is Phase.MUST_LIFT:
            return encode_reply(NO_CARD)
        self._enter(Phase.FOUND, now)
        return encode_reply(CARD_FOUND, bytes(4))

    def _address(self, now: float) -> bytes:
        """The newest address is there to be had as long as the card lies there, selected or read."""
        if self._card is None:
            return encode_reply(READ_FAILED)
        if not self._in_time(Phase.SELECTED, now) and self.phase is not Phase.MUST_LIFT:
            return encode_reply(OUT_OF_SEQUENCE)
        return (
            encode_reply(OK, self._card.newest_address)
            if self._card.newest_address
            else encode_reply(NO_ITEM)
        )

    def _select(self, now: float) -> bytes:
        if not self._in_time(Phase.FOUND, now):
            return encode_reply(OUT_OF_SEQUENCE)
        if self._card is None:
            return encode_reply(SELECT_FAILED)
        self._enter(Phase.SELECTED, now)
        return encode_reply(OK, bytes(8))

    def _read(self, now: float) -> bytes:
        if not self._in_time(Phase.SELECTED, now):
            return encode_reply(OUT_OF_SEQUENCE)
        if self._card is None:
            return encode_reply(READ_FAILED)
        self._enter(Phase.MUST_LIFT, now)
        lengths = struct.pack(">HH", len(self._card.text), len(self._card.photo))
        return encode_reply(OK, lengths + self._card.text + self._card.photo)
