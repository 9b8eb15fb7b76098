"""The decision fails closed, and a spoof outranks a match."""

import dataclasses
from typing import Any

import pytest

from edge.answers import (
    GalleryCandidate,
    GalleryDecision,
    GalleryResult,
    PrivateField,
    SessionAnswers,
    SignedIn,
    Step,
    TextShown,
)
from edge.decision import decide
from edge.model import Decision, LivenessDecision, Outcome, QualityComponent, ReadMethod, Validity
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
        ({"validity": None}, Outcome.INCONCLUSIVE, "NO_DOCUMENT_VALIDITY"),
        ({"validity": Validity.EXPIRED}, Outcome.INCONCLUSIVE, "DOCUMENT_EXPIRED"),
        ({"validity": Validity.NOT_YET}, Outcome.INCONCLUSIVE, "DOCUMENT_NOT_YET_VALID"),
        ({"capture": None}, Outcome.INCONCLUSIVE, "NO_CAPTURE"),
        ({"liveness": None}, Outcome.INCONCLUSIVE, "NO_CAPTURE"),
        ({"liveness": UNSURE}, Outcome.INCONCLUSIVE, "LIVENESS_NO_FACE"),
        ({"liveness": ATTACK}, Outcome.SPOOF, "SPOOF_PLANAR_MOTION"),
        ({"match": None}, Outcome.INCONCLUSIVE, "NO_MATCH_SCORE"),
        ({"match": dataclasses.replace(MATCH, score=0.4659)}, Outcome.NOT_MATCHED, "SCORE_BELOW_THRESHOLD"),
        ({"capture": dataclasses.replace(CAPTURE, best_shot=None)}, Outcome.INCONCLUSIVE, "NO_MATCH_SCORE"),
        ({"capture": dataclasses.replace(CAPTURE, quality=BLURRED)}, Outcome.INCONCLUSIVE, "BLURRED"),
        ({"document": dataclasses.replace(DOCUMENT, photo=None)}, Outcome.INCONCLUSIVE, "NO_DOCUMENT_PHOTO"),
        *(
            (
                {"document": dataclasses.replace(DOCUMENT, read_method=method)},
                Outcome.INCONCLUSIVE,
                "DOCUMENT_NOT_FROM_CHIP",
            )
            for method in (ReadMethod.TYPED, ReadMethod.SCANNED)
        ),
    ],
)
def test_anything_missing_is_never_a_pass(change: dict[str, object], outcome: Outcome, reason: str) -> None:
    decision = decide(dataclasses.replace(GOOD, **change))
    assert decision.outcome is outcome
    assert decision.reasons[0] == reason


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Decision(Outcome.VERIFIED, ("DOCUMENT_VALIDITY_UNCERTAIN",))),
        (
            {"liveness": ATTACK},
            Decision(Outcome.SPOOF, ("SPOOF_PLANAR_MOTION", "DOCUMENT_VALIDITY_UNCERTAIN")),
        ),
        ({"aborted": "NO_CARD", "document": None}, Decision(Outcome.ABORTED, ("NO_CARD",))),
    ],
)
def test_an_outcome_says_where_the_documents_validity_is_uncertain(
    change: dict[str, object], expected: Decision
) -> None:
    assert decide(dataclasses.replace(GOOD, validity=Validity.UNCERTAIN, **change)) == expected


def test_a_spoof_of_the_right_person_is_a_spoof() -> None:
    right_face = dataclasses.replace(GOOD, liveness=ATTACK, match=dataclasses.replace(MATCH, score=0.99))
    assert decide(right_face).outcome is Outcome.SPOOF


def test_not_a_number_is_no_match() -> None:
    nan = dataclasses.replace(GOOD, match=dataclasses.replace(MATCH, score=float("nan")))
    assert decide(nan).outcome is Outcome.NOT_MATCHED


