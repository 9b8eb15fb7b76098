"""Fusion fails closed: each thing that can be missing keeps a session from being LIVE."""

import dataclasses
from collections.abc import Sequence

import pytest

from edge.answers import ChallengeKind, TurnsWhen
from edge.liveness import fusion
from edge.liveness.fusion import with_identity_continuity
from edge.model import ChallengeRecord, ExpertScore, LivenessDecision, LivenessResult, Prompt
from edge.policy import LivenessPolicy

POLICY = LivenessPolicy()
ACTIONS = (Prompt.TURN_LEFT, Prompt.LOOK_STRAIGHT)
TURNS = (ChallengeKind.TURNS,)
LIT_TURNS = (ChallengeKind.LIGHT, ChallengeKind.TURNS)
DONE = ChallengeRecord(bytes(16), ACTIONS, 2, TURNS)
PASSIVE = ExpertScore("passive", 0.8, POLICY.passive_floor)
ORIGIN = ExpertScore("camera_origin", 1.0, 0.5)
LIFE = ExpertScore("sign_of_life", 0.3, 0.12)
ALWAYS = (PASSIVE, ORIGIN, LIFE)
TURN = ExpertScore("head_turn", 0.3, 0.15)
PLANAR = ExpertScore("planar_motion", 0.08, 0.035)
LIGHT = ExpertScore("light", 13.0, POLICY.min_light_bits)
SHAPE = ExpertScore("light_shape", 0.3, 0.0)


def judge_liveness(
    experts: Sequence[ExpertScore], challenge: ChallengeRecord, *, failure: str = "", beside: bool = True
) -> LivenessResult:
    """With what every session has beside its challenges, unless told otherwise."""
    return fusion.judge_liveness((*experts, *(ALWAYS if beside else ())), challenge, POLICY, failure=failure)


def test_all_required_experts_and_the_whole_challenge_make_live() -> None:
    result = judge_liveness((TURN, PLANAR), DONE)
    assert result.decision is LivenessDecision.LIVE
    assert result.reasons == ()
    assert result.experts == (TURN, PLANAR, *ALWAYS)
    assert result.score is not None
    assert result.score >= result.threshold == POLICY.min_score


