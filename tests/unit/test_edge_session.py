"""The session machine: every path that is started ends in Attest, and only then has a decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model import Outcome
from edge.session import (
    TRANSITIONS,
    Begin,
    Command,
    DocumentRead,
    Event,
    FaceCaptured,
    FacesCompared,
    Failed,
    IllegalEvent,
    Session,
    State,
)
from tests.support.evidence import CAPTURE, DOCUMENT, LIVE, MATCH

EVENTS: list[Event] = [
    Begin(),
    DocumentRead(DOCUMENT),
    FaceCaptured(CAPTURE, LIVE),
    FacesCompared(MATCH),
    Failed("TIMEOUT"),
]


def test_the_good_path() -> None:
    session = Session()
    commands = []
    for event in EVENTS[:4]:
        session, command = session.handle(event)
        commands.append(command)
    assert commands == [
        Command.READ_DOCUMENT,
        Command.CAPTURE_FACE,
        Command.COMPARE_FACES,
        Command.ATTEST,
    ]
    assert session.decision().outcome is Outcome.VERIFIED


@pytest.mark.parametrize("good_steps", [1, 2, 3])
def test_a_fault_at_any_point_is_attested_as_aborted(good_steps: int) -> None:
    session = Session()
    for event in EVENTS[:good_steps]:
        session, _ = session.handle(event)
    session, command = session.handle(Failed("CAMERA_LOST"))
    assert command is Command.ATTEST
    assert session.decision().outcome is Outcome.ABORTED
    assert session.decision().reasons == ("CAMERA_LOST",)


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_whatever_comes_the_machine_stays_lawful(events: list[Event]) -> None:
    session = Session()
    for event in events:
        legal = (session.state, type(event)) in TRANSITIONS
        if not legal:
            with pytest.raises(IllegalEvent):
                session.handle(event)
            continue
        session, command = session.handle(event)
        assert (command is Command.ATTEST) == (session.state is State.DECIDED)
    if session.state is State.DECIDED:
        assert session.decision().outcome in Outcome
    else:
        with pytest.raises(IllegalEvent):
            session.decision()


def test_every_open_state_can_fail() -> None:
    open_states = {State.DOCUMENT, State.CAPTURE, State.COMPARE}
    assert {state for state, event in TRANSITIONS if event is Failed} == open_states
