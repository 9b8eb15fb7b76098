"""Decisions by hand: by two people, about an attempt of this device, signed by both device and supervisor."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from argon2 import PasswordHasher

from edge.answers import SignedIn
from edge.commands.manual import manual
from edge.errors import ExitCode, InputError
from edge.interrupts import STOPS
from edge.manual import LOOK_BACK, causes_of, check_attempt, decide_by_hand, find_attempt
from edge.model import (
    Decision,
    Evidence,
    ExpertScore,
    LivenessDecision,
    Outcome,
    Role,
    Standing,
)
from edge.operators import pins
from edge.operators.machine import IDLE_LIMIT_NS
from edge.ports import Signer
from edge.session.events import SAID_NO
from tests.support.appliance import verified_evidence
from tests.support.authority import Authority
from tests.support.bench_device import BenchDevice
from verifield.cosign import check_cosignature
from verifield.dsse import parse_envelope
from verifield.v1 import attestation_pb2 as pb

CLERK_PIN, SUPERVISOR_PIN = "835062", "472910"
NO_FACE = Decision(Outcome.INCONCLUSIVE, ("LIVENESS_NO_FACE",))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchDevice]:
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=4)
    monkeypatch.setattr(pins, "_HASHER", quick)
    bench = BenchDevice(tmp_path, authority)
    bench.operators.add("Li Wei", Role.CLERK, pin=CLERK_PIN)
    bench.operators.add("Ana Ruiz", Role.SUPERVISOR, pin=SUPERVISOR_PIN)
    yield bench
    bench.close()


def attempt_of(device: BenchDevice, decision: Decision, evidence: Evidence | None = None) -> pb.Statement:
    evidence = evidence or dataclasses.replace(verified_evidence(), liveness=None, match=None)
    if decision.outcome is Outcome.ABORTED:
        evidence = dataclasses.replace(evidence, aborted=decision.reasons[0])
    return find_attempt(device.recorder, device.recorder.record(evidence, decision).attestation_id)


def people(device: BenchDevice) -> tuple[SignedIn, SignedIn]:
    return (
        device.operators.sign_in("Li Wei", pin=CLERK_PIN),
        device.operators.sign_in("Ana Ruiz", pin=SUPERVISOR_PIN),
    )


def decide(
    device: BenchDevice, attempt: pb.Statement, who: tuple[SignedIn, SignedIn], *, accepted: bool = True
) -> pb.Statement:
    decide_by_hand(
        device.recorder,
        device.state,
        device.operators,
        attempt=attempt,
        decided_by=who[0],
        agreed_by=who[1],
        accepted=accepted,
        standing=Standing.DEGRADED,
    )
    return device.statements()[0]


@pytest.mark.parametrize("accepted", [True, False])
def test_two_people_decide_and_both_answer_for_it(device: BenchDevice, accepted: bool) -> None:
    attempt = attempt_of(device, NO_FACE)
    clerk, supervisor = people(device)
    statement = decide(device, attempt, (clerk, supervisor), accepted=accepted)
    assert statement.outcome == pb.OUTCOME_MANUAL
    assert list(statement.reasons) == ["MANUAL_ACCEPTED" if accepted else "MANUAL_REFUSED"]
    assert statement.manual.accepted == accepted
    assert list(statement.manual.causes) == ["INCONCLUSIVE", "LIVENESS_NO_FACE"]
    assert statement.manual.attempt_id == attempt.attestation_id
    assert statement.session.session_id == attempt.session.session_id
    assert statement.operator.operator_id == clerk.operator_id
    assert statement.manual.cosigner.operator_id == supervisor.operator_id
    assert statement.manual.cosigner.role == "supervisor"
    assert statement.document == attempt.document
    assert statement.standing == pb.STANDING_DEGRADED
    (record, *_) = device.outbox.newest(limit=1)
    envelope = parse_envelope(record.envelope)
    assert len(envelope.signatures) == 2
    check_cosignature(envelope, statement, device_key=device.public_key())
    (entry,) = device.state.ledger.entries()
    assert (entry.attestation_id, entry.accepted) == (record.attestation_id, accepted)
    assert (entry.decided_by, entry.agreed_by) == (clerk.operator_id, supervisor.operator_id)


def attack() -> Evidence:
    evidence = verified_evidence()
    assert evidence.liveness is not None
    flat = ExpertScore("planar_motion", 0.001, 0.012, "SPOOF_PLANAR_MOTION")
    liveness = dataclasses.replace(
        evidence.liveness, decision=LivenessDecision.ATTACK, experts=(flat,), reasons=(flat.reason,)
    )
    return dataclasses.replace(evidence, liveness=liveness)


def stranger() -> Evidence:
    evidence = verified_evidence()
    assert evidence.match is not None
    return dataclasses.replace(evidence, match=dataclasses.replace(evidence.match, score=0.1))


@pytest.mark.parametrize(
    ("evidence", "decision", "allowed"),
    [
        (None, NO_FACE, True),
        (None, Decision(Outcome.ABORTED, ("CAMERA_LOST",)), True),
        (stranger(), Decision(Outcome.NOT_MATCHED, ("SCORE_BELOW_THRESHOLD",)), True),
        (verified_evidence(), Decision(Outcome.VERIFIED, ()), False),
        (attack(), Decision(Outcome.SPOOF, ("SPOOF_PLANAR_MOTION",)), False),
        *((None, Decision(Outcome.ABORTED, (no,)), False) for no in sorted(SAID_NO)),
    ],
)
def test_people_decide_only_where_the_device_said_no_without_a_spoof(
    device: BenchDevice, evidence: Evidence | None, decision: Decision, allowed: bool
) -> None:
    attempt = attempt_of(device, decision, evidence)
    if allowed:
        check_attempt(attempt)
        assert causes_of(attempt) == (decision.outcome, *decision.reasons)
        return
    with pytest.raises(InputError) as caught:
        decide(device, attempt, people(device))
    assert caught.value.code == "MANUAL_NOT_ALLOWED"
    assert len(device.outbox.newest(limit=9)) == 2  # the enrolment and the attempt
    assert device.state.ledger.entries() == []


def test_an_event_of_the_device_is_no_attempt(device: BenchDevice) -> None:
    (enrolled,) = device.statements()
    with pytest.raises(InputError) as caught:
        check_attempt(find_attempt(device.recorder, enrolled.attestation_id))
    assert caught.value.code == "MANUAL_NOT_ALLOWED"


def test_an_attempt_is_decided_once(device: BenchDevice) -> None:
    attempt = attempt_of(device, NO_FACE)
    who = people(device)
    manual = decide(device, attempt, who, accepted=False)
    with pytest.raises(InputError) as caught:
        decide(device, attempt, who, accepted=True)
    assert caught.value.code == "MANUAL_ALREADY"
    with pytest.raises(InputError) as caught:  # nor is the decision itself open to another one
        decide(device, manual, who)
    assert caught.value.code == "MANUAL_NOT_ALLOWED"
    assert len(device.state.ledger.entries()) == 1


def test_of_two_decisions_at_the_same_time_one_is_refused(
    device: BenchDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = attempt_of(device, NO_FACE)
    who = people(device)
    cosigner = device.operators.cosigner

    def another_first(person: SignedIn) -> Signer:
        """The other decision is recorded once everything of this one was looked at."""
        monkeypatch.setattr(device.operators, "cosigner", cosigner)
        decide(device, attempt, who, accepted=False)
        return cosigner(person)

    monkeypatch.setattr(device.operators, "cosigner", another_first)
    with pytest.raises(InputError) as caught:
        decide(device, attempt, who, accepted=True)
    assert caught.value.code == "MANUAL_ALREADY"
    assert [statement.outcome for statement in device.statements()].count(pb.OUTCOME_MANUAL) == 1


def test_only_a_fresh_attempt_of_this_device_is_decided(device: BenchDevice) -> None:
    attempt = attempt_of(device, NO_FACE)
    for _ in range(LOOK_BACK - 1):
        device.recorder.record(Evidence(aborted="TIMEOUT_DOCUMENT"), Decision(Outcome.ABORTED, ("NO_CARD",)))
    find_attempt(device.recorder, attempt.attestation_id)
    device.recorder.record(Evidence(aborted="TIMEOUT_DOCUMENT"), Decision(Outcome.ABORTED, ("NO_CARD",)))
    for unknown in (attempt.attestation_id, "01890000-0000-7000-8000-000000000000"):
        with pytest.raises(InputError) as caught:
            find_attempt(device.recorder, unknown)
        assert caught.value.code == "ATTEMPT_UNKNOWN"


def test_nobody_decides_alone_or_without_a_supervisor(device: BenchDevice) -> None:
    attempt = attempt_of(device, NO_FACE)
    clerk, supervisor = people(device)
    for who, code in [
        ((supervisor, supervisor), "SAME_PERSON"),
        ((supervisor, clerk), "NO_SUPERVISOR"),
    ]:
        with pytest.raises(InputError) as caught:
            decide(device, attempt, who)
        assert caught.value.code == code
    assert len(device.outbox.newest(limit=9)) == 2


@pytest.mark.parametrize("gone", ["Li Wei", "Ana Ruiz", "both, idle"])
def test_both_must_still_be_signed_in(device: BenchDevice, gone: str) -> None:
    attempt = attempt_of(device, NO_FACE)
    clerk, supervisor = people(device)
    if gone == "both, idle":
        device.clock.advance(timedelta(microseconds=IDLE_LIMIT_NS // 1000))
    else:
        device.operators.sign_out(clerk if gone == "Li Wei" else supervisor)
    with pytest.raises(InputError) as caught:
        decide(device, attempt, (clerk, supervisor))
    assert caught.value.code == "NOT_SIGNED_IN"
    assert len(device.outbox.newest(limit=9)) == 2


@pytest.fixture
def at_the_terminal(device: BenchDevice, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The command opens the device on the bench; yields where its people type."""
    monkeypatch.setattr("edge.commands.manual.open_recorder", lambda _config: nullcontext(device.recorder))
    monkeypatch.setattr(
        "edge.commands.manual.open_state", lambda _config, _identity: nullcontext(device.state)
    )
    before = {number: signal.getsignal(number) for number in STOPS}
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as source:
        monkeypatch.setattr("sys.stdin", source)
        yield writing
        os.close(writing)
    for number, handler in before.items():
        signal.signal(number, handler)


