"""From scores to an answer: cut-offs by rate, nobody, second checks, operators."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answers import GalleryDecision
from edge.gallery.decide import (
    MEASURED,
    SECOND_CHECK_BAND,
    CutOff,
    Verdict,
    cut_off,
    decide,
    identification_rate,
    known_points,
    match_rate,
    to_result,
)
from edge.gallery.records import Found, Kind
from edge.policy import MatchPolicy, MatchThreshold
from tests.support.galleries import person

POINTS = (MatchThreshold(0.40, 1e-3), MatchThreshold(0.45, 1e-4), MatchThreshold(0.50, 1e-5))
CUT = CutOff(0.45, 1e-4, 2e-4, 50)
BEYOND = CutOff(0.50, 1e-5, 1e-8, 10**6)


def found(*scores: float, same: bool = False) -> list[Found]:
    return [Found(person(0 if same else i), score, Kind.PERSON) for i, score in enumerate(scores)]


@pytest.mark.req("E022")
@given(fpir=st.floats(1e-6, 0.5), size=st.integers(1, 10**7))
def test_the_rate_of_one_comparison_gives_the_rate_of_the_gallery(fpir: float, size: int) -> None:
    rate = match_rate(fpir, size)
    assert 0 < rate <= fpir * (1 + 1e-12)
    assert math.isclose(identification_rate(rate, size), fpir, rel_tol=1e-9)
    assert math.isclose(rate, 1 - (1 - fpir) ** (1 / size), rel_tol=1e-6, abs_tol=1e-14)


@pytest.mark.req("E022")
@given(fpir=st.floats(1e-5, 0.9), size=st.integers(1, 10**6))
def test_the_cut_off_keeps_the_rate_or_says_that_it_cannot(fpir: float, size: int) -> None:
    cut = cut_off(POINTS, fpir=fpir, size=size)
    assert MatchThreshold(cut.threshold, cut.false_match_rate) in POINTS, "nothing is made up"
    if cut.known:
        assert cut.fpir <= fpir * (1 + 1e-9)
        laxer = [point for point in POINTS if point.threshold < cut.threshold]
        assert all(identification_rate(point.false_match_rate, size) > fpir for point in laxer)
    else:
        assert cut.threshold == 0.50
        assert cut.fpir > fpir
    if size > 1:
        assert cut.threshold >= cut_off(POINTS, fpir=fpir, size=size // 2).threshold


def test_points_that_contradict_each_other_are_refused() -> None:
    for points in (
        (),
        (MatchThreshold(0.4, 1e-4), MatchThreshold(0.5, 1e-3)),
        (MatchThreshold(0.4, 0.0),),
        (MatchThreshold(0.4, 1.0),),
    ):
        with pytest.raises(ValueError, match="rate"):
            cut_off(points, fpir=0.01, size=10)
    for fpir, size in ((0.0, 5), (1.0, 5), (0.1, 0)):
        with pytest.raises(ValueError, match="between"):
            match_rate(fpir, size)


def test_the_policy_is_never_made_laxer_by_what_was_measured() -> None:
    assert {point.threshold for point in known_points(MatchPolicy().live_live)} == {0.415, 0.466}
    stricter = known_points(MatchThreshold(0.48, 1e-4))
    assert cut_off(stricter, fpir=0.01, size=50).threshold == 0.48
    assert cut_off(stricter, fpir=0.01, size=900).threshold == 0.48
    laxer = known_points(MatchThreshold(0.38, 1e-3))
    assert cut_off(laxer, fpir=0.01, size=5).threshold == 0.38
    assert cut_off(laxer, fpir=0.01, size=50).threshold == 0.415
    assert (MatchThreshold(0.415, 1e-4), MatchThreshold(0.466, 1e-5)) == MEASURED


@pytest.mark.req("E022")
@pytest.mark.parametrize("scores", [(), (0.2, 0.1), (CUT.threshold - SECOND_CHECK_BAND - 1e-9,)])
def test_nobody_is_an_answer(scores: tuple[float, ...]) -> None:
    answer = decide(found(*scores), CUT)
    assert (answer.verdict, answer.candidates) == (Verdict.NOBODY, ())
    result = to_result(answer, version=3, size=50)
    assert (result.decision, result.candidates, result.second_check) == (GalleryDecision.UNKNOWN, (), False)
    assert decide((), None).verdict is Verdict.NOBODY


def test_one_alone_is_found() -> None:
    answer = decide(found(0.45, 0.3), CUT)
    assert answer.verdict is Verdict.FOUND
    result = to_result(answer, version=3, size=50)
    assert (result.decision, result.second_check) == (GalleryDecision.FOUND, False)
    assert [one.candidate_id for one in result.candidates] == [str(person(0))]


@pytest.mark.req("E027")
@pytest.mark.parametrize(
    "scores",
    [(0.9, 0.46), (0.9, 0.401), (0.46, 0.45), (0.449,), (0.401, 0.2)],
    ids=["both above", "the other nearly", "twins", "missed by little", "missed by the band"],
)
def test_those_who_look_alike_are_for_a_person_to_tell_apart(scores: tuple[float, ...]) -> None:
    answer = decide(found(*scores), CUT)
    assert answer.verdict is Verdict.SECOND_CHECK
    assert [one.score for one in answer.candidates] == [score for score in scores if score >= 0.4]
    assert to_result(answer, version=1, size=50).second_check


@pytest.mark.parametrize(
    ("scores", "cut"),
    [((0.9,), CUT), ((0.401,), CUT), ((0.9, 0.8), CUT), ((0.9, 0.401), CUT), ((0.9,), BEYOND)],
    ids=["certain", "nearly", "not the best", "the other nearly", "rate unknown"],
)
def test_somebody_of_the_watch_list_is_for_two_people(scores: tuple[float, ...], cut: CutOff) -> None:
    *others, last = found(*scores)
    answer = decide([*others, Found(last.candidate_id, last.score, Kind.WATCHED)], cut)
    assert answer.verdict is Verdict.WATCHED
    result = to_result(answer, version=1, size=50)
    assert (result.second_check, result.watched) == (True, True)
    assert [one.watched for one in result.candidates] == [False] * len(others) + [True]


def test_somebody_of_the_watch_list_who_is_not_alike_is_nobody() -> None:
    answer = decide([Found(person(0), 0.39, Kind.WATCHED)], CUT)
    assert (answer.verdict, to_result(answer, version=1, size=50).watched) == (Verdict.NOBODY, False)


def test_two_scores_of_one_person_are_no_look_alikes() -> None:
    assert decide(found(0.8, 0.7, same=True), CUT).verdict is Verdict.FOUND


def test_beyond_what_was_measured_nobody_is_said_to_be_found() -> None:
    assert decide(found(0.7), BEYOND).verdict is Verdict.UNKNOWN_RATE
    assert to_result(decide(found(0.7), BEYOND), version=1, size=10**6).second_check
    assert decide(found(0.47), BEYOND).verdict is Verdict.SECOND_CHECK
    assert decide(found(0.4), BEYOND).verdict is Verdict.NOBODY  # a stricter cut-off would say so too


@pytest.mark.req("E027")
@pytest.mark.parametrize("scores", [(), (0.9,), (0.9, 0.8)])
def test_an_operator_at_the_desk_is_no_applicant(scores: tuple[float, ...]) -> None:
    for cut in (CUT, BEYOND, None):
        answer = decide(found(*scores) if cut else (), cut, operator_at_desk=True)
        assert answer.verdict is Verdict.OPERATOR
        assert to_result(answer, version=1, size=5).second_check


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_decides_nothing(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        decide(found(score), CUT)
