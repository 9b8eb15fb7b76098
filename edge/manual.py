"""A decision by two people about an attempt that the device could not decide. The steps, in order:

1. two different people are signed in, and the second is a supervisor
2. the attempt is one of this device's own newest records, and nobody has decided about it yet
3. it leaves room for people: never after VERIFIED, which needs none, after SPOOF, where the person refused,
   or where the operator was the applicant
4. the record is signed by the device and, beside it, by the supervisor's own key; then it is durable
5. the ledger of manual decisions gets its row

A spoof is no matter of opinion: whoever is real has the next attempt to show it. Steps 2 and 3 are taken
within the transaction of step 4, so that of two decisions at the same time one is refused.
"""

from __future__ import annotations

import secrets

from edge.answers import ManualVerdict, SessionAnswers, SignedIn
from edge.errors import InputError
from edge.interrupts import stops_held_back
from edge.model import Decision, Outcome, Standing
from edge.operators.manual import check_two_people, note_manual
from edge.operators.service import Operators
from edge.outbox.records import StoredRecord
from edge.recorder import Recorder
from edge.session.events import OPERATOR_IS_APPLICANT, SAID_NO
from edge.state.store import StateStore
from verifield.cosign import parse_cosigner_key
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

LOOK_BACK = 200
"""Newest records among which the attempt must be: a decision is made while the person is there."""

SESSION_ID_BYTES = 16
"""A record of the first version has no session id; then the decision has one of its own."""

MANUAL_AFTER = frozenset({pb.OUTCOME_INCONCLUSIVE, pb.OUTCOME_ABORTED, pb.OUTCOME_NOT_MATCHED})

ACCEPTED, REFUSED = "MANUAL_ACCEPTED", "MANUAL_REFUSED"


def decide_manual(*, accepted: bool) -> Decision:
    """The outcome of a decision by people; its reason says which way it went."""
    return Decision(Outcome.MANUAL, (ACCEPTED if accepted else REFUSED,))


def causes_of(attempt: pb.Statement) -> tuple[str, ...]:
    """Why the device could not decide: the attempt's outcome, then its reasons."""
    return (pb.Outcome.Name(attempt.outcome).removeprefix("OUTCOME_"), *attempt.reasons)


def check_attempt(attempt: pb.Statement) -> None:
    """Check that people may decide about ``attempt`` (step 3).

    Raises:
        InputError: MANUAL_NOT_ALLOWED.
    """
    if SAID_NO.intersection(attempt.reasons):
        raise InputError(
            "MANUAL_NOT_ALLOWED",
            "The person refused or stopped: nobody can decide otherwise for them.",
            hint="Let the person try again, if they want to.",
        )
    if OPERATOR_IS_APPLICANT in attempt.reasons:
        raise InputError(
            "MANUAL_NOT_ALLOWED",
            "The person in front of the camera was the operator: nobody decides about themselves.",
            hint="Let another operator sign in, and let the person try again.",
        )
    if attempt.outcome not in MANUAL_AFTER:
        what = pb.Outcome.Name(attempt.outcome).removeprefix("OUTCOME_") or "no verification"
        raise InputError(
            "MANUAL_NOT_ALLOWED",
            f"The record is {what}: people decide only where the device came to no yes and saw no spoof.",
            hint="Let the person try again.",
        )


def find_attempt(recorder: Recorder, attempt_id: str) -> pb.Statement:
    """Return the attempt (step 2).

    Raises:
        InputError: ATTEMPT_UNKNOWN or MANUAL_ALREADY.
    """
    key = parse_cosigner_key(recorder.signer.public_key_der())
    for record in recorder.outbox.newest(limit=LOOK_BACK):
        try:
            statement = parse_statement(check_signature(parse_envelope(record.envelope), key))
        except VerifieldError:
            continue  # damaged, or of an earlier key: not what was just signed here
        if statement.manual.attempt_id == attempt_id:
            raise InputError(
                "MANUAL_ALREADY",
                "Two people have decided about this attempt already.",
                hint="Let the person try again, and decide about that attempt.",
            )
        if statement.attestation_id == attempt_id:
            return statement
    raise InputError(
        "ATTEMPT_UNKNOWN",
        f"The attempt is not among the newest {LOOK_BACK} records of this device.",
        hint="See them with: verifield-edge outbox list",
    )


def decide_by_hand(
    recorder: Recorder,
    state: StateStore,
    operators: Operators,
    *,
    attempt: pb.Statement,
    decided_by: SignedIn,
    agreed_by: SignedIn,
    accepted: bool,
    standing: Standing,
) -> StoredRecord:
    """Record what two people who are signed in have decided about ``attempt``; errors as the steps say."""
    check_two_people(decided_by, agreed_by)  # 1
    if not operators.is_signed_in(decided_by):
        raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
    cosigner = operators.cosigner(agreed_by)
    verdict = ManualVerdict(
        accepted=accepted,
        causes=causes_of(attempt),
        cosigner=agreed_by,
        cosigner_key=cosigner.public_key_der(),
        attempt_id=attempt.attestation_id,
    )
    session = SessionAnswers(
        attempt.session.session_id or secrets.token_bytes(SESSION_ID_BYTES), operator=decided_by
    )

    def find() -> pb.Statement:
        found = find_attempt(recorder, attempt.attestation_id)  # 2
        check_attempt(found)  # 3
        return found

    with stops_held_back():
        record = recorder.record_manual(  # 4
            verdict,
            decide_manual(accepted=accepted),
            find_attempt=find,
            session=session,
            cosigner=cosigner,
            standing=standing,
        )
        note_manual(  # 5
            state,
            recorder.clock,
            decided_by=decided_by,
            agreed_by=agreed_by,
            attestation_id=record.attestation_id,
            accepted=accepted,
        )
    return record
