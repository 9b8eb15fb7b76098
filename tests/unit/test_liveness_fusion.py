"""Fusion fails closed: each thing that can be missing keeps a session from being LIVE."""

import pytest

from edge.liveness.fusion import judge_liveness, with_identity_continuity
from edge.model import ChallengeRecord, ExpertScore, LivenessDecision, LivenessResult, Prompt

ACTIONS = (Prompt.TURN_LEFT, Prompt.LOOK_STRAIGHT)
DONE = ChallengeRecord(bytes(16), ACTIONS, 2)
TURN = ExpertScore("head_turn", 0.3, 0.15)
PLANAR = ExpertScore("planar_motion", 0.08, 0.035)


def test_all_required_experts_and_the_whole_challenge_make_live() -> None:
    result = judge_liveness((TURN, PLANAR), DONE)
    assert result.decision is LivenessDecision.LIVE
    assert result.reasons == ()
    assert result.experts == (TURN, PLANAR)


@pytest.mark.parametrize("score", [None, 0.0349, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", [0, 1])
def test_no_score_or_a_low_one_is_never_a_pass(score: float | None, which: int) -> None:
    experts = [TURN, PLANAR]
    experts[which] = ExpertScore(experts[which].name, score, experts[which].threshold)
    result = judge_liveness(experts, DONE)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons == (f"LIVENESS_{experts[which].name.upper()}_NOT_SHOWN",)


@pytest.mark.parametrize("experts", [(), (TURN,), (PLANAR,), (TURN, TURN)])
def test_a_missing_expert_is_never_a_pass(experts: tuple[ExpertScore, ...]) -> None:
    assert judge_liveness(experts, DONE).decision is LivenessDecision.INSUFFICIENT


@pytest.mark.parametrize(
    "challenge",
    [
        ChallengeRecord(bytes(16), ACTIONS, 1),
        ChallengeRecord(bytes(16), ACTIONS, 0),
        ChallengeRecord(bytes(16), ACTIONS, 3),
        ChallengeRecord(bytes(16), (), 0),
    ],
)
def test_a_challenge_that_was_not_completed_is_never_a_pass(challenge: ChallengeRecord) -> None:
    result = judge_liveness((TURN, PLANAR), challenge)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons == ("LIVENESS_CHALLENGE_INCOMPLETE",)


def test_the_reason_that_broke_the_session_off_comes_first() -> None:
    result = judge_liveness((TURN, PLANAR), DONE, failure="FACE_SWITCHED")
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons[0] == "FACE_SWITCHED"


def test_an_attack_outweighs_everything() -> None:
    flat = ExpertScore("planar_motion", 0.01, 0.035, "SPOOF_PLANAR_MOTION")
    for experts in ((TURN, flat), (flat,), (TURN, PLANAR, flat)):
        result = judge_liveness(experts, DONE, failure="LIVENESS_TIMEOUT")
        assert result.decision is LivenessDecision.ATTACK
        assert result.reasons == ("SPOOF_PLANAR_MOTION",)


def test_a_further_expert_counts_too() -> None:
    assert judge_liveness((TURN, PLANAR, ExpertScore("texture", 0.9, 0.5)), DONE).reasons == ()
    result = judge_liveness((TURN, PLANAR, ExpertScore("texture", None, 0.5, "MODEL_MISSING")), DONE)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons == ("MODEL_MISSING",)


@pytest.fixture
def live() -> LivenessResult:
    return judge_liveness((TURN, PLANAR), DONE)


def test_key_frames_of_one_person_keep_the_verdict(live: LivenessResult) -> None:
    result = with_identity_continuity(live, [0.9, 0.415, 0.8], 0.415, model_sha256="ab")
    assert result.decision is LivenessDecision.LIVE
    assert result.experts[-1] == ExpertScore("identity_continuity", 0.415, 0.415, "", "ab")


def test_one_key_frame_of_another_person_is_an_attack(live: LivenessResult) -> None:
    result = with_identity_continuity(live, [0.9, 0.414, 0.8], 0.415)
    assert result.decision is LivenessDecision.ATTACK
    assert result.reasons == ("SPOOF_FACE_SWITCHED",)


@pytest.mark.parametrize("similarities", [[], [0.9, float("nan")]])
def test_no_comparison_is_never_a_pass(live: LivenessResult, similarities: list[float]) -> None:
    result = with_identity_continuity(live, similarities, 0.415)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.experts[-1].score is None


def test_the_same_face_does_not_make_an_attack_live() -> None:
    flat = ExpertScore("planar_motion", 0.01, 0.035, "SPOOF_PLANAR_MOTION")
    attack = judge_liveness((TURN, flat), DONE)
    assert with_identity_continuity(attack, [0.9], 0.4).decision is LivenessDecision.ATTACK
    both = with_identity_continuity(attack, [0.1], 0.4)
    assert both.reasons == ("SPOOF_PLANAR_MOTION", "SPOOF_FACE_SWITCHED")
    unsure = judge_liveness((TURN,), DONE)
    same = with_identity_continuity(unsure, [0.9], 0.4)
    assert (same.decision, same.reasons) == (LivenessDecision.INSUFFICIENT, unsure.reasons)
