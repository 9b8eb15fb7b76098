"""Ten thousand random sequences of people and faults, in virtual time: nobody gets another person's data.

Each sequence is made from its number alone. All kinds of faults of the simulator take part, several at
once; cables come out, modules are deaf, people come late. Longer with VERIFIELD_SOAK.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from edge.errors import EdgeError, HardwareError
from edge.reader.faults import FAULTS
from edge.reader.lasting import LastingReader
from tests.support.virtual_reader import (
    SAM_ID,
    Person,
    VirtualWire,
    Visit,
    fields_of,
    many_cards,
    open_lasting,
)
from verifield_sim.cards import Card
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_faults import Content, Fault, FaultKind, Target

SEQUENCES = round(10_000 * float(os.environ.get("VERIFIELD_SOAK", "1")))
SHARES = 20  # each a test of its own, so that they run side by side
READ_TIMEOUT_S = 20.0
LONGEST_S = 60.0  # of virtual time for one read: its time-out, resynchronisation and a reset on top
PEOPLE = many_cards(64, random.Random(4))

STATUSES = (0x10, 0x11, 0x21, 0x23, 0x24, 0x31, 0x32, 0x33, 0x37, 0x3F, 0x40, 0x41, 0x47, 0x60, 0x66, 0x81)
LENGTHS = (0, 3, 4, 8, 12, 20, 74, 0x05AA, 1288, 1290, 1802, 2314, 0xFFFF)


def random_fault(rng: random.Random) -> Fault:
    return Fault(
        kind=rng.choice(list(FaultKind)),
        on=rng.choice(list(Target)),
        times=rng.choice((0, 1, 1, 1, 2, 3)),
        every=rng.choice((1, 1, 2, 3)),
        delay_s=rng.uniform(0.01, 6.0),
        keep=rng.randrange(1300),
        noise_bytes=rng.randrange(60),
        offset=rng.randrange(1295),
        other=rng.randrange(1295),
        mask=rng.randrange(1, 256),
        length=rng.choice(LENGTHS),
        status=rng.choice((*STATUSES, rng.randrange(256))),
        copies=rng.choice((2, 2, 3)),
        chunk=rng.choice((1, 16, 64, 500)),
        gap_s=rng.choice((0.001, 0.01, 0.04, 0.2)),
        content=rng.choice(list(Content)),
    )


def play(number: int) -> list[Visit]:
    """The visits of one sequence; none where the reader could not even be opened."""
    rng = random.Random(number)
    faults = tuple(random_fault(rng) for _ in range(rng.randrange(6)))
    people = rng.sample(PEOPLE, rng.randint(2, 4))
    module = ReaderModule(sam_id=SAM_ID, faults=faults, seed=number, spare=people.pop())
    wire = VirtualWire(module, rng)
    try:
        reader = open_lasting(wire)
    except HardwareError:
        return []
    return [visit(reader, wire, own, rng) for own in people]


def visit(reader: LastingReader, wire: VirtualWire, own: Card, rng: random.Random) -> Visit:
    person = Person(wire, own, rng)
    person.come()
    started = wire.now
    wire.lain.clear()
    try:
        result = Visit(reader.read_document(READ_TIMEOUT_S, person), "")
    except EdgeError as error:
        result = Visit(None, error.code)
    person.leave()
    result.lain, result.seconds = list(wire.lain), wire.now - started
    return result


def check(number: int, visits: list[Visit]) -> None:
    everybody = {fields_of(one)[0]: fields_of(one) for one in PEOPLE}
    for seen in visits:
        assert seen.seconds < LONGEST_S, (number, seen.code)
        if seen.document is None:
            assert seen.code in FAULTS, number
            continue
        read = seen.document.number, seen.document.name, seen.document.address
        assert read[0] in everybody, (number, "a number that nobody has")
        assert read[0] in {fields_of(one)[0] for one in seen.lain}, (number, "the card of another visit")
        others = {value for key, fields in everybody.items() if key != read[0] for value in fields}
        assert not others & set(read), (number, "mixed with another person's")
    modules = {seen.document.reader_sam_id for seen in visits if seen.document}
    assert len(modules) <= 1, (number, "another module than the first")


@pytest.mark.req("E032")
@pytest.mark.parametrize("share", range(SHARES))
def test_nobody_gets_another_persons_data(share: int) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(share, SEQUENCES, SHARES):
        visits = play(number)
        check(number, visits)
        outcomes.update("read" if one.document else one.code for one in visits)
    assert outcomes["read"] > outcomes.total() / 3  # faults are survived, and not only told
