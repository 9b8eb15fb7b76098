"""One verification as a pure state machine: it says what to do next and gathers what came of it.

    state      event             next state   command
    START      Begin             DOCUMENT     ReadDocument
    DOCUMENT   DocumentRead      CAPTURE      CaptureFace
    CAPTURE    FaceCaptured      COMPARE      CompareFaces
    COMPARE    FacesCompared     DECIDED      Attest
    any open   Failed            DECIDED      Attest

Every path ends in Attest, so that a failed or aborted attempt is signed like any other: nobody can
try until it passes without leaving a trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from edge.decision import decide
from edge.model import CaptureRecord, Decision, Evidence, IdDocument, LivenessResult, MatchResult


class State(Enum):
    START = auto()
    DOCUMENT = auto()
    CAPTURE = auto()
    COMPARE = auto()
    DECIDED = auto()


class Command(Enum):
    READ_DOCUMENT = auto()
    CAPTURE_FACE = auto()
    COMPARE_FACES = auto()
    ATTEST = auto()


@dataclass(frozen=True, slots=True)
class Begin:
    """The operator or the person starts."""


@dataclass(frozen=True, slots=True)
class DocumentRead:
    document: IdDocument


@dataclass(frozen=True, slots=True)
class FaceCaptured:
    capture: CaptureRecord
    liveness: LivenessResult


@dataclass(frozen=True, slots=True)
class FacesCompared:
    """``match`` None: there was nothing to compare, which is never a pass."""

    match: MatchResult | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The session cannot go on; ``code`` is stable, for example CAMERA_LOST or TIMEOUT."""

    code: str


Event = Begin | DocumentRead | FaceCaptured | FacesCompared | Failed

TRANSITIONS: dict[tuple[State, type[Event]], tuple[State, Command]] = {
    (State.START, Begin): (State.DOCUMENT, Command.READ_DOCUMENT),
    (State.DOCUMENT, DocumentRead): (State.CAPTURE, Command.CAPTURE_FACE),
    (State.CAPTURE, FaceCaptured): (State.COMPARE, Command.COMPARE_FACES),
    (State.COMPARE, FacesCompared): (State.DECIDED, Command.ATTEST),
    (State.DOCUMENT, Failed): (State.DECIDED, Command.ATTEST),
    (State.CAPTURE, Failed): (State.DECIDED, Command.ATTEST),
    (State.COMPARE, Failed): (State.DECIDED, Command.ATTEST),
}


class IllegalEvent(Exception):
    """An event that the session's state does not allow: a bug in the pump."""


@dataclass(frozen=True, slots=True)
class Session:
    """Immutable; ``handle`` returns the next one with the command to carry out."""

    state: State = State.START
    evidence: Evidence = field(default_factory=Evidence)

    def handle(self, event: Event) -> tuple[Session, Command]:
        """Advance.

        Raises:
            IllegalEvent: the event does not belong to this state.
        """
        entry = TRANSITIONS.get((self.state, type(event)))
        if entry is None:
            raise IllegalEvent(f"{type(event).__name__} in {self.state.name}")
        state, command = entry
        return Session(state, _gather(self.evidence, event)), command

    def decision(self) -> Decision:
        """The outcome; only a decided session has one."""
        if self.state is not State.DECIDED:
            raise IllegalEvent(f"decision in {self.state.name}")
        return decide(self.evidence)


def _gather(evidence: Evidence, event: Event) -> Evidence:
    match event:
        case DocumentRead(document):
            return replace(evidence, document=document)
        case FaceCaptured(capture, liveness):
            return replace(evidence, capture=capture, liveness=liveness)
        case FacesCompared(match):
            return replace(evidence, match=match)
        case Failed(code):
            return replace(evidence, aborted=code)
        case Begin():
            return evidence
