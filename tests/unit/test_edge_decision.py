"""The decision fails closed, and a spoof outranks a match."""

import dataclasses

import pytest

from edge.decision import decide
from edge.model import LivenessDecision, Outcome, QualityComponent
from tests.support.evidence import CAPTURE, DOCUMENT, GOOD, LIVE, MATCH

ATTACK = dataclasses.replace(LIVE, decision=LivenessDecision.ATTACK, reasons=("SPOOF_PLANAR_MOTION",))
BLURRED = (QualityComponent("sharpness", 3.0, passed=False, reason="BLURRED"),)
UNSURE = dataclasses.replace(LIVE, decision=LivenessDecision.INSUFFICIENT, reasons=("LIVENESS_NO_FACE",))


def test_every_stage_said_yes() -> None:
    decision = decide(GOOD)
    assert decision.outcome is Outcome.VERIFIED
    assert decision.reasons == ()


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({"aborted": "CAMERA_LOST"}, Outcome.ABORTED, "CAMERA_LOST"),
        ({"document": None}, Outcome.INCONCLUSIVE, "NO_DOCUMENT"),
        ({"capture": None}, Outcome.INCONCLUSIVE, "NO_CAPTURE"),
        ({"liveness": None}, Outcome.INCONCLUSIVE, "NO_CAPTURE"),
        ({"liveness": UNSURE}, Outcome.INCONCLUSIVE, "LIVENESS_NO_FACE"),
        ({"liveness": ATTACK}, Outcome.SPOOF, "SPOOF_PLANAR_MOTION"),
        ({"match": None}, Outcome.INCONCLUSIVE, "NO_MATCH_SCORE"),
        ({"match": dataclasses.replace(MATCH, score=0.4659)}, Outcome.NOT_MATCHED, "SCORE_BELOW_THRESHOLD"),
        ({"capture": dataclasses.replace(CAPTURE, best_shot=None)}, Outcome.INCONCLUSIVE, "NO_MATCH_SCORE"),
        ({"capture": dataclasses.replace(CAPTURE, quality=BLURRED)}, Outcome.INCONCLUSIVE, "BLURRED"),
        ({"document": dataclasses.replace(DOCUMENT, photo=None)}, Outcome.INCONCLUSIVE, "NO_DOCUMENT_PHOTO"),
    ],
)
def test_anything_missing_is_never_a_pass(change: dict[str, object], outcome: Outcome, reason: str) -> None:
    decision = decide(dataclasses.replace(GOOD, **change))
    assert decision.outcome is outcome
    assert decision.reasons[0] == reason


def test_a_spoof_of_the_right_person_is_a_spoof() -> None:
    right_face = dataclasses.replace(GOOD, liveness=ATTACK, match=dataclasses.replace(MATCH, score=0.99))
    assert decide(right_face).outcome is Outcome.SPOOF


def test_not_a_number_is_no_match() -> None:
    nan = dataclasses.replace(GOOD, match=dataclasses.replace(MATCH, score=float("nan")))
    assert decide(nan).outcome is Outcome.NOT_MATCHED


def test_a_document_does_not_show_its_data() -> None:
    assert "11010519491231002X" not in repr(GOOD)
    assert "测试" not in repr(GOOD)
