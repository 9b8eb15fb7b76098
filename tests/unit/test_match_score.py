from __future__ import annotations

import numpy as np
import pytest

from edge.errors import SetupError
from edge.match.embedder import unit_rows
from edge.match.score import match
from edge.model import Embedding, MatchResult
from edge.policy import MatchThreshold

THRESHOLD = MatchThreshold(0.6, 1e-4)


def template(x: float, y: float, *, model: str = "ab") -> Embedding:
    vector = np.zeros(128, np.float32)
    vector[:2] = x, y
    return Embedding(vector, "m", model * 32)


def scored(one: Embedding, other: Embedding) -> MatchResult:
    return match(one, other, threshold=THRESHOLD, domain="live/live")


def test_the_result_carries_all_that_the_decision_rests_on() -> None:
    result = scored(template(1, 0), template(0.6, 0.8))
    assert result.score == pytest.approx(0.6)
    assert (result.threshold, result.false_match_rate, result.domain) == (0.6, 1e-4, "live/live")
    assert (result.model_name, result.model_sha256) == ("m", "ab" * 32)


def test_the_threshold_itself_is_a_match() -> None:
    assert scored(template(1, 0), template(1, 0)).matched
    at, below = np.float32(0.6), np.nextafter(np.float32(0.6), np.float32(0))
    exact = MatchThreshold(float(at), 1e-4)
    for cosine, expected in ((at, True), (below, False)):
        other = template(float(cosine), float(np.sqrt(1 - cosine**2)))
        assert match(template(1, 0), other, threshold=exact, domain="d").matched is expected


def test_scores_stay_between_minus_one_and_one() -> None:
    long = template(np.float32(1.0000001), 0)
    assert scored(long, long).score == 1.0
    assert scored(template(1, 0), template(-1, 0)).score == -1.0


@pytest.mark.req("E026")
def test_templates_of_different_models_are_refused_never_scored() -> None:
    with pytest.raises(SetupError) as caught:
        scored(template(1, 0), template(1, 0, model="cd"))
    assert caught.value.code == "MODEL_MISMATCH"


@pytest.mark.parametrize("bad", [(0.0, 0.0), (2.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0)])
def test_a_vector_that_is_not_of_unit_length_is_never_scored(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="unit length"):
        scored(template(1, 0), template(*bad))
    with pytest.raises(ValueError, match="unit length"):
        scored(template(*bad), template(1, 0))


def test_rows_are_brought_to_unit_length() -> None:
    np.testing.assert_allclose(unit_rows(np.array([[3, 4], [0, -2]], np.float32)), [[0.6, 0.8], [0, -1]])


@pytest.mark.parametrize("row", [[0, 0], [np.nan, 1], [np.inf, 1]])
def test_a_row_without_a_direction_is_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        unit_rows(np.array([[1, 0], row], np.float32))
