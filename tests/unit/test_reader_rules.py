"""Link and dialogue against the simulated module, over a line that hypothesis owns: it decides what comes
when, in which pieces, what is lost, doubled or damaged, and who lays which card down.

Nothing here knows a clock, a port or a thread: both machines are fed bytes and times.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.errors import InputError
from edge.reader.cards import parse_newest_address, parse_text, split_base
from edge.reader.dialogue import Dialogue, State
from edge.reader.faults import FAULTS
from edge.reader.link import MAX_FRAME_BYTES, PREAMBLE, LinkParser
from edge.reader.messages import (
    ClearLink,
    Command,
    Event,
    Failed,
    Got,
    Heard,
    Open,
    Opened,
    Read,
    Record,
    Send,
    Show,
    Tick,
)
from tests.support.virtual_reader import SAM_ID, fields_of, many_cards
from verifield_sim.cards import Card
from verifield_sim.reader import Bytes, Lift, Place, ReaderModule
from verifield_sim.reader import Tick as ModuleTick

PEOPLE = many_cards(4, random.Random(30))
READ_S = 15.0
LONGEST_S = 60.0
STEP_S = 0.02


@dataclass
class Chunk:
    """One reply on its way. Damaged once at most: two damages can make up for each other."""

    data: bytearray
    damaged: bool = False


@dataclass
class Bench:
    """Both machines, the module and the line between them."""

    now: float = 100.0
    module: ReaderModule = field(default_factory=lambda: ReaderModule(sam_id=SAM_ID, seed=1))
    link: LinkParser = field(default_factory=LinkParser)
    dialogue: Dialogue = field(default_factory=lambda: Dialogue(baud=115200))
    coming: deque[Chunk] = field(default_factory=deque)
    out: list[Command] = field(default_factory=list)
    deaf: int = 0  # commands that the module will not hear

    def handle(self, event: Event) -> None:
        for command in self.dialogue.handle(event, self.now):
            match command:
                case Send(frame):
                    if self.deaf:
                        self.deaf -= 1
                    else:
                        self._take(self.module.handle(Bytes(frame), self.now))
                case ClearLink():
                    self.link.clear()
                case _:
                    self.out.append(command)

    def arrive(self, data: bytes) -> None:
        self.handle(Heard())
        for reply in self.link.feed(data, self.now):
            self.handle(Got(reply))

    def let_pass(self, seconds: float) -> None:
        self.now += seconds
        self._take(self.module.handle(ModuleTick(), self.now))
        for reply in self.link.tick(self.now):
            self.handle(Got(reply))
        self.handle(Tick())

    def deliver(self, count: int) -> None:
        """The next so many bytes, across replies."""
        data = bytearray()
        while self.coming and len(data) < count:
            chunk, wanted = self.coming[0].data, count - len(data)
            data += chunk[:wanted]
            del chunk[:wanted]
            if not chunk:
                self.coming.popleft()
        if data:
            self.arrive(bytes(data))

    def _take(self, replies: list[bytes]) -> None:
        self.coming.extend(Chunk(bytearray(reply)) for reply in replies)


class Line(RuleBasedStateMachine):
    """A reader, its cable, and people at it."""

    @initialize()
    def open(self) -> None:
        self.bench = Bench()
        self.lain: list[Card] = []
        self.reading = False
        self.until = 0.0
        self.bench.handle(Open())

    # people

    @rule(who=st.integers(0, len(PEOPLE) - 1))
    def lay_down(self, who: int) -> None:
        self.bench.module.handle(Place(PEOPLE[who]), self.bench.now)
        self.lain.append(PEOPLE[who])

    @rule()
    def lift(self) -> None:
        self.bench.module.handle(Lift(), self.bench.now)

    @precondition(lambda self: not self.reading and self.opened())
    @rule()
    def read(self) -> None:
        here = self.bench.module.card
        self.lain = [] if here is None else [here]
        self.reading, self.until = True, self.bench.now + LONGEST_S
        self.bench.handle(Read(self.bench.now + READ_S))

    # the line

    @rule(count=st.integers(1, 40) | st.sampled_from([1295, 3000]))
    def some_arrives(self, count: int) -> None:
        self.bench.deliver(count)

    @rule()
    def all_arrives_byte_by_byte(self) -> None:
        for _ in range(sum(len(chunk.data) for chunk in self.bench.coming)):
            self.bench.deliver(1)

    @rule()
    def a_reply_is_lost(self) -> None:
        if self.bench.coming:
            self.bench.coming.popleft()

    @rule()
    def a_reply_comes_twice(self) -> None:
        if self.bench.coming:
            chunk = self.bench.coming[0]
            self.bench.coming.insert(1, Chunk(bytearray(chunk.data), chunk.damaged))

    @rule(at=st.integers(0, 1300), mask=st.integers(1, 255))
    def a_byte_is_damaged(self, at: int, mask: int) -> None:
        if self.bench.coming and not self.bench.coming[0].damaged:
            chunk = self.bench.coming[0]
            chunk.data[at % len(chunk.data)] ^= mask
            chunk.damaged = True

    @rule(noise=st.binary(min_size=1, max_size=30) | st.sampled_from([PREAMBLE, PREAMBLE + b"\x09\x0a"]))
    def noise_comes(self, noise: bytes) -> None:
        self.bench.arrive(noise)

    @rule()
    def the_next_command_is_not_heard(self) -> None:
        self.bench.deaf = 1

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.05, 0.2, 0.6, 2.5]))
    def time_passes(self, seconds: float) -> None:
        self.bench.let_pass(seconds)

    @rule(steps=st.integers(1, 60))
    def all_goes_well_for_a_while(self, steps: int) -> None:
        for _ in range(steps):
            self.bench.deliver(5000)
            self.bench.let_pass(STEP_S)

    # what must hold

    @invariant()
    def what_comes_out_is_right(self) -> None:
        if not hasattr(self, "bench"):
            return
        for command in self.bench.out:
            match command:
                case Opened(sam_id):
                    assert sam_id == SAM_ID
                case Failed(code):
                    assert code in FAULTS
                    self.reading = False
                case Record() as record:
                    assert self.reading
                    self.reading = False
                    check_record(record, self.lain)
                case Show():
                    assert self.reading
        self.bench.out.clear()

    @invariant()
    def nothing_piles_up_or_is_kept(self) -> None:
        if not hasattr(self, "bench"):
            return
        assert len(self.bench.link._pending) <= MAX_FRAME_BYTES
        assert bool(self.bench.dialogue._held) <= (
            self.bench.dialogue.state in (State.ADDRESS, State.CONFIRM)
        )

    @invariant()
    def nothing_hangs(self) -> None:
        if hasattr(self, "bench") and self.reading:
            assert self.bench.now < self.until + READ_S + LONGEST_S

    def teardown(self) -> None:
        """Left alone, whatever is under way comes to an end."""
        if not hasattr(self, "bench"):
            return
        ends = self.bench.now + LONGEST_S
        while self.reading and self.bench.now < ends:
            self.bench.deliver(5000)
            self.bench.let_pass(STEP_S)
            self.what_comes_out_is_right()
        assert not self.reading

    def opened(self) -> bool:
        return self.bench.dialogue.state in (State.READY, State.FAILED)


def check_record(record: Record, lain: list[Card]) -> None:
    """It is of one card that lay there since the read began, and of no other, in every field."""
    try:
        text, _ = split_base(record.data)
        card = parse_text(text)
        address = parse_newest_address(record.address) or card.address
    except InputError:
        return  # damaged in a way that the checksum misses, and found out here
    assert (card.number, card.name, address) in {fields_of(one) for one in lain}


TestLine = pytest.mark.req("E030")(Line.TestCase)
TestLine.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


# --- equal results


@dataclass(frozen=True)
class Manner:
    """How bytes travel: in pieces of ``size``, each ``delay_s`` after the one before; ``loses``: which
    replies, counted from 0, are lost."""

    size: int
    delay_s: float
    loses: frozenset[int] = frozenset()


def converse(manner: Manner) -> tuple[list[Command], list[str]]:
    """Open, then read one card. What came out, and the states in the order in which they were reached."""
    bench, number = Bench(), 0
    states: list[str] = []
    bench.module.handle(Place(PEOPLE[0]), bench.now)

    def note() -> None:
        if not states or states[-1] != bench.dialogue.state:
            states.append(str(bench.dialogue.state))

    for event in (Open(), Read(bench.now + 60.0)):
        bench.handle(event)
        note()
        while bench.dialogue.state not in (State.READY, State.FAILED):
            if bench.coming:
                if number in manner.loses:
                    bench.coming.popleft()
                else:
                    while bench.coming:
                        bench.deliver(manner.size)
                        note()
                        bench.let_pass(manner.delay_s)
                        note()
                number += 1
            bench.let_pass(STEP_S)
            note()
    return bench.out, states


WHOLE = Manner(5000, 0.0)


@pytest.mark.req("E030")
@given(
    size=st.integers(1, 2000), delay_s=st.floats(0, 0.001), loses=st.frozensets(st.integers(0, 9), max_size=2)
)
@settings(deadline=None, max_examples=60)
def test_pieces_and_delays_change_nothing(size: int, delay_s: float, loses: frozenset[int]) -> None:
    """The same steps in the same order with the same end, also where replies are lost."""
    whole, piecemeal = (converse(Manner(*how, loses)) for how in ((5000, 0.0), (size, delay_s)))
    assert piecemeal == whole


@pytest.mark.req("E030")
@pytest.mark.parametrize("manner", [Manner(1, 0.0), Manner(1, 0.001), Manner(16, 0.02), WHOLE])
def test_a_card_is_read_whatever_the_pieces(manner: Manner) -> None:
    out, states = converse(manner)
    record = out[-1]
    assert isinstance(record, Record)
    check_record(record, PEOPLE[:1])
    assert states == [
        *("DRAIN", "STATUS", "MAX_RF", "SAM_ID", "READY"),
        *("FIND", "SELECT", "READ", "ADDRESS", "CONFIRM", "READY"),
    ]
