"""A card reader in virtual time: the driver over the simulated module, with people who come and go."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from edge.model import IdDocument, Prompt
from edge.reader.faults import fault
from edge.reader.lasting import LastingReader
from edge.reader.photo import NoPhotoDecoder
from edge.reader.reader import SamVReader
from tests.support.id_reader import CARDS, RecordingScreen, frame, put
from verifield_sim.cards import Card
from verifield_sim.reader import Bytes, Lift, Place, ReaderModule, Tick

SAM_ID = "05.03-20240115-0000123456-0987654321"
IDLE_S = 0.05  # time passes in steps as long as the dialogue bears
PIECES = (1, 16, 400, 3000)


class VirtualWire:
    """A transport whose time passes only while somebody listens; bytes arrive in pieces of any size."""

    def __init__(self, module: ReaderModule, rng: random.Random, *, started: float = 0.0) -> None:
        self.module = module
        self.now = started
        self._rng = rng
        self._arriving = b""
        self._out_until = 0.0  # the cable is out so long
        self.lain: list[Card] = []  # cards that were on the module, as far as it could have read them

    def write(self, data: bytes) -> None:
        self._look()
        self._take(self.module.handle(Bytes(data), self.now))
        self._look()

    def read(self) -> bytes:
        self._take(self.module.handle(Tick(), self.now))
        self._look()
        if self.module.unplugged_s is not None and not self._arriving:
            self._out_until = self.now + self.module.unplugged_s
            self.module.power_on(self.now)
            raise fault("READER_GONE")
        size = self._rng.choice(PIECES)
        piece, self._arriving = self._arriving[:size], self._arriving[size:]
        self.now += len(piece) / 11520 if piece else IDLE_S
        return piece

    def close(self) -> None:
        self._arriving = b""

    def plugged_in(self) -> bool:
        return self.now >= self._out_until

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def _look(self) -> None:
        here = self.module.card
        if here is not None and here not in self.lain:
            self.lain.append(here)

    def _take(self, replies: list[bytes]) -> None:
        self._arriving += b"".join(replies)


@dataclass
class Visit:
    """What became of one person at the reader: the document, or the code of the fault; what lay there."""

    document: IdDocument | None
    code: str
    lain: list[Card] = field(default_factory=list)
    seconds: float = 0.0


def open_lasting(wire: VirtualWire) -> LastingReader:
    def reopen(sam_id: str | None) -> SamVReader:
        if not wire.plugged_in():
            raise fault("READER_GONE")
        return SamVReader.over(
            wire, baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=sam_id, clock=lambda: wire.now
        )

    return LastingReader(reopen, expected_sam_id=None, clock=lambda: wire.now, sleep=wire.sleep)


def card(name: str) -> Card:
    """One of the cards of the vectors."""
    data = frame(CARDS[name])
    return Card(name, data[14:270], data[270:-1])


def many_cards(count: int, rng: random.Random) -> list[Card]:
    """Different people: a resident each, with name, number, address and newest address of their own."""
    return [_resident(index, rng) for index in range(count)]


def _resident(index: int, rng: random.Random) -> Card:
    base = card("resident")
    text = bytearray(base.text)
    birth = f"{rng.randint(1950, 1999)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    put(text, 0, f"测试{index:04d}")
    put(text, 36, birth)
    put(text, 52, f"虚构路{index:04d}号".ljust(35))
    put(text, 122, _number(birth, rng.randrange(1000)))
    newest = f"新虚构路{index:04d}号".ljust(35).encode("utf-16-le") if rng.random() < 0.5 else b""
    return Card("resident", bytes(text), rng.randbytes(1024), newest)


def _number(birth: str, order: int) -> str:
    body = f"110000{birth}{order:03d}"
    return body + "10X98765432"[sum(int(digit) * 2 ** (17 - i) for i, digit in enumerate(body)) % 11]


def fields_of(card: Card) -> tuple[str, str, str]:
    """Number, name and address, decoded here by offsets, and not by the driver."""
    text = card.text

    def at(offset: int, size: int, source: bytes = text) -> str:
        return source[offset : offset + size].decode("utf-16-le").rstrip()

    newest = at(0, 70, card.newest_address) if card.newest_address else ""
    return at(122, 36), at(0, 30), newest or at(52, 70)


class Person(RecordingScreen):
    """Obeys the screen, though sometimes late, and sometimes lifts the card for no reason."""

    def __init__(self, wire: VirtualWire, own: Card, rng: random.Random) -> None:
        super().__init__()
        self.wire = wire
        self.own = own
        self._rng = rng

    def come(self) -> None:
        if self._rng.random() < 0.7:
            self._place()

    def show(self, prompt: Prompt) -> None:
        super().show(prompt)
        if prompt is Prompt.PLACE_CARD and not self.wire.module.card_present:
            self._place()
        elif prompt is Prompt.LIFT_CARD:
            self.leave()

    def leave(self) -> None:
        self.wire.module.handle(Lift(), self.wire.now)

    def _place(self) -> None:
        self.wire.module.handle(Place(self.own), self.wire.now)
