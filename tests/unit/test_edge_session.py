"""The session machine: whatever happens, a session that was begun ends in one attestation, once."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from edge.answers import (
    GalleryDecision,
    GalleryResult,
    PrivateField,
    SessionText,
    SignedIn,
    Step,
)
from edge.errors import SetupError
from edge.model import LivenessDecision, Outcome, Validity
from edge.policy import MediaPolicy, Policy, SessionPolicy
from edge.session.events import (
    DEVICE_LOCKED,
    Abort,
    Answer,
    Begin,
    ConsentAnswered,
    CustomerDataAnswered,
    DocumentRead,
    EarlierRecordsAnswered,
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
from edge.session.machine import TABLE, Command, IllegalEvent, Session
from edge.session.plan import (
    ASKED_OF_PEOPLE,
    CAPTURE_S,
    CARD_S,
    DEFAULT_LIMITS_S,
    SessionPlan,
    State,
    plan_session,
)
from tests.support.evidence import CAPTURE, DOCUMENT, LIVE, MATCH

CONSENT = SessionText("consent-1", {"en": "May we look at your face?", "es": "¿Podemos ver su cara?"})
NOTICES = (SessionText("notice-1", {"en": "Keep this."}), SessionText("notice-2", {"zh": "请保管好。"}))
FULL = SessionPlan(
    steps=frozenset(Step),
    consent=CONSENT,
    notices=NOTICES,
    customer_fields=("phone", "address"),
)
SHORT = SessionPlan()
AGREED = CONSENT.answered("es", accepted=True)
CONFIRMED = tuple(text.answered("zh", accepted=True) for text in NOTICES)
CUSTOMER = (PrivateField("phone", b"13800000000"), PrivateField("address", b"Sample Road 1"))
NOBODY = GalleryResult(7, 0, (), GalleryDecision.UNKNOWN)
SPOOFED = dataclasses.replace(LIVE, decision=LivenessDecision.ATTACK, reasons=("SPOOF_PLANAR_MOTION",))

GOOD: dict[State, Answer] = {
    State.START: Begin(),
    State.OPERATOR: OperatorIdentified(SignedIn("op-1", "clerk")),
    State.CONSENT: ConsentAnswered(AGREED),
    State.DOCUMENT: DocumentRead(DOCUMENT, Validity.VALID),
    State.EARLIER_RECORDS: EarlierRecordsAnswered(2, go_on=True),
    State.CAPTURE: FaceCaptured(CAPTURE),
    State.LIVENESS: LivenessJudged(LIVE),
    State.MATCH: FacesCompared(MATCH),
    State.GALLERY: GallerySearched(NOBODY),
    State.CUSTOMER_DATA: CustomerDataAnswered(CUSTOMER),
    State.NOTICE: NoticesAnswered(CONFIRMED),
    State.SIGNATURE: SignatureAnswered(b"strokes"),
    State.ATTEST: RecordStored("id"),
}
RESTING = tuple(state for state in State if state not in (State.DECISION, State.DONE))
"""States in which a session waits for something; in the order of a session."""
OPEN = RESTING[:-1]


def opened(plan: SessionPlan = FULL) -> Session:
    return Session.open(plan, session_id=bytes(16), now=0.0)


def at(state: State, plan: SessionPlan = FULL) -> Session:
    """A session that has come to ``state`` with good answers at time 0."""
    session = opened(plan)
    while session.state is not state:
        session, _ = session.handle(GOOD[session.state], 0.0)
    return session


def run(plan: SessionPlan, answers: dict[State, Answer]) -> tuple[Session, list[Command]]:
    """Answer until the session is done; the commands that it gave on the way."""
    session = opened(plan)
    given: list[Command] = []
    while session.state is not State.DONE:
        session, commands = session.handle(answers[session.state], 0.0)
        given += commands
    return session, given


def test_the_whole_path_in_the_order_of_the_steps() -> None:
    session, given = run(FULL, GOOD)
    assert given == [command for command, _ in TABLE.values() if command is not None]
    assert session.decision().outcome is Outcome.VERIFIED
    assert session.decision().reasons == ()
    answers = session.evidence.session
    assert answers is not None
    assert (answers.consent, answers.customer, answers.notices) == (AGREED, CUSTOMER, CONFIRMED)
    assert (answers.earlier_records, answers.signature) == (2, b"strokes")


def test_without_a_policy_nobody_is_asked_anything() -> None:
    session, given = run(SHORT, GOOD)
    assert given == [
        Command.READ_DOCUMENT,
        Command.CAPTURE_FACE,
        Command.JUDGE_LIVENESS,
        Command.COMPARE_FACES,
        Command.ATTEST,
        Command.SHOW_DONE,
    ]
    assert session.decision().outcome is Outcome.VERIFIED


@pytest.mark.parametrize("state", OPEN)
def test_an_abort_in_any_state_is_attested(state: State) -> None:
    session, commands = at(state).handle(Abort(DEVICE_LOCKED), 1.0)
    assert commands == (Command.ATTEST,)
    assert session.decision().outcome is Outcome.ABORTED
    assert session.decision().reasons == ("DEVICE_LOCKED",)
    assert session.evidence.document == (DOCUMENT if OPEN.index(state) > OPEN.index(State.DOCUMENT) else None)


@pytest.mark.parametrize("state", OPEN)
def test_every_state_has_a_limit_of_its_own(state: State) -> None:
    plan = dataclasses.replace(FULL, step_timeout_s={state: 7.0})
    session = at(state, plan)
    same, commands = session.handle(Timer(), 6.999)
    assert (same, commands) == (session, ())
    over, commands = session.handle(Timer(), 7.0)
    assert commands == (Command.ATTEST,)
    assert over.decision().reasons == (f"TIMEOUT_{state}",)
    assert over.decision().outcome is Outcome.ABORTED


@pytest.mark.parametrize("state", OPEN)
def test_an_answer_in_time_counts_and_one_after_the_limit_does_not(state: State) -> None:
    plan = dataclasses.replace(FULL, step_timeout_s={state: 7.0})
    in_time, _ = at(state, plan).handle(GOOD[state], 6.999)
    assert in_time.evidence.aborted == ""
    late, commands = at(state, plan).handle(GOOD[state], 7.0)
    assert commands == (Command.ATTEST,)
    assert late.decision().reasons == (f"TIMEOUT_{state}",)
    assert late.evidence == dataclasses.replace(at(state, plan).evidence, aborted=f"TIMEOUT_{state}")


def test_the_limit_counts_from_when_the_state_was_entered() -> None:
    plan = dataclasses.replace(SHORT, step_timeout_s={State.DOCUMENT: 5.0, State.CAPTURE: 5.0})
    session, _ = opened(plan).handle(Begin(), 100.0)
    session, _ = session.handle(GOOD[State.DOCUMENT], 104.0)
    assert session.remaining_s(104.0) == 5.0
    assert session.remaining_s(108.0) == 1.0
    assert session.remaining_s(200.0) == 0.0


@pytest.mark.parametrize(
    ("state", "refusal", "reason"),
    [
        (State.CONSENT, ConsentAnswered(CONSENT.answered("en", accepted=False)), "CONSENT_REFUSED"),
        (State.CONSENT, ConsentAnswered(NOTICES[0].answered("en", accepted=True)), "CONSENT_REFUSED"),
        (State.EARLIER_RECORDS, EarlierRecordsAnswered(2, go_on=False), "EXITED_AT_EARLIER_RECORDS"),
        (State.CUSTOMER_DATA, CustomerDataAnswered(()), "CUSTOMER_DATA_REFUSED"),
        (State.CUSTOMER_DATA, CustomerDataAnswered(CUSTOMER[:1]), "CUSTOMER_DATA_REFUSED"),
        (
            State.CUSTOMER_DATA,
            CustomerDataAnswered((CUSTOMER[0], PrivateField("address", b""))),
            "CUSTOMER_DATA_REFUSED",
        ),
        (State.NOTICE, NoticesAnswered(CONFIRMED[:1]), "NOTICE_REFUSED"),
        (State.NOTICE, NoticesAnswered(CONFIRMED[::-1]), "NOTICE_REFUSED"),
        (
            State.NOTICE,
            NoticesAnswered((CONFIRMED[0], NOTICES[1].answered("zh", accepted=False))),
            "NOTICE_REFUSED",
        ),
        (State.SIGNATURE, SignatureAnswered(b""), "SIGNATURE_REFUSED"),
    ],
)
def test_a_refusal_is_attested_with_its_reason(state: State, refusal: Answer, reason: str) -> None:
    session, commands = at(state).handle(refusal, 1.0)
    assert commands == (Command.ATTEST,)
    assert session.decision().outcome is Outcome.ABORTED
    assert session.decision().reasons == (reason,)


def test_a_refusal_after_the_decision_keeps_the_evidence_of_it() -> None:
    session, _ = at(State.SIGNATURE).handle(SignatureAnswered(b""), 1.0)
    assert session.evidence.match == MATCH
    assert session.evidence.liveness == LIVE
    assert session.evidence.session is not None
    assert session.evidence.session.notices == CONFIRMED


@pytest.mark.parametrize(
    ("state", "answer", "outcome"),
    [
        (State.LIVENESS, LivenessJudged(SPOOFED), Outcome.SPOOF),
        (State.MATCH, FacesCompared(dataclasses.replace(MATCH, score=0.1)), Outcome.NOT_MATCHED),
        (State.MATCH, FacesCompared(None), Outcome.INCONCLUSIVE),
        (State.GALLERY, GallerySearched(None), Outcome.INCONCLUSIVE),
    ],
)
def test_who_was_not_verified_is_asked_for_nothing_more(
    state: State, answer: Answer, outcome: Outcome
) -> None:
    session, given = run(FULL, {**GOOD, state: answer})
    assert session.decision().outcome is outcome
    asked = {Command.ASK_CUSTOMER, Command.SHOW_NOTICES, Command.ASK_SIGNATURE}
    assert not asked & set(given)
    assert given.count(Command.ATTEST) == 1


def test_a_spoof_stays_a_spoof_when_somebody_presses_stop() -> None:
    session, _ = at(State.LIVENESS).handle(LivenessJudged(SPOOFED), 0.0)
    session, _ = session.handle(Abort("OPERATOR_STOPPED"), 0.0)
    assert session.decision().outcome is Outcome.SPOOF
    assert session.decision().reasons == ("SPOOF_PLANAR_MOTION", "OPERATOR_STOPPED")


@pytest.mark.parametrize("state", [State.ATTEST, State.DONE])
def test_what_comes_too_late_changes_nothing(state: State) -> None:
    session = at(State.ATTEST)
    if state is State.DONE:
        session, _ = session.handle(RecordStored("id"), 0.0)
    for event in (Abort("CAMERA_LOST"), Timer()):
        assert session.handle(event, 1e9) == (session, ())
    assert session.remaining_s(1e9) is None


@pytest.mark.parametrize("state", RESTING)
def test_only_the_answer_to_the_question_is_taken(state: State) -> None:
    session = at(state)
    for other in RESTING:
        if other is not state:
            with pytest.raises(IllegalEvent):
                session.handle(GOOD[other], 0.0)
    if state is not State.ATTEST:
        with pytest.raises(IllegalEvent):
            session.decision()


def test_a_session_that_is_done_takes_no_answer_at_all() -> None:
    session, _ = run(FULL, GOOD)
    for answer in GOOD.values():
        with pytest.raises(IllegalEvent):
            session.handle(answer, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"consent": None},
        {"notices": ()},
        {"customer_fields": ()},
        {"steps": frozenset(Step) - {Step.CONSENT}},
        {"consent": SessionText("empty", {})},
        {"notices": (SessionText("empty", {}),)},
        {"customer_fields": ("Phone number",)},
        {"step_timeout_s": {State.ATTEST: 1.0}},
        {"step_timeout_s": {State.DOCUMENT: 0.0}},
        {"step_timeout_s": {State.DOCUMENT: float("nan")}},
    ],
)
def test_a_plan_that_cannot_be_held_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SetupError) as caught:
        dataclasses.replace(FULL, **changes)
    assert caught.value.code == "POLICY_INCOMPLETE"


def test_the_plan_is_what_the_policy_asks_for() -> None:
    policy = Policy(
        session=SessionPolicy(
            steps=(Step.CONSENT, Step.CUSTOMER_DATA),
            step_timeout=timedelta(seconds=45),
            consent=CONSENT,
            notices=NOTICES,  # without a step nobody is shown them
            customer_fields=("phone",),
        ),
        media=MediaPolicy(("best_shot",), bytes(32)),
    )
    plan = plan_session(policy, card_timeout_s=20.0, capture_timeout_s=30.0)
    assert plan.steps == {Step.CONSENT, Step.CUSTOMER_DATA}
    assert (plan.consent, plan.notices, plan.customer_fields) == (CONSENT, (), ("phone",))
    assert plan.media == {"best_shot"}
    assert all(plan.limit_s(state) == 45.0 for state in ASKED_OF_PEOPLE)
    assert plan.limit_s(State.DOCUMENT) == 20.0 + CARD_S
    assert plan.limit_s(State.CAPTURE) == 30.0 + CAPTURE_S
    assert plan.limit_s(State.MATCH) == DEFAULT_LIMITS_S[State.MATCH]


def test_the_built_in_policy_plans_what_always_was() -> None:
    plan = plan_session(Policy(), card_timeout_s=20.0, capture_timeout_s=30.0)
    assert plan.steps == frozenset()
    assert plan.media == frozenset()


def test_a_text_is_known_in_each_of_its_languages() -> None:
    assert CONSENT.in_language("es") == "¿Podemos ver su cara?"
    assert CONSENT.in_language("zh") == "May we look at your face?"
    assert CONSENT.shown_as(CONSENT.answered("en", accepted=False))
    other = dataclasses.replace(CONSENT, by_language={"en": "Something else"})
    assert not other.shown_as(CONSENT.answered("en", accepted=True))
    assert not dataclasses.replace(CONSENT, text_id="x").shown_as(AGREED)


def test_what_a_person_gave_does_not_show() -> None:
    session, _ = run(FULL, GOOD)
    assert "13800000000" not in repr(session)
    assert "strokes" not in repr(session)
    assert "strokes" not in repr(GOOD)
