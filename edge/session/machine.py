"""One verification as a pure state machine: it says what to do next and gathers what came of it.

    state            command          answer                    in the plan
    START            -                Begin                     always
    OPERATOR         IDENTIFY         OperatorIdentified        step OPERATOR
    CONSENT          ASK_CONSENT      ConsentAnswered           step CONSENT
    DOCUMENT         READ_DOCUMENT    DocumentRead              always
    EARLIER_RECORDS  SHOW_EARLIER     EarlierRecordsAnswered    step EARLIER_RECORDS
    CAPTURE          CAPTURE_FACE     FaceCaptured              always
    LIVENESS         JUDGE_LIVENESS   LivenessJudged            always
    MATCH            COMPARE_FACES    FacesCompared             always
    GALLERY          SEARCH_GALLERY   GallerySearched           step GALLERY
    DECISION         -                none: a rule decides      always
    CUSTOMER_DATA    ASK_CUSTOMER     CustomerDataAnswered      step CUSTOMER_DATA, when VERIFIED so far
    NOTICE           SHOW_NOTICES     NoticesAnswered           step NOTICE, when VERIFIED so far
    SIGNATURE        ASK_SIGNATURE    SignatureAnswered         step SIGNATURE, when VERIFIED so far
    ATTEST           ATTEST           RecordStored              always
    DONE             SHOW_DONE        none                      always

    in any state before ATTEST:   Abort, a limit that has passed, a refusal  ->  ATTEST
    in ATTEST and DONE:           Abort and Timer come too late and change nothing

Every path that was begun ends in exactly one ATTEST command, so that a failed or aborted attempt is
signed like any other: nobody can try until it passes without leaving a trace. An answer that comes
after its state's limit is no answer: it counts as the time-out, whichever of the two the pump saw first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from edge.answers import SessionAnswers
from edge.decision import NOT_VALID, decide
from edge.model import Decision, Evidence, Outcome, Purpose
from edge.session.events import (
    CONSENT_REFUSED,
    CUSTOMER_DATA_REFUSED,
    EXITED_AT_EARLIER_RECORDS,
    NOTICE_REFUSED,
    OTHER_PERSON,
    SIGNATURE_REFUSED,
    Abort,
    Answer,
    Begin,
    ConsentAnswered,
    CustomerDataAnswered,
    DocumentRead,
    EarlierRecordsAnswered,
    Event,
    FaceCaptured,
    FacesCompared,
    GallerySearched,
    LivenessJudged,
    NoticesAnswered,
    OperatorIdentified,
    RecordStored,
    SignatureAnswered,
    Timer,
)
from edge.session.plan import SessionPlan, State


class Command(Enum):
    IDENTIFY = auto()
    ASK_CONSENT = auto()
    READ_DOCUMENT = auto()
    SHOW_EARLIER = auto()
    CAPTURE_FACE = auto()
    JUDGE_LIVENESS = auto()
    COMPARE_FACES = auto()
    SEARCH_GALLERY = auto()
    ASK_CUSTOMER = auto()
    SHOW_NOTICES = auto()
    ASK_SIGNATURE = auto()
    ATTEST = auto()
    SHOW_DONE = auto()


TABLE: Mapping[State, tuple[Command | None, type[Answer] | None]] = {
    State.START: (None, Begin),
    State.OPERATOR: (Command.IDENTIFY, OperatorIdentified),
    State.CONSENT: (Command.ASK_CONSENT, ConsentAnswered),
    State.DOCUMENT: (Command.READ_DOCUMENT, DocumentRead),
    State.EARLIER_RECORDS: (Command.SHOW_EARLIER, EarlierRecordsAnswered),
    State.CAPTURE: (Command.CAPTURE_FACE, FaceCaptured),
    State.LIVENESS: (Command.JUDGE_LIVENESS, LivenessJudged),
    State.MATCH: (Command.COMPARE_FACES, FacesCompared),
    State.GALLERY: (Command.SEARCH_GALLERY, GallerySearched),
    State.DECISION: (None, None),
    State.CUSTOMER_DATA: (Command.ASK_CUSTOMER, CustomerDataAnswered),
    State.NOTICE: (Command.SHOW_NOTICES, NoticesAnswered),
    State.SIGNATURE: (Command.ASK_SIGNATURE, SignatureAnswered),
    State.ATTEST: (Command.ATTEST, RecordStored),
    State.DONE: (Command.SHOW_DONE, None),
}
"""In the order of a session: the command that is given on entering a state, and the answer it waits for."""

_ORDER = tuple(TABLE)
_CLOSED = (State.ATTEST, State.DONE)


class IllegalEvent(Exception):
    """An event that the session's state does not allow: a bug in the pump."""


