"""Error rates against closed forms, and against counting by hand on whatever scores hypothesis invents."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.evaluation.resampling import Compared, bootstrap
from edge.evaluation.statistics import (
    REJECTED,
    Scores,
    accuracy_at,
    accuracy_over_folds,
    best_threshold,
    curve,
    deterministic_folds,
    equal_error_rate,
    operating_point,
    smallest_rate,
    threshold_at,
    wilson,
)

NORMAL = NormalDist()
GAP = 4.0
SCORES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=30)


def quantiles(mean: float, count: int) -> np.ndarray:
    """A normal distribution without chance: its quantiles."""
    return np.array([NormalDist(mean, 1.0).inv_cdf((i + 0.5) / count) for i in range(count)])


@pytest.fixture(scope="module")
def normal() -> Scores:
    """Impostors around 0, genuine ones around ``GAP``, both with a spread of 1."""
    return Scores(quantiles(GAP, 5_000), quantiles(0.0, 200_000))


def test_the_equal_error_rate_of_two_normal_distributions(normal: Scores) -> None:
    rate, threshold = equal_error_rate(curve(normal))
    assert rate == pytest.approx(NORMAL.cdf(-GAP / 2), rel=0.01)
    assert threshold == pytest.approx(GAP / 2, abs=0.02)


@pytest.mark.parametrize("fmr", [1e-1, 1e-2, 1e-3, 1e-4])
def test_operating_points_of_two_normal_distributions(normal: Scores, fmr: float) -> None:
    point = operating_point(normal, fmr)
    expected = NORMAL.inv_cdf(1.0 - fmr)
    assert point.threshold == pytest.approx(expected, abs=0.03)
    assert point.tmr == pytest.approx(NORMAL.cdf(GAP - expected), abs=0.005)
    assert point.false_matches == pytest.approx(fmr * 200_000, abs=1)
    assert point.supported == (fmr >= 1.5e-4)
    assert point.tmr_interval is not None
    assert point.tmr_interval.low < point.tmr < point.tmr_interval.high


def test_a_rate_without_a_single_false_match_is_not_made_up() -> None:
    point = operating_point(Scores(np.array([0.9]), np.linspace(-1, 0.3, 999)), 1e-3)
    assert (point.threshold, point.tmr, point.supported) == (None, None, False)
    assert smallest_rate(30_000_000) == pytest.approx(1e-6)


@given(SCORES, SCORES, st.integers(0, 3))
@settings(max_examples=60)
def test_the_curve_is_what_counting_gives(genuine: list[float], impostor: list[float], failed: int) -> None:
    scores = Scores(np.array(genuine), np.array(impostor), failed)
    both = curve(scores)
    for threshold, fmr, fnmr in zip(both.thresholds, both.fmr, both.fnmr, strict=True):
        assert fmr == pytest.approx(sum(s >= threshold for s in impostor) / len(impostor))
        missed = sum(s < threshold for s in genuine) + failed
        assert fnmr == pytest.approx(missed / (len(genuine) + failed))
        assert scores.fmr(threshold) == pytest.approx(fmr)
        assert scores.fnmr(threshold) == pytest.approx(fnmr)
    assert both.fmr[-1] == 0.0
    rate, _ = equal_error_rate(curve(scores))
    assert 0.0 <= rate <= 1.0


@given(SCORES, st.floats(0.01, 0.99))
@settings(max_examples=60)
def test_the_threshold_is_the_lowest_that_keeps_the_rate(impostor: list[float], fmr: float) -> None:
    values = np.array(impostor)
    threshold = threshold_at(values, fmr)
    if threshold is None:
        assert fmr * len(values) < 1
        return
    assert (values >= threshold).mean() <= fmr + 1e-9
    below = values[values < threshold]
    assert below.size == 0 or (values >= below.max()).mean() > fmr


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8]), st.booleans()), min_size=1, max_size=25)
)
@settings(max_examples=80)
def test_no_threshold_answers_more_pairs_right(pairs: list[tuple[float, bool]]) -> None:
    scores, same = np.array([s for s, _ in pairs]), np.array([b for _, b in pairs])
    chosen = best_threshold(scores, same)
    best = max(int(((scores >= t) == same).sum()) for t in (*scores, scores.max() + 1.0))
    assert int(((scores >= chosen) == same).sum()) == best


def test_accuracy_of_two_normal_distributions() -> None:
    genuine, impostor = quantiles(GAP, 3_000), quantiles(0.0, 3_000)
    scores, same = np.concatenate([genuine, impostor]), np.arange(6_000) < 3_000
    accuracy = accuracy_over_folds(scores, same, deterministic_folds(same))
    expected = NORMAL.cdf(GAP / 2)
    assert len(accuracy.folds) == 10
    assert accuracy.mean == pytest.approx(expected, abs=0.002)
    assert accuracy.interval.low < accuracy.mean < accuracy.interval.high
    assert accuracy_at(scores, same, GAP / 2)[0] == pytest.approx(expected, abs=0.002)


def test_a_fold_is_judged_by_the_others_alone() -> None:
    """In the last fold everything lies the other way round, which its own threshold could use."""
    scores = np.array([0.9, 0.1] * 9 + [0.1, 0.9])
    same = np.array([True, False] * 10)
    accuracy = accuracy_over_folds(scores, same, np.arange(20) // 2)
    assert accuracy.folds[-1] == 0.0
    assert accuracy.folds[:-1] == (1.0,) * 9
    assert accuracy.std == pytest.approx(math.sqrt((9 * 0.01 + 0.81) / 9))


def test_a_pair_without_a_score_is_answered_not_the_same() -> None:
    scores, same = np.array([REJECTED, 0.9, 0.9, REJECTED, 0.1, 0.1]), np.array([True] * 3 + [False] * 3)
    assert accuracy_at(scores, same, -1.0)[0] == pytest.approx(3 / 6)
    assert accuracy_at(scores, same, 0.5)[0] == pytest.approx(5 / 6)
    assert Scores(np.array([0.9, 0.9]), np.array([0.1]), failed_genuine=2).fnmr(-1.0) == 0.5


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (2980, 3000, 0.98973, 0.99568)],
)
def test_wilson_intervals_of_the_literature(hits: int, count: int, low: float, high: float) -> None:
    interval = wilson(hits, count)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


@given(st.lists(st.booleans(), min_size=4, max_size=80))
@settings(max_examples=40)
def test_folds_share_both_kinds_evenly(kinds: list[bool]) -> None:
    same = np.array(kinds)
    if min(same.sum(), (~same).sum()) < 2:
        with pytest.raises(ValueError, match="two pairs of each kind"):
            deterministic_folds(same)
        return
    folds = deterministic_folds(same)
    np.testing.assert_array_equal(folds, deterministic_folds(same))
    for kind in (True, False):
        counts = np.bincount(folds[same == kind], minlength=folds.max() + 1)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_counted(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Scores(np.array([0.5, bad]), np.array([0.1]))
    with pytest.raises(ValueError, match="finite"):
        Scores(np.array([0.5]), np.array([bad]))
    with pytest.raises(ValueError, match="finite"):
        accuracy_over_folds(np.array([0.5, bad]), np.array([True, False]), np.array([0, 1]))
    with pytest.raises(ValueError, match="both kinds"):
        Scores(np.zeros(0), np.array([0.1]))


def people(persons: int, spread: float, seed: int = 1) -> Compared:
    """Each person has two pictures, and a share of luck of their own in all comparisons."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, spread, persons)
    who = np.arange(persons)
    first, second = np.triu_indices(persons, 1)
    return Compared(
        rng.normal(GAP, 1, persons) + luck,
        who,
        rng.normal(0, 1, len(first)) + luck[first] + luck[second],
        np.stack([first, second], axis=1),
        len(first),
        persons,
    )