ANSWERED = SessionAnswers(
    bytes(16),
    operator=SignedIn("op-1", "clerk"),
    consent=TextShown("consent-1", bytes(32), accepted=True),
    earlier_records=0,
    customer=(PrivateField("phone", b"13800000000"),),
    notices=(TextShown("notice-1", bytes(32), accepted=True),),
    signature=b"strokes",
)
NOBODY = GalleryResult(1, 0, (), GalleryDecision.UNKNOWN)
ALL_ANSWERED = dataclasses.replace(GOOD, session=ANSWERED, gallery=NOBODY)


def test_with_every_step_planned_every_answer_counts() -> None:
    assert decide(ALL_ANSWERED, frozenset(Step)) == Decision(Outcome.VERIFIED, ())
    everything = tuple(f"NO_ANSWER_{step}" for step in Step)
    assert decide(GOOD, frozenset(Step)) == Decision(Outcome.INCONCLUSIVE, everything)


@pytest.mark.parametrize(
    ("step", "answers"),
    [
        (Step.OPERATOR, {"operator": None}),
        (Step.CONSENT, {"consent": None}),
        (Step.CONSENT, {"consent": TextShown("consent-1", bytes(32), accepted=False)}),
        (Step.EARLIER_RECORDS, {"earlier_records": None}),
        (Step.CUSTOMER_DATA, {"customer": ()}),
        (Step.NOTICE, {"notices": ()}),
        (Step.NOTICE, {"notices": (*ANSWERED.notices, TextShown("n", bytes(32), accepted=False))}),
        (Step.SIGNATURE, {"signature": b""}),
    ],
)
def test_a_planned_step_without_a_yes_is_never_a_pass(step: Step, answers: dict[str, Any]) -> None:
    evidence = dataclasses.replace(ALL_ANSWERED, session=dataclasses.replace(ANSWERED, **answers))
    assert decide(evidence, frozenset(Step)) == Decision(Outcome.INCONCLUSIVE, (f"NO_ANSWER_{step}",))
    assert decide(evidence, frozenset(Step) - {step}).outcome is Outcome.VERIFIED


def test_a_gallery_that_was_not_searched_is_never_a_pass() -> None:
    evidence = dataclasses.replace(ALL_ANSWERED, gallery=None)
    assert decide(evidence, frozenset({Step.GALLERY})).reasons == ("NO_ANSWER_GALLERY",)


WATCHED = GalleryResult(
    1, 5, (GalleryCandidate("p-1", 0.8, watched=True),), GalleryDecision.FOUND, second_check=True
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Decision(Outcome.INCONCLUSIVE, ("GALLERY_REFERRED",))),
        (
            {"document": dataclasses.replace(DOCUMENT, read_method=ReadMethod.TYPED)},
            Decision(Outcome.INCONCLUSIVE, ("DOCUMENT_NOT_FROM_CHIP", "GALLERY_REFERRED")),
        ),
        (
            {"document": dataclasses.replace(DOCUMENT, photo=None), "match": None},
            Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT_PHOTO", "GALLERY_REFERRED")),
        ),
        (
            {"match": dataclasses.replace(MATCH, score=0.1)},
            Decision(Outcome.NOT_MATCHED, ("SCORE_BELOW_THRESHOLD", "GALLERY_REFERRED")),
        ),
        ({"liveness": ATTACK}, Decision(Outcome.SPOOF, ("SPOOF_PLANAR_MOTION",))),
    ],
)
def test_whoever_decides_by_hand_knows_of_the_watch_list(
    change: dict[str, object], expected: Decision
) -> None:
    assert decide(dataclasses.replace(ALL_ANSWERED, gallery=WATCHED, **change), frozenset(Step)) == expected


def test_nothing_undoes_a_spoof() -> None:
    stopped = dataclasses.replace(GOOD, liveness=ATTACK, aborted="OPERATOR_STOPPED")
    assert decide(stopped) == Decision(Outcome.SPOOF, ("SPOOF_PLANAR_MOTION", "OPERATOR_STOPPED"))


def test_a_document_does_not_show_its_data() -> None:
    assert "11010519491231002X" not in repr(GOOD)
    assert "测试" not in repr(GOOD)