@pytest.mark.parametrize("score", [None, 0.0349, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", [0, 1])
def test_no_score_or_a_low_one_is_never_a_pass(score: float | None, which: int) -> None:
    experts = [TURN, PLANAR]
    experts[which] = ExpertScore(experts[which].name, score, experts[which].threshold)
    result = judge_liveness(experts, DONE)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons[0] == f"LIVENESS_{experts[which].name.upper()}_NOT_SHOWN"


@pytest.mark.parametrize("experts", [(), (TURN,), (PLANAR,), (TURN, TURN)])
def test_a_missing_expert_is_never_a_pass(experts: tuple[ExpertScore, ...]) -> None:
    assert judge_liveness(experts, DONE).decision is LivenessDecision.INSUFFICIENT


@pytest.mark.parametrize(
    "challenge",
    [
        ChallengeRecord(bytes(16), ACTIONS, 1, TURNS),
        ChallengeRecord(bytes(16), ACTIONS, 0, TURNS),
        ChallengeRecord(bytes(16), ACTIONS, 3, TURNS),
        ChallengeRecord(bytes(16), (), 0, TURNS),
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


def test_one_that_is_advisory_neither_passes_nor_fails_but_may_accuse() -> None:
    missing = ExpertScore("minifasnet", None, 0.5, "MODEL_NOT_PULLED", advisory=True)
    low = ExpertScore("texture", 0.1, 0.5, "", advisory=True)
    assert judge_liveness((TURN, PLANAR, missing, low), DONE).decision is LivenessDecision.LIVE
    accusing = ExpertScore("texture", 0.1, 0.5, "SPOOF_TEXTURE", advisory=True)
    assert judge_liveness((TURN, PLANAR, accusing), DONE).reasons == ("SPOOF_TEXTURE",)


@pytest.mark.parametrize("beside", [(), (PASSIVE, ORIGIN), (ORIGIN, LIFE), (PASSIVE, LIFE)])
def test_passive_signals_origin_of_the_frames_and_a_sign_of_life_belong_to_every_session(
    beside: tuple[ExpertScore, ...],
) -> None:
    result = judge_liveness((TURN, PLANAR, *beside), DONE, beside=False)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.score is None


def test_light_that_was_asked_for_must_have_judged() -> None:
    lit = ChallengeRecord(bytes(16), (Prompt.WATCH_SCREEN, *ACTIONS), 3, LIT_TURNS)
    assert judge_liveness((TURN, PLANAR, LIGHT, SHAPE), lit).decision is LivenessDecision.LIVE
    assert judge_liveness((TURN, PLANAR, SHAPE), lit).reasons == ("LIVENESS_NO_LIGHT",)
    assert judge_liveness((TURN, PLANAR, LIGHT), lit).reasons == ("LIVENESS_NO_LIGHT_SHAPE",)
    weak = ExpertScore("light", None, POLICY.min_light_bits, "LIVENESS_LIGHT_TOO_WEAK")
    assert judge_liveness((TURN, PLANAR, weak, SHAPE), lit).reasons == ("LIVENESS_LIGHT_TOO_WEAK",)


LIT = ChallengeRecord(bytes(16), (Prompt.WATCH_SCREEN,), 1, (ChallengeKind.LIGHT,))
EARLY = dataclasses.replace(LIT, omitted=(ChallengeKind.TURNS,))


def test_turns_may_be_left_out_where_nothing_is_in_doubt() -> None:
    assert fusion.why_turns((LIGHT, SHAPE, *ALWAYS), POLICY) == ()
    result = judge_liveness((LIGHT, SHAPE), EARLY)
    assert result.decision is LivenessDecision.LIVE
    assert result.score == fusion.fuse((LIGHT, SHAPE, *ALWAYS), (ChallengeKind.LIGHT,))


def doubts() -> dict[str, tuple[ExpertScore, ...]]:
    """What is not enough without turns; the first of each is put in its place."""
    accused = ExpertScore("border", 0.1, 0.0, "SPOOF_BORDER", advisory=True)
    return {
        "passive under the operating point": (ExpertScore("passive", 0.49, 0.2),),
        "no passive score": (ExpertScore("passive", None, 0.2, "LIVENESS_NO_FACE"),),
        "light of hardly a shape": (ExpertScore("light_shape", -0.01, -0.1),),
        "no shape": (ExpertScore("light_shape", None, -0.1, "LIVENESS_LIGHT_TOO_WEAK"),),
        "light in other colours": (ExpertScore("light", 9.9, 10.0, "LIVENESS_LIGHT_MISMATCH"),),
        "mouth shut": (ExpertScore("sign_of_life", 0.02, 0.12, "LIVENESS_NO_SIGN_OF_LIFE"),),
        "mouth not seen": (ExpertScore("sign_of_life", None, 0.12, "LIVENESS_NO_SIGN_OF_LIFE"),),
        "frames of no camera": (ExpertScore("camera_origin", 0.0, 0.5, "INJECTION_NO_NOISE"),),
        "an attack that was seen": (PASSIVE, accused),
        "not a number": (ExpertScore("passive", float("nan"), 0.2),),
    }


@pytest.mark.req("E010")
@pytest.mark.parametrize("doubt", doubts().values(), ids=doubts())
def test_any_doubt_asks_for_turns_and_a_record_without_them_is_not_live(
    doubt: tuple[ExpertScore, ...],
) -> None:
    experts = [doubt[0] if one.name == doubt[0].name else one for one in (LIGHT, SHAPE, *ALWAYS)]
    experts += doubt[1:]
    assert fusion.why_turns(experts, POLICY) != ()
    assert judge_liveness(experts, EARLY, beside=False).decision is not LivenessDecision.LIVE


@pytest.mark.parametrize("left_out", [*ALWAYS, LIGHT, SHAPE], ids=lambda one: one.name)
def test_an_expert_that_is_not_there_asks_for_turns(left_out: ExpertScore) -> None:
    experts = [one for one in (LIGHT, SHAPE, *ALWAYS) if one is not left_out]
    assert f"LIVENESS_NO_{left_out.name.upper()}" in fusion.why_turns(experts, POLICY)


def test_a_policy_may_have_turns_always() -> None:
    always = dataclasses.replace(POLICY, turns_when=TurnsWhen.ALWAYS)
    experts = (LIGHT, SHAPE, *ALWAYS)
    assert fusion.why_turns(experts, always) == ("LIVENESS_TURNS_NEEDED",)
    assert fusion.judge_liveness(experts, EARLY, always).reasons == ("LIVENESS_TURNS_NEEDED",)
    assert fusion.judge_liveness(experts, LIT, always).decision is LivenessDecision.LIVE, "who cannot turn"


def test_without_any_challenge_nobody_is_live() -> None:
    none = ChallengeRecord(bytes(16), (), 0)
    assert "LIVENESS_NO_CHALLENGE" in judge_liveness((TURN, PLANAR), none).reasons


def score_of(passive: float, *experts: ExpertScore, kinds: tuple[ChallengeKind, ...] = TURNS) -> float:
    score = fusion.fuse((ExpertScore("passive", passive, 0.2), ORIGIN, LIFE, *experts), kinds)
    assert score is not None
    return score


def test_the_score_rises_with_every_signal_and_answers_make_up_for_some_doubt_only() -> None:
    assert score_of(0.6, TURN, PLANAR) > score_of(0.5, TURN, PLANAR) > 0.5
    deeper = ExpertScore("planar_motion", 0.05, 0.035), ExpertScore("planar_motion", 0.036, 0.035)
    assert score_of(0.5, TURN, deeper[0]) >= score_of(0.5, TURN, deeper[1])
    both = (TURN, PLANAR, LIGHT, SHAPE)
    assert score_of(0.19, *both, kinds=LIT_TURNS) < 0.5 < score_of(0.21, *both, kinds=LIT_TURNS)
    assert score_of(0.32, TURN, PLANAR) < 0.5 < score_of(0.34, TURN, PLANAR)
    assert score_of(1.0, TURN, PLANAR) < 1.0
    assert score_of(0.0, *both, kinds=LIT_TURNS) > 0.0


def test_a_score_below_the_operating_point_is_not_live() -> None:
    """Of a policy that is content with less of the passive signals alone."""
    doubtful = (ExpertScore("passive", 0.25, 0.2), ORIGIN, LIFE)
    result = judge_liveness((TURN, PLANAR, *doubtful), DONE, beside=False)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons == ("LIVENESS_SCORE_LOW",)
    assert result.score is not None
    assert result.score < result.threshold


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