def run_command(attempt: pb.Statement, *, accepted: bool = True) -> int:
    try:
        manual(
            attempt_id=attempt.attestation_id,
            accepted=accepted,
            clerk="Li Wei",
            supervisor="Ana Ruiz",
            as_json=True,
        )
    except typer.Exit as left:
        return left.exit_code
    except SystemExit as failed:
        return int(failed.code or 0)
    return 0


@pytest.mark.parametrize(("accepted", "status"), [(True, 0), (False, 1)])
def test_the_command_takes_two_pins_and_prints_one_object(
    device: BenchDevice,
    at_the_terminal: int,
    capsys: pytest.CaptureFixture[str],
    accepted: bool,
    status: int,
) -> None:
    attempt = attempt_of(device, NO_FACE)
    os.write(at_the_terminal, f"{CLERK_PIN}\n{SUPERVISOR_PIN}\n".encode())
    assert run_command(attempt, accepted=accepted) == status
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["outcome"], answer["accepted"]) == ("MANUAL", accepted)
    assert answer["attempt_id"] == attempt.attestation_id
    newest = device.statements()[0]
    assert (answer["attestation_id"], answer["seq"]) == (newest.attestation_id, newest.seq)
    assert "INCONCLUSIVE, LIVENESS_NO_FACE" in said.err
    assert CLERK_PIN not in said.err + said.out


def test_a_wrong_pin_decides_nothing(
    device: BenchDevice, at_the_terminal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = attempt_of(device, NO_FACE)
    os.write(at_the_terminal, f"{CLERK_PIN}\n{CLERK_PIN}\n".encode())
    assert run_command(attempt) == ExitCode.INPUT
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "SIGN_IN_WRONG"
    assert len(device.outbox.newest(limit=9)) == 2
