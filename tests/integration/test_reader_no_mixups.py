"""Driver against simulated module in virtual time: whatever goes wrong, nobody gets another's card."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import EdgeError, InputError
from edge.model import Prompt
from edge.reader.cards import split_base
from edge.reader.photo import NoPhotoDecoder
from edge.reader.reader import SamVReader
from tests.support.id_reader import CARDS, RecordingScreen, put
from tests.support.virtual_reader import SAM_ID, VirtualWire, card, fields_of, many_cards
from verifield_sim.reader import Lift, Place, ReaderModule
from verifield_sim.reader_faults import ALWAYS, Fault, FaultKind, Target

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


@pytest.mark.req("E032")
@pytest.mark.parametrize("every", [33, 8])
def test_a_module_that_drops_commands_again_and_again_reads_everybody(every: int) -> None:
    """One firmware is known to drop one read in 33; here it is one command, whatever it is."""
    loses = Fault(FaultKind.SILENT, on=Target.ANY, times=ALWAYS, every=every)
    wire = VirtualWire(ReaderModule(sam_id=SAM_ID, faults=(loses,), seed=1), random.Random(1))
    reader = opened(wire)
    people = sorted(CARDS) * 30
    assert [visit(reader, wire, name) for name in people] == [number_on(name) for name in people]


@pytest.mark.req("E037")
@pytest.mark.parametrize("good", [True, False])
def test_what_a_card_said_is_overwritten_once_it_is_decoded_or_refused(
    monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    """Every buffer on the way: of the record, of its parts, and of the line."""
    seen: list[bytearray] = []

    def split(data: bytearray) -> tuple[bytearray, bytearray]:
        text, photo = split_base(data)
        if not good:
            put(text, 36, "19000101")
        seen.extend((data, text, photo))
        assert all(any(part) for part in seen)
        return text, photo

    monkeypatch.setattr("edge.reader.reader.split_base", split)
    one = many_cards(20, random.Random(5))[0]
    module = ReaderModule(sam_id=SAM_ID, seed=1)
    wire = VirtualWire(module, random.Random(1))
    reader = opened(wire)
    module.handle(Place(one), wire.now)
    if good:
        assert reader.read_document(READ_TIMEOUT_S, RecordingScreen()).number == fields_of(one)[0]
    else:
        with pytest.raises(InputError):
            reader.read_document(READ_TIMEOUT_S, RecordingScreen())
    assert [len(part) for part in seen] == [4 + 256 + 1024, 256, 1024]
    assert not any(any(part) for part in seen)
    assert not reader._link._pending
    assert not reader._dialogue._held
    assert not reader._dialogue._address
