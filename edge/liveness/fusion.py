"""Many signals, one verdict and one score. Anything that is missing counts against the person, never for.

The score is a probability of life: the calibrated log odds of the passive signals (edge.liveness.calibration)
plus the evidence of each answered challenge, in nats. Evidence in favour is bounded: with all of it together
the passive signals would still have to reach 0.2, and the policy asks for more of them alone. Evidence
against ends at 20 to 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from edge.answers import ChallengeKind, TurnsWhen
from edge.liveness.calibration import Curve
from edge.model import ChallengeRecord, ExpertScore, LivenessDecision, LivenessResult
from edge.policy import LivenessPolicy

HEAD_TURN = "head_turn"
PLANAR_MOTION = "planar_motion"
LIGHT = "light"
LIGHT_SHAPE = "light_shape"
PASSIVE = "passive"
CAMERA_ORIGIN = "camera_origin"
SIGN_OF_LIFE = "sign_of_life"
IDENTITY_CONTINUITY = "identity_continuity"

ALWAYS = (PASSIVE, CAMERA_ORIGIN, SIGN_OF_LIFE)
OF_KIND: Mapping[ChallengeKind, tuple[str, ...]] = {
    ChallengeKind.LIGHT: (LIGHT, LIGHT_SHAPE),
    ChallengeKind.TURNS: (HEAD_TURN, PLANAR_MOTION),
}
"""What must have judged, for each kind of challenge that was given."""

TURNS_NEEDED = "LIVENESS_TURNS_NEEDED"

SPOOF = "SPOOF_"  # a reason that starts so says: this is an attack, not merely too little evidence

EVIDENCE: Mapping[str, Curve] = {
    # Simulated heads show a relief of 0.060 to 0.125, prints 0.008 to 0.016 (edge.policy).
    PLANAR_MOTION: Curve("log", centre=math.log(0.03), slope=2.0, against=3.0, in_favour=0.7),
    # Half of all replays stay under 1 bit, one in a hundred reaches 6 (edge.liveness.light_response).
    LIGHT: Curve("identity", centre=6.0, slope=0.25, against=3.0, in_favour=0.4),
    # Heads -0.01 to 0.43 (96 %), most displays -0.82 to -0.15 (simulated; edge.policy).
    LIGHT_SHAPE: Curve("identity", centre=0.05, slope=10.0, against=3.0, in_favour=0.3),
}
MAX_LOGIT = 8.0  # of the passive signals: no number of pictures makes anybody more sure


def judge_liveness(
    experts: Sequence[ExpertScore],
    challenge: ChallengeRecord,
    policy: LivenessPolicy,
    *,
    failure: str = "",
) -> LivenessResult:
    """Fuse the experts with the course of the challenge (``failure``: why it broke off, "" if it did not).

    1. ATTACK where an expert that could judge names an attack, whatever the others say.
    2. LIVE only where the challenge was completed, every expert that is not advisory, each required one among
       them, passed, and the score reaches the policy's.
    3. INSUFFICIENT in all other cases.

    Turns that were left out (``challenge.omitted``) are held against ``why_turns`` once more.
    """
    experts = tuple(experts)
    score = fuse(experts, challenge.kinds)
    spoofs = _unique(expert.reason for expert in experts if expert.reason.startswith(SPOOF))
    if spoofs:
        decision, reasons = LivenessDecision.ATTACK, spoofs
    else:
        lacks = [failure, *_incomplete(challenge), *_missing(experts, challenge.kinds), *_not_passed(experts)]
        if challenge.omitted:
            lacks += why_turns(experts, policy)
        if score is not None and not score >= policy.min_score:
            lacks.append("LIVENESS_SCORE_LOW")
        reasons = _unique(lacks)
        if score is None and not reasons:
            reasons = ("LIVENESS_NO_SCORE",)
        decision = LivenessDecision.INSUFFICIENT if reasons else LivenessDecision.LIVE
    return LivenessResult(decision, experts, challenge, reasons, score, policy.min_score)


def why_turns(experts: Sequence[ExpertScore], policy: LivenessPolicy) -> tuple[str, ...]:
    """Why the head must be turned after light, as stable codes; empty where the verdict stands without.

    It stands where nothing accuses, every required expert passed, and those that are measured leave no doubt:
    the passive signals by themselves reach the calibrated operating point, and light was not answered in the
    shape of a sheet or of glass.
    """
    if policy.turns_when is not TurnsWhen.NEEDED:
        return (TURNS_NEEDED,)
    lit = (ChallengeKind.LIGHT,)
    lacks = [expert.reason for expert in experts if expert.reason.startswith(SPOOF)]
    lacks += [*_missing(experts, lit), *_not_passed(experts)]
    scores = {expert.name: expert.score for expert in experts}
    limits = {PASSIVE: policy.early_passive, LIGHT_SHAPE: policy.early_light_shape}
    for name, limit in limits.items():
        score = scores.get(name)
        if score is None or not score >= limit:
            lacks.append(TURNS_NEEDED)
    score = fuse(experts, lit)  # None also where something that is required lacks already
    if not lacks and (score is None or not score >= policy.min_score):
        lacks.append(TURNS_NEEDED)
    return _unique(lacks)


def fuse(experts: Sequence[ExpertScore], kinds: Iterable[ChallengeKind]) -> float | None:
    """The score, 0..1; None where an expert that is required has none."""
    scores = {expert.name: expert.score for expert in experts}
    needed = [scores.get(name) for name in _required(kinds)]
    passive = scores.get(PASSIVE)
    if passive is None or any(score is None or not math.isfinite(score) for score in needed):
        return None
    share = min(max(passive, 1e-6), 1 - 1e-6)
    odds = min(max(math.log(share / (1 - share)), -MAX_LOGIT), MAX_LOGIT)
    for name, curve in EVIDENCE.items():
        value = scores.get(name)
        if value is not None and name in _required(kinds):
            odds += curve.evidence(value)
    return 1.0 / (1.0 + math.exp(-odds))


def with_identity_continuity(
    result: LivenessResult, similarities: Sequence[float], threshold: float, *, model_sha256: str = ""
) -> LivenessResult:
    """Add what comparing the session's frames with the matched face gave.

    ``similarities``: cosines of the key frames to the frame that is matched; ``threshold``: under it
    two pictures do not show one person. One face held up for the match and another turned for the
    challenge is an attack; no comparison at all is not a pass.
    """
    score = min(similarities) if similarities and all(map(math.isfinite, similarities)) else None
    reason = "LIVENESS_NO_KEYFRAMES" if score is None else ""
    if score is not None and score < threshold:
        reason = "SPOOF_FACE_SWITCHED"
    expert = ExpertScore(IDENTITY_CONTINUITY, score, threshold, reason, model_sha256)
    experts = (*result.experts, expert)
    if reason.startswith(SPOOF):
        reasons = _unique([*(r for r in result.reasons if r.startswith(SPOOF)), reason])
        return dataclasses.replace(result, decision=LivenessDecision.ATTACK, experts=experts, reasons=reasons)
    if reason and result.decision is LivenessDecision.LIVE:
        return dataclasses.replace(
            result, decision=LivenessDecision.INSUFFICIENT, experts=experts, reasons=(reason,)
        )
    return dataclasses.replace(result, experts=experts)


def _required(kinds: Iterable[ChallengeKind]) -> tuple[str, ...]:
    return (*(name for kind in kinds for name in OF_KIND[kind]), *ALWAYS)


def _incomplete(challenge: ChallengeRecord) -> list[str]:
    done = len(challenge.actions) > 0 and challenge.completed == len(challenge.actions)
    return [] if done else ["LIVENESS_CHALLENGE_INCOMPLETE"]


def _missing(experts: Sequence[ExpertScore], kinds: Sequence[ChallengeKind]) -> list[str]:
    names = {expert.name for expert in experts}
    none = [] if kinds else ["LIVENESS_NO_CHALLENGE"]
    return none + [f"LIVENESS_NO_{name.upper()}" for name in _required(kinds) if name not in names]


def _not_passed(experts: Sequence[ExpertScore]) -> list[str]:
    return [
        expert.reason or f"LIVENESS_{expert.name.upper()}_NOT_SHOWN"
        for expert in experts
        if not expert.advisory
        and not (expert.passed and expert.score is not None and math.isfinite(expert.score))
    ]


def _unique(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for reason in reasons if reason))
