"""Random sessions against the machine, signed with a real key into a real outbox.

A model beside the machine remembers only whether everything so far was as it has to be, and for what
reason it stopped being so. Whatever is thrown at a session, at whatever time, it ends in exactly one
signed attestation, whose outcome the model has foretold.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from edge.answers import (
    GalleryDecision,
    GalleryResult,
    PrivateField,
    SessionText,
    SignedIn,
    SignInFactor,
    Step,
)
from edge.attest.sign import seal
from edge.model import Decision, Evidence, ExpertScore, LivenessDecision, Outcome, Validity
from edge.outbox.records import Cited, SignedRecord, StoredRecord
from edge.session.events import (
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
from edge.session.plan import STEP_OF, SessionPlan, State
from tests.support.appliance import Appliance, MemorySigner, statement_of, verified_evidence
from verifield.chain import ChainHead
from verifield.commitments import encode_disclosures
from verifield.dsse import check_signature, parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

EXAMPLES = 300 * int(os.environ.get("VERIFIELD_SOAK", "1"))
LIMIT_S = 10.0

GOOD_ONE = verified_evidence()
CONSENT = SessionText("consent-1", {"en": "May we look at your face?"})
NOTICES = (SessionText("notice-1", {"en": "Keep this."}), SessionText("notice-2", {"en": "And this."}))
FLAT = (ExpertScore("planar_motion", 0.001, 0.012, "SPOOF_PLANAR_MOTION"),)


def _good() -> dict[State, Answer]:
    assert GOOD_ONE.document is not None
    assert GOOD_ONE.capture is not None
    assert GOOD_ONE.liveness is not None
    return {
        State.START: Begin(),
        State.OPERATOR: OperatorIdentified(SignedIn("op-1", "clerk", frozenset({SignInFactor.PIN}))),
        State.CONSENT: ConsentAnswered(CONSENT.answered("en", accepted=True)),
        State.DOCUMENT: DocumentRead(GOOD_ONE.document, Validity.VALID),
        State.EARLIER_RECORDS: EarlierRecordsAnswered(3, go_on=True),
        State.CAPTURE: FaceCaptured(GOOD_ONE.capture),
        State.LIVENESS: LivenessJudged(GOOD_ONE.liveness),
        State.MATCH: FacesCompared(GOOD_ONE.match),
        State.GALLERY: GallerySearched(GalleryResult(1, 0, (), GalleryDecision.UNKNOWN)),
        State.CUSTOMER_DATA: CustomerDataAnswered((PrivateField("phone", b"13800000000"),)),
        State.NOTICE: NoticesAnswered(tuple(text.answered("en", accepted=True) for text in NOTICES)),
        State.SIGNATURE: SignatureAnswered(b"strokes"),
        State.ATTEST: RecordStored("id"),
    }


def _bad() -> dict[State, list[tuple[Answer, Outcome]]]:
    """Answers that are no yes, with the outcome that each leads to."""
    document, capture, liveness, match = (
        GOOD_ONE.document,
        GOOD_ONE.capture,
        GOOD_ONE.liveness,
        GOOD_ONE.match,
    )
    assert document is not None
    assert capture is not None
    assert liveness is not None
    assert match is not None
    attack = replace(liveness, decision=LivenessDecision.ATTACK, experts=FLAT, reasons=(FLAT[0].reason,))
    unsure = replace(liveness, decision=LivenessDecision.INSUFFICIENT, reasons=("LIVENESS_NO_FACE",))
    return {
        State.CONSENT: [(ConsentAnswered(CONSENT.answered("en", accepted=False)), Outcome.ABORTED)],
        State.DOCUMENT: [
            (DocumentRead(replace(document, photo=None), Validity.VALID), Outcome.INCONCLUSIVE),
            (DocumentRead(document, Validity.EXPIRED), Outcome.ABORTED),
            (DocumentRead(document, Validity.NOT_YET), Outcome.ABORTED),
        ],
        State.EARLIER_RECORDS: [(EarlierRecordsAnswered(1, go_on=False), Outcome.ABORTED)],
        State.CAPTURE: [(FaceCaptured(replace(capture, best_shot=None)), Outcome.INCONCLUSIVE)],
        State.LIVENESS: [
            (LivenessJudged(attack), Outcome.SPOOF),
            (LivenessJudged(unsure), Outcome.INCONCLUSIVE),
        ],
        State.MATCH: [
            (FacesCompared(None), Outcome.INCONCLUSIVE),
            (FacesCompared(replace(match, score=0.1)), Outcome.NOT_MATCHED),
        ],
        State.GALLERY: [(GallerySearched(None), Outcome.INCONCLUSIVE)],
        State.CUSTOMER_DATA: [(CustomerDataAnswered(()), Outcome.ABORTED)],
        State.NOTICE: [(NoticesAnswered(()), Outcome.ABORTED)],
        State.SIGNATURE: [(SignatureAnswered(b""), Outcome.ABORTED)],
    }


GOOD, BAD = _good(), _bad()
ORDER = list(TABLE)
AFTER_DECISION = (State.CUSTOMER_DATA, State.NOTICE, State.SIGNATURE)


def plan_of(steps: frozenset[Step]) -> SessionPlan:
    return SessionPlan(
        steps=steps,
        step_timeout_s=dict.fromkeys((state for state in GOOD if state is not State.ATTEST), LIMIT_S),
        consent=CONSENT if Step.CONSENT in steps else None,
        notices=NOTICES if Step.NOTICE in steps else (),
        customer_fields=("phone",) if Step.CUSTOMER_DATA in steps else (),
    )


class Sessions(RuleBasedStateMachine):
    """``appliance``: signs and stores; shared by all examples, so that the chain grows long."""

    appliance: Appliance

    @initialize(steps=st.frozensets(st.sampled_from(Step)), goal=st.sampled_from(list(GOOD)))
    def open_session(self, steps: frozenset[Step], goal: State) -> None:
        self.now = 1000.0
        self.entered = self.now
        self.plan = plan_of(steps)
        self.session = Session.open(self.plan, session_id=uuid.uuid4().bytes, now=self.now)
        self.given: list[Command] = []
        self.visited = [State.START]
        self.records: list[StoredRecord] = []
        self.before = self.appliance.outbox.head()
        self.foretold: Outcome | None = None  # None: nothing was wrong so far
        self.spoofed = False
        self.over = False
        self.all_goes_well_until(goal)  # each state is as likely to see what comes now

    def take(self, event: Answer | Timer | Abort) -> None:
        state = self.session.state
        self.session, commands = self.session.handle(event, self.now)
        assert len(commands) <= 1
        self.given += commands
        if self.session.state is not state:
            self.entered = self.now
            self.visited.append(self.session.state)
        if commands == (Command.ATTEST,):
            self.attest()

    def attest(self) -> None:
        evidence, decision = self.session.evidence, self.session.decision()
        self.records.append(self.appliance.outbox.append(self.signed(evidence, decision)))

    def signed(
        self, evidence: Evidence, decision: Decision
    ) -> Callable[[ChainHead | None, Cited], SignedRecord]:
        def make(head: ChainHead | None, cited: Cited) -> SignedRecord:
            statement, disclosures = statement_of(
                evidence, decision, head=head, cited=cited, seed=uuid.uuid4().bytes
            )
            return SignedRecord(seal(statement, self.appliance.signer), encode_disclosures(disclosures))

        return make

    def late(self) -> bool:
        return self.is_open() and self.now - self.entered >= LIMIT_S

    def is_open(self) -> bool:
        return self.session.state not in (State.ATTEST, State.DONE)

    def stopped(self) -> None:
        """The model's side of an abort, a refusal or a time-out: a spoof that was seen stays one."""
        self.foretold = Outcome.SPOOF if self.spoofed else Outcome.ABORTED
        self.over = True

    @rule(seconds=st.sampled_from([0.5, LIMIT_S - 0.001, LIMIT_S, 3 * LIMIT_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(long=st.booleans())
    def the_timer_ticks(self, long: bool) -> None:
        if long:
            self.now += LIMIT_S
        if self.late():
            self.stopped()
        self.take(Timer())

    @precondition(lambda self: self.session.state is not State.DONE)
    @rule()
    def a_good_answer(self) -> None:
        if self.late():
            self.stopped()
        self.take(GOOD[self.session.state])

    def all_goes_well_until(self, goal: State) -> None:
        while self.is_open() and ORDER.index(self.session.state) < ORDER.index(goal):
            self.a_good_answer()

    @rule(goal=st.sampled_from(sorted(BAD, key=ORDER.index)), data=st.data())
    def a_bad_answer_comes(self, goal: State, data: st.DataObject) -> None:
        self.all_goes_well_until(goal)
        if self.session.state is not goal:
            return
        answer, outcome = data.draw(st.sampled_from(BAD[goal]))
        if self.late() or outcome is Outcome.ABORTED:
            self.stopped()
        else:
            self.spoofed |= outcome is Outcome.SPOOF
            self.foretold = self.worse(outcome, goal)
        self.take(answer)

    def worse(self, outcome: Outcome, at: State) -> Outcome:
        """A spoof outranks everything; a person who could not be judged outranks a comparison.

        A step that got no answer counts only where nothing else was wrong.
        """
        if at is State.GALLERY and self.foretold is not None:
            return self.foretold
        ranks = [Outcome.NOT_MATCHED, Outcome.INCONCLUSIVE, Outcome.SPOOF]
        known = [item for item in (outcome, self.foretold) if item is not None]
        return max(known, key=ranks.index)

    @rule(code=st.sampled_from(["CAMERA_LOST", "PERSON_STOPPED", "DEVICE_LOCKED", "OPERATOR_STOPPED"]))
    def somebody_or_something_stops_it(self, code: str) -> None:
        if self.is_open():
            self.stopped()
        self.take(Abort(code))

    @rule(other=st.sampled_from(sorted(GOOD)))
    def an_answer_to_another_question(self, other: State) -> None:
        if other is self.session.state:
            return
        before = self.session
        with pytest.raises(IllegalEvent):
            self.session.handle(GOOD[other], self.now)
        assert self.session is before

    @invariant()
    def there_is_one_record_once_it_has_ended_and_none_before(self) -> None:
        if not hasattr(self, "session"):
            return
        assert self.given.count(Command.ATTEST) == len(self.records) == (0 if self.is_open() else 1)
        assert (Command.SHOW_DONE in self.given) == (self.session.state is State.DONE)
        assert not (self.over and self.is_open())
        if self.foretold is not None and not self.over:  # it was not verified, so there is nothing to sign
            assert not set(AFTER_DECISION) & set(self.visited)
        assert self.visited == sorted(set(self.visited), key=ORDER.index)
        assert all(self.plan.has(state) for state in self.visited)

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        if self.is_open():  # whatever was left standing is stopped by its limit
            self.now += LIMIT_S
            self.stopped()
            self.take(Timer())
        if self.session.state is State.ATTEST:
            self.take(RecordStored(self.records[0].attestation_id))
        assert self.session.state is State.DONE
        self.check_the_record()

    def check_the_record(self) -> None:
        (record,) = self.records
        (newest, *_) = self.appliance.outbox.newest(limit=1)
        assert newest.envelope == record.envelope
        assert record.seq == (self.before.seq if self.before else 0) + 1  # one, and never two
        payload = check_signature(parse_envelope(record.envelope), self.appliance.signer.key.public_key())
        statement = parse_statement(payload)
        outcome = self.foretold or Outcome.VERIFIED
        assert pb.Outcome.Name(statement.outcome) == f"OUTCOME_{outcome}"
        assert statement.session.session_id == self.session.evidence.session.session_id
        if outcome is Outcome.VERIFIED:
            planned = [state for state in TABLE if self.plan.has(state) and state is not State.DECISION]
            assert self.visited == planned
            self.check_everything_is_stated(statement)
        else:
            assert statement.reasons
        if (
            outcome in (Outcome.SPOOF, Outcome.NOT_MATCHED, Outcome.INCONCLUSIVE)
            and not statement.reasons[1:]
        ):
            assert not set(AFTER_DECISION) & set(self.visited)

    def check_everything_is_stated(self, statement: pb.Statement) -> None:
        for part in ("document", "capture", "liveness", "match"):
            assert statement.HasField(part)  # type: ignore[arg-type]
        fields = {item.field for item in statement.session.fields}
        stated = {
            Step.OPERATOR: statement.operator.operator_id == "op-1",
            Step.CONSENT: statement.session.consent.accepted,
            Step.EARLIER_RECORDS: statement.session.earlier_records_shown == 3,
            Step.GALLERY: statement.HasField("gallery"),
            Step.CUSTOMER_DATA: "customer.phone" in fields,
            Step.NOTICE: [notice.accepted for notice in statement.session.notices] == [True, True],
            Step.SIGNATURE: "session.signature" in fields,
        }
        assert {step for step, there in stated.items() if there} == self.plan.steps
        assert set(STEP_OF.values()) == set(stated)


@pytest.mark.req("E040")
def test_every_session_ends_in_one_signed_attestation(tmp_path: Path) -> None:
    appliance = Appliance(tmp_path / "outbox.sqlite", MemorySigner())

    class Machine(Sessions):
        pass

    Machine.appliance = appliance
    run_machine(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    outcomes = {
        pb.Outcome.Name(parse_statement(parse_envelope(record.envelope).payload).outcome)
        for record in appliance.outbox.newest(limit=10_000)
    }
    assert {"OUTCOME_VERIFIED", "OUTCOME_ABORTED"} <= outcomes  # the rules reach far enough
    appliance.outbox.close()