@dataclass(frozen=True, slots=True)
class Session:
    """Immutable; ``handle`` returns the next one. ``since``: when it came into its state, in seconds."""

    plan: SessionPlan
    since: float
    evidence: Evidence
    state: State = State.START

    @classmethod
    def open(
        cls, plan: SessionPlan, *, session_id: bytes, now: float, purpose: Purpose | None = None
    ) -> Session:
        """A session that has not begun. ``session_id``: 16 fresh random bytes."""
        return cls(plan, now, Evidence(session=SessionAnswers(session_id), purpose=purpose))

    def handle(self, event: Event, now: float) -> tuple[Session, tuple[Command, ...]]:
        """Advance. ``now``: monotonic seconds, never less than before.

        Raises:
            IllegalEvent: the event is no answer to what this state has asked.
        """
        match event:
            case Abort(code):
                return (self, ()) if self.state in _CLOSED else self._end(code, now)
            case Timer():
                return self._end(f"TIMEOUT_{self.state}", now) if self._late(now) else (self, ())
        if not isinstance(event, TABLE[self.state][1] or ()):
            raise IllegalEvent(f"{type(event).__name__} in {self.state}")
        if self._late(now):
            return self._end(f"TIMEOUT_{self.state}", now)
        gathered = replace(self, evidence=_gather(self.evidence, event))
        refused = _refusal(event, self.plan)
        return gathered._end(refused, now) if refused else gathered._advance(now)

    def decision(self) -> Decision:
        """The outcome; only a session that has come to ATTEST has one."""
        if self.state not in _CLOSED:
            raise IllegalEvent(f"decision in {self.state}")
        return decide(self.evidence, self.plan.steps)

    def remaining_s(self, now: float) -> float | None:
        """How long this state may still take; None where it has no limit."""
        limit = self.plan.limit_s(self.state)
        return None if limit is None else max(0.0, self.since + limit - now)

    def _late(self, now: float) -> bool:
        return self.remaining_s(now) == 0.0

    def _advance(self, now: float) -> tuple[Session, tuple[Command, ...]]:
        for state in _ORDER[_ORDER.index(self.state) + 1 :]:
            if state is State.DECISION:
                if decide(self.evidence, self.plan.steps_before_decision()).outcome is not Outcome.VERIFIED:
                    return self._enter(State.ATTEST, now)  # there is nothing that a person could sign
            elif self.plan.has(state):
                return self._enter(state, now)
        raise AssertionError("DONE has no answer to advance on")

    def _end(self, code: str, now: float) -> tuple[Session, tuple[Command, ...]]:
        aborted = replace(self, evidence=replace(self.evidence, aborted=code))
        return aborted._enter(State.ATTEST, now)

    def _enter(self, state: State, now: float) -> tuple[Session, tuple[Command, ...]]:
        command = TABLE[state][0]
        return replace(self, state=state, since=now), () if command is None else (command,)


def _gather(evidence: Evidence, event: Answer) -> Evidence:
    match event:
        case DocumentRead(document, validity):
            return replace(evidence, document=document, validity=validity)
        case FaceCaptured(capture):
            return replace(evidence, capture=capture)
        case LivenessJudged(liveness):
            return replace(evidence, liveness=liveness)
        case FacesCompared(match):
            return replace(evidence, match=match)
        case GallerySearched(result):
            return replace(evidence, gallery=result)
    if evidence.session is None:
        raise AssertionError("a session has answers from its opening on")
    return replace(evidence, session=_gather_answer(evidence.session, event))


def _gather_answer(session: SessionAnswers, event: Answer) -> SessionAnswers:
    match event:
        case OperatorIdentified(operator):
            return replace(session, operator=operator)
        case ConsentAnswered(consent):
            return replace(session, consent=consent)
        case EarlierRecordsAnswered(shown):
            return replace(session, earlier_records=shown)
        case CustomerDataAnswered(fields):
            return replace(session, customer=fields)
        case NoticesAnswered(notices):
            return replace(session, notices=notices)
        case SignatureAnswered(signature):
            return replace(session, signature=signature)
    return session  # Begin and RecordStored answer nothing that is attested


def _refusal(event: Answer, plan: SessionPlan) -> str:
    """The reason to end the session with, empty where the answer lets it go on.

    An answer to something else than the plan asks is a refusal: nobody has agreed to what was not shown.
    """
    match event:
        case ConsentAnswered(consent):
            agreed = consent.accepted and plan.consent is not None and plan.consent.shown_as(consent)
            return "" if agreed else CONSENT_REFUSED
        case DocumentRead(_, validity, awaited):
            return NOT_VALID.get(validity, "") if awaited else OTHER_PERSON
        case EarlierRecordsAnswered(_, go_on):
            return "" if go_on else EXITED_AT_EARLIER_RECORDS
        case CustomerDataAnswered(fields):
            given = tuple(item.name for item in fields if item.value)
            return "" if given == plan.customer_fields else CUSTOMER_DATA_REFUSED
        case NoticesAnswered(notices):
            agreed = len(notices) == len(plan.notices) and all(
                shown.accepted and text.shown_as(shown)
                for text, shown in zip(plan.notices, notices, strict=True)
            )
            return "" if agreed else NOTICE_REFUSED
        case SignatureAnswered(signature):
            return "" if signature else SIGNATURE_REFUSED
    return ""