def test_the_bootstrap_covers_the_rate_and_grows_with_what_people_share() -> None:
    independent, shared = people(150, 0.0), people(150, 0.7)
    for compared in (independent, shared):
        intervals = bootstrap(compared, (1e-2,), seed=3, repetitions=80)
        rate, _ = equal_error_rate(curve(Scores(compared.genuine, compared.impostor)))
        assert intervals.eer is not None
        assert intervals.eer.low <= rate <= intervals.eer.high
        assert intervals == bootstrap(compared, (1e-2,), seed=3, repetitions=80)
    widths = [
        one.high - one.low
        for one in (bootstrap(c, (1e-2,), seed=3, repetitions=80).tmr[1e-2] for c in (independent, shared))
        if one is not None
    ]
    assert len(widths) == 2
    assert widths[1] > widths[0]


def test_the_highest_scores_are_enough_where_everybody_is_compared() -> None:
    whole = people(120, 0.2)
    order = np.argsort(-whole.impostor)[:1_500]
    tail = Compared(
        whole.genuine,
        whole.genuine_person,
        whole.impostor[order],
        whole.impostor_persons[order],
        whole.impostors,
        whole.persons,
        pictures=np.ones(whole.persons, np.int64),
    )
    one, other = (bootstrap(c, (1e-2,), seed=5, repetitions=40) for c in (whole, tail))
    assert one.tmr[1e-2] is not None
    assert other.tmr[1e-2] is not None
    assert one.tmr[1e-2].low == pytest.approx(other.tmr[1e-2].low)
    assert one.eer is not None
    assert other.eer is not None
    assert one.eer.high == pytest.approx(other.eer.high)
