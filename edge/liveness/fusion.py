"""Many signals, one verdict. Anything that is missing counts against the person, never for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from edge.model import ChallengeRecord, ExpertScore, LivenessDecision, LivenessResult

HEAD_TURN = "head_turn"
PLANAR_MOTION = "planar_motion"
IDENTITY_CONTINUITY = "identity_continuity"
REQUIRED = (HEAD_TURN, PLANAR_MOTION)
SPOOF = "SPOOF_"  # a reason that starts so says: this is an attack, not merely too little evidence


def judge_liveness(
    experts: Sequence[ExpertScore], challenge: ChallengeRecord, *, failure: str = ""
) -> LivenessResult:
    """Fuse the experts with the course of the challenge (``failure``: why it broke off, "" if it did not).

    1. ATTACK where an expert that could judge names an attack, whatever the others say.
    2. LIVE only where the challenge was completed and every expert, each required one among them, passed.
    3. INSUFFICIENT in all other cases.
    """
    spoofs = _unique(expert.reason for expert in experts if expert.reason.startswith(SPOOF))
    if spoofs:
        return LivenessResult(LivenessDecision.ATTACK, tuple(experts), challenge, spoofs)
    lacks = _unique([failure, *_incomplete(challenge), *_missing(experts), *_not_passed(experts)])
    decision = LivenessDecision.INSUFFICIENT if lacks else LivenessDecision.LIVE
    return LivenessResult(decision, tuple(experts), challenge, lacks)


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


def _incomplete(challenge: ChallengeRecord) -> list[str]:
    done = len(challenge.actions) > 0 and challenge.completed == len(challenge.actions)
    return [] if done else ["LIVENESS_CHALLENGE_INCOMPLETE"]


def _missing(experts: Sequence[ExpertScore]) -> list[str]:
    names = {expert.name for expert in experts}
    return [f"LIVENESS_NO_{name.upper()}" for name in REQUIRED if name not in names]


def _not_passed(experts: Sequence[ExpertScore]) -> list[str]:
    return [
        expert.reason or f"LIVENESS_{expert.name.upper()}_NOT_SHOWN"
        for expert in experts
        if not (expert.passed and expert.score is not None and math.isfinite(expert.score))
    ]


def _unique(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for reason in reasons if reason))
