"""Driver against simulated module in virtual time: whatever goes wrong, nobody gets another's card."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import EdgeError
from edge.model import Prompt
from edge.reader.photo import NoPhotoDecoder
from edge.reader.reader import SamVReader
from tests.support.id_reader import CARDS, RecordingScreen
from tests.support.virtual_reader import SAM_ID, VirtualWire, card
from verifield_sim.reader import Lift, Place, ReaderModule
from verifield_sim.reader_faults import Fault, FaultKind, Target

READ_TIMEOUT_S = 20.0
LONGEST_S = 60.0  # of virtual time for one read: its time-out, resynchronisation and a reset on top


def number_on(name: str) -> str:
    return card(name).text[122:158].decode("utf-16-le")[: 15 if name == "foreigner2017" else 18].strip()


def opened(wire: VirtualWire) -> SamVReader:
    return SamVReader.over(
        wire, baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=None, clock=lambda: wire.now
    )


def visit(reader: SamVReader, wire: VirtualWire, name: str) -> str | None:
    """One person lays a card down and does what the screen says. The number that was read, if any."""
    here = card(name)
    wire.module.handle(Place(here), wire.now)

    def place() -> None:
        if not wire.module.card_present:
            wire.module.handle(Place(here), wire.now)

    def lift() -> None:
        wire.module.handle(Lift(), wire.now)

    try:
        screen = RecordingScreen({Prompt.PLACE_CARD: place, Prompt.LIFT_CARD: lift})
        return reader.read_document(READ_TIMEOUT_S, screen).number
    except EdgeError:
        return None
    finally:
        lift()


faults = st.lists(
    st.builds(
        Fault,
        kind=st.sampled_from(FaultKind),
        on=st.sampled_from(Target),
        times=st.integers(0, 3),
        delay_s=st.floats(0.01, 6.0),
        keep=st.integers(0, 1294),
        noise_bytes=st.integers(0, 60),
    ),
    max_size=5,
).map(tuple)


@settings(deadline=None, max_examples=150)
@given(
    faults=faults,
    people=st.lists(st.sampled_from(sorted(CARDS)), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_each_person_gets_the_own_card_or_none(
    faults: tuple[Fault, ...], people: list[str], seed: int
) -> None:
    module = ReaderModule(sam_id=SAM_ID, faults=faults, seed=seed)
    wire = VirtualWire(module, random.Random(seed))
    try:
        reader = opened(wire)
    except EdgeError:
        return  # a reader that does not open reads nobody's card
    for name in people:
        started = wire.now
        assert visit(reader, wire, name) in (number_on(name), None)
        assert wire.now - started < LONGEST_S


def test_without_faults_everybody_gets_the_own_card() -> None:
    module = ReaderModule(sam_id=SAM_ID, faults=(), seed=1)
    wire = VirtualWire(module, random.Random(1))
    reader = opened(wire)
    people = [*sorted(CARDS), *sorted(CARDS)]
    assert [visit(reader, wire, name) for name in people] == [number_on(name) for name in people]
