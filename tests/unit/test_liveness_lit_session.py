"""Whole sessions with light and turns on simulated pictures: who passes, replays, faults, the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from edge.answers import Accommodation, ChallengeKind, ChallengeVariant, TurnsWhen
from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.decision import decide
from edge.liveness.light import new_sequence
from edge.liveness.passive import PassiveResult
from edge.liveness.plan import ChallengePlan, plan_challenge
from edge.liveness.session import LivenessSession
from edge.model import (
    Decision,
    ExpertScore,
    Face,
    Image,
    LivenessDecision,
    LivenessResult,
    Outcome,
    Prompt,
)
from edge.models.store import ModelStore
from edge.policy import LivenessPolicy
from tests.support.appliance import statement_of, verified_evidence
from tests.support.evidence import GOOD
from tests.support.liveness import Lamp, Seen, Told, replay
from verifield.statement import encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb
from verifield_sim import portraits
from verifield_sim.camera import Scene

POLICY = dataclasses.replace(LivenessPolicy(), challenge_turns=1, turns_when=TurnsWhen.ALWAYS)
NONCE = bytes(range(16))
FRAME_S = 1 / 15


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> LiveDetector:
    return LiveDetector(YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1))


def fresh(
    nonce: bytes = NONCE,
    *,
    plan: ChallengePlan | None = None,
    passive: Told | None = None,
    policy: LivenessPolicy = POLICY,
) -> LivenessSession:
    return LivenessSession(
        nonce, policy, plan=plan, passive=passive or Told(), made_up_frames_pass=True, attempt=2
    )


def present(
    detector: LiveDetector,
    kind: str,
    *,
    seed: int,
    plan: ChallengePlan | None = None,
    policy: LivenessPolicy = POLICY,
    hears: bool = True,
) -> tuple[LivenessResult, list[Seen], Lamp, LivenessSession]:
    """``hears``: whether the person does what the screen says."""
    scene = Scene(kind, portraits.load("astronaut"), seed=seed)
    session = fresh(plan=plan, policy=policy)
    lamp, seen, now = Lamp(scene.light), list[Seen](), 0.0
    while not session.done and now < 30:
        image = scene.frame(now)
        face = next(iter(detector.detect(image)), None)
        seen.append((image, face, now))
        prompt = session.observe(image, face, now)
        if prompt is not None and hears:
            scene.show(prompt.value, now)
        lamp.follow(session, now)
        now += FRAME_S
    return session.result(now), seen, lamp, session


Passed = tuple[LivenessResult, list[Seen], Lamp, LivenessSession]


@pytest.fixture(scope="module")
def passed(detector: LiveDetector) -> Passed:
    """A session that a live person passed."""
    return present(detector, "live", seed=0)


def outcome(result: LivenessResult) -> Outcome:
    """What a session comes to that is perfect but for its liveness."""
    return decide(dataclasses.replace(GOOD, liveness=result)).outcome


def test_a_living_face_answers_light_and_turns(passed: Passed) -> None:
    result, seen, lamp, session = passed
    assert result.decision is LivenessDecision.LIVE, result
    assert session.passed
    challenge = result.challenge
    assert challenge.kinds == (ChallengeKind.LIGHT, ChallengeKind.TURNS)
    assert challenge.actions[0] is Prompt.WATCH_SCREEN
    assert challenge.completed == len(challenge.actions) == 1 + 2 * POLICY.challenge_turns
    assert [colour for _, colour in lamp.changes] == [*new_sequence(NONCE), None]
    assert lamp.changes[-1][0] - seen[0][2] < 4.0  # light is over soon after a face is in view
    assert len(session.keyframes) >= 3
    assert result.score is not None
    assert result.score >= result.threshold


NEEDED = dataclasses.replace(POLICY, turns_when=TurnsWhen.NEEDED)


@pytest.fixture(scope="module")
def early(detector: LiveDetector) -> Passed:
    """A session that a live person passed without turning the head."""
    return present(detector, "live", seed=0, policy=NEEDED)


def test_a_verdict_that_stands_after_light_leaves_the_turns_out_and_says_so(early: Passed) -> None:
    result, seen, _, session = early
    assert result.decision is LivenessDecision.LIVE, result
    assert session.passed
    assert seen[-1][2] - seen[0][2] < 2.6, "and half a second before, until the face was well placed"
    challenge = result.challenge
    assert (challenge.kinds, challenge.omitted) == ((ChallengeKind.LIGHT,), (ChallengeKind.TURNS,))
    assert (challenge.actions, challenge.completed) == ((Prompt.WATCH_SCREEN,), 1)
    names = {expert.name for expert in result.experts}
    assert names >= {"light", "light_shape", "sign_of_life", "passive", "camera_origin"}
    assert not names & {"head_turn", "planar_motion"}
    evidence = dataclasses.replace(verified_evidence(), liveness=result)
    statement, _ = statement_of(evidence, Decision(Outcome.VERIFIED, ()))
    read = parse_statement(encode_statement(statement)).liveness.challenge
    assert (list(read.kinds), list(read.omitted)) == ([pb.CHALLENGE_KIND_LIGHT], [pb.CHALLENGE_KIND_TURNS])
    assert len(session.keyframes) >= 2


@pytest.mark.req("E013")
def test_the_video_of_a_session_without_turns_fails_every_other_nonce(early: Passed) -> None:
    seen = early[1]
    assert replay(fresh(policy=NEEDED), seen).decision is LivenessDecision.LIVE, "the very nonce"
    for number in range(1, 8):
        result = replay(fresh(number.to_bytes(16, "big"), policy=NEEDED), seen)
        assert outcome(result) is Outcome.INCONCLUSIVE
        assert result.challenge.omitted == (), "light does not answer: the head must be turned"


@pytest.mark.parametrize(
    ("signals", "policy"),
    [
        (Told(PassiveResult(0.49, (), "")), NEEDED),
        (Told(PassiveResult(0.9, (), "")), dataclasses.replace(NEEDED, early_passive=0.95)),
        (Told(PassiveResult(0.9, (), "")), dataclasses.replace(NEEDED, early_light_shape=9.0)),
        (Told(PassiveResult(None, (), "LIVENESS_NO_FRAME_EXPERT")), NEEDED),
    ],
)
def test_where_there_is_doubt_the_head_must_be_turned(
    early: Passed, signals: Told, policy: LivenessPolicy
) -> None:
    """The same frames, and some more of a face that looks straight."""
    session = fresh(policy=policy, passive=signals)
    seen = [*early[1], *((*early[1][-1][:2], early[1][-1][2] + step * FRAME_S) for step in range(1, 40))]
    shown: list[Prompt] = []
    lamp = Lamp()
    for image, face, now in seen:
        prompt = session.observe(image, face, now)
        lamp.follow(session, now)
        shown += [] if prompt is None else [prompt]
    assert {Prompt.TURN_LEFT, Prompt.TURN_RIGHT} & set(shown)
    result = session.result(seen[-1][2])
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.challenge.omitted == ()


BRIEF = dataclasses.replace(NEEDED, jaw_time_limit_s=1.0)


@pytest.mark.req("E010")
@pytest.mark.parametrize(("kind", "hears"), [("mask", True), ("live", False)])
def test_who_does_not_open_the_mouth_when_asked_does_not_pass(
    detector: LiveDetector, kind: str, hears: bool
) -> None:
    """A mask with eye holes, behind which somebody blinks; and a person who does nothing."""
    still = plan_challenge(BRIEF, Accommodation(ChallengeVariant.NO_TURN), can_light=True)
    result, seen, _, _ = present(detector, kind, seed=1, plan=still, policy=BRIEF, hears=hears)
    assert result.reasons == ("LIVENESS_NO_SIGN_OF_LIFE",)
    assert outcome(result) is Outcome.INCONCLUSIVE
    assert result.challenge.completed == 1, "light was answered"
    assert seen[-1][2] > 3.0, "and there was time for it"


@pytest.mark.req("E013")
def test_the_video_of_a_passed_session_fails_every_other_nonce(passed: Passed) -> None:
    _, seen, _, _ = passed
    assert replay(fresh(), seen).decision is LivenessDecision.LIVE, "the very nonce: the replay is a true one"
    wrong = {"LIVENESS_LIGHT_MISMATCH", "LIVENESS_LIGHT_TOO_WEAK"}
    for number in range(1, 11):
        result = replay(fresh(number.to_bytes(16, "big")), seen)
        assert result.decision is LivenessDecision.INSUFFICIENT
        assert wrong & set(result.reasons), "light alone tells, whatever the turns say"
        assert outcome(result) is Outcome.INCONCLUSIVE


@pytest.mark.req("E013")
def test_nonce_sequence_and_response_are_in_the_statement_that_is_signed(passed: Passed) -> None:
    result = passed[0]
    evidence = dataclasses.replace(verified_evidence(), liveness=result)
    statement, _ = statement_of(evidence, Decision(Outcome.VERIFIED, ()))
    read = parse_statement(encode_statement(statement)).liveness
    challenge = read.challenge
    assert challenge.nonce == NONCE
    assert list(challenge.light.colours) == ["#{:02X}{:02X}{:02X}".format(*c) for c in new_sequence(NONCE)]
    assert len(challenge.light.shown_ms) == len(challenge.light.response) == 8
    record = result.challenge.light
    assert record is not None
    assert [(part.red, part.green, part.blue) for part in challenge.light.response] == list(record.response)
    assert any(abs(part.red) > 0.005 for part in challenge.light.response)
    assert list(challenge.actions) == [action.value for action in result.challenge.actions]
    assert len(challenge.turns) == POLICY.challenge_turns
    assert abs(challenge.turns[0]) >= POLICY.turn_yaw_ratio
    assert (challenge.variant, challenge.time_factor, challenge.attempt) == (0, 1.0, 2)
    assert read.score == result.score
    assert read.threshold == POLICY.min_score


def test_whoever_cannot_turn_the_head_passes_by_light_and_whoever_cannot_see_by_turns(
    passed: Passed,
) -> None:
    _, seen, lamp, _ = passed
    light_only = plan_challenge(POLICY, Accommodation(ChallengeVariant.NO_TURN), can_light=True)
    result = replay(fresh(plan=light_only), seen)
    assert result.decision is LivenessDecision.LIVE, result
    assert result.challenge.actions == (Prompt.WATCH_SCREEN,)
    assert result.challenge.variant is ChallengeVariant.NO_TURN
    assert {expert.name for expert in result.experts} >= {"light", "light_shape", "passive"}
    assert "planar_motion" not in {expert.name for expert in result.experts}

    turns_only = plan_challenge(POLICY, Accommodation(ChallengeVariant.NO_SCREEN, True), can_light=True)
    after_light = [one for one in seen if one[2] > lamp.changes[-1][0]]
    session = fresh(plan=turns_only)
    shown = [prompt for prompt in (session.observe(*one) for one in after_light) if prompt]
    result = session.result(after_light[-1][2])
    assert Prompt.WATCH_SCREEN not in shown
    assert session.light is None
    assert result.challenge.variant is ChallengeVariant.NO_SCREEN
    assert result.challenge.time_factor == POLICY.more_time_factor
    assert result.challenge.light is None


def test_a_device_whose_screen_cannot_light_shows_what_is_missing() -> None:
    session = fresh(plan=plan_challenge(POLICY, can_light=False))
    light = next(expert for expert in session.result(0.0).experts if expert.name == "light")
    assert light == ExpertScore(
        "light", None, POLICY.min_light_bits, "LIVENESS_LIGHT_UNAVAILABLE", advisory=True
    )
    strict = dataclasses.replace(POLICY, require_light=True)
    refused = LivenessSession(NONCE, strict, plan=plan_challenge(strict, can_light=False), passive=Told())
    assert refused.done
    assert refused.result(0.0).reasons[0] == "LIVENESS_LIGHT_UNAVAILABLE"
    assert not refused.passed


class Breaks(Told):
    def observe(self, image: Image, face: Face | None, at: float) -> None:
        raise RuntimeError("out of memory")


class BreaksLate(Told):
    def result(self) -> PassiveResult:
        raise ZeroDivisionError


def passive(score: float | None, reason: str = "") -> Told:
    return Told(PassiveResult(score, (), reason))


@pytest.mark.req("E010")
@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        (None, "LIVENESS_NO_PASSIVE"),
        (Breaks(), "LIVENESS_EXPERT_FAILED"),
        (BreaksLate(), "LIVENESS_EXPERT_FAILED"),
        (passive(float("nan")), "LIVENESS_PASSIVE_LOW"),
        (passive(None, "LIVENESS_NO_FRAME_EXPERT"), "LIVENESS_NO_FRAME_EXPERT"),
        (passive(None, "LIVENESS_FRAMES_FROZEN"), "LIVENESS_FRAMES_FROZEN"),
        (passive(0.49), "LIVENESS_PASSIVE_LOW"),
        (passive(0.01), "SPOOF_PASSIVE"),
    ],
)
def test_passive_signals_that_are_missing_broken_or_low_are_never_verified(
    passed: Passed, signals: Told | None, reason: str
) -> None:
    _, seen, _, _ = passed
    session = LivenessSession(NONCE, POLICY, passive=signals, made_up_frames_pass=True)
    result = replay(session, seen)
    assert reason in result.reasons
    assert outcome(result) in (Outcome.INCONCLUSIVE, Outcome.SPOOF)
    assert (outcome(result) is Outcome.SPOOF) == reason.startswith("SPOOF_")


def face_gone(seen: list[Seen]) -> list[Seen]:
    return [(image, None if 1.0 < now < 2.5 else face, now) for image, face, now in seen]


def frozen(seen: list[Seen]) -> list[Seen]:
    return [(seen[0][0], seen[0][1], now) for _, _, now in seen]


def backwards(seen: list[Seen]) -> list[Seen]:
    half = len(seen) // 4
    return [*seen[:half], *((image, face, 0.01) for image, face, _ in seen[half:])]


def two_people(seen: list[Seen]) -> list[Seen]:
    """Whoever chooses the one face chooses nobody where there are two."""
    return [(image, None if now > 1.5 else face, now) for image, face, now in seen]


def another_size(seen: list[Seen]) -> list[Seen]:
    return [
        (image if now < 1.5 else np.ascontiguousarray(image[:400]), face, now) for image, face, now in seen
    ]


@pytest.mark.req("E010")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (face_gone, "LIVENESS_FACE_LOST"),
        (frozen, "LIVENESS_LIGHT_TOO_WEAK"),
        (backwards, "LIVENESS_UNFINISHED"),
        (two_people, "LIVENESS_FACE_LOST"),
        (another_size, "LIVENESS_EXPERT_FAILED"),
    ],
)
def test_a_fault_while_the_screen_lights_up_is_never_verified(
    passed: Passed, fault: Callable[[list[Seen]], list[Seen]], reason: str
) -> None:
    result = replay(fresh(), fault(passed[1]))
    assert reason in result.reasons, result.reasons
    assert outcome(result) is Outcome.INCONCLUSIVE


def test_a_screen_that_shows_nothing_fails_in_words(passed: Passed) -> None:
    session = fresh()
    for image, face, now in passed[1]:
        session.observe(image, face, now)
    assert session.result(passed[1][-1][2]).reasons[0] == "LIVENESS_LIGHT_UNAVAILABLE"
