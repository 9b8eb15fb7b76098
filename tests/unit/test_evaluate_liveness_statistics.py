"""Error rates of presentation attack detection: small examples worked by hand, and what must always hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.evaluation.pad_figures import Figures, Judged, judge_figures
from edge.evaluation.pad_manifest import Presentation
from edge.evaluation.pad_statistics import (
    UNDECIDED,
    Floats,
    Group,
    accepted,
    area_under_curve,
    bootstrap,
    equal_error,
    refused,
    threshold_at_bpcer,
    trade,
)
from edge.evaluation.statistics import wilson

scores = st.one_of(st.just(UNDECIDED), st.integers(0, 20).map(lambda part: part / 20))
many = st.lists(scores, min_size=1, max_size=40).map(lambda values: np.array(values, np.float64))
KINDS = ["", "print", "replay"]
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
SCORED = np.array([0.1, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 1.0])


def array(*values: float) -> Floats:
    return np.array(values, np.float64)


def shown(
    kind: str, *given_scores: float | None, subject: str = "", cues: dict[str, float | None] | None = None
) -> list[Judged]:
    """Presentations of one instrument, or of living people where ``kind`` is empty."""
    made = []
    for number, score in enumerate(given_scores, start=2):
        one = Presentation(number, f"{kind or 'live'}/{number}.png", Path(), not kind, kind, subject)
        made.append(Judged(one, score, "" if score is not None else "NO_FACE", cues or {}))
    return made


class TestThreshold:
    """The highest one at which at most a given share of the living is refused."""

    @pytest.mark.parametrize(
        ("rate", "threshold", "hits"),
        [(0.0, 0.1, 0), (0.05, 0.1, 0), (0.1, 0.4, 1), (0.2, 0.5, 2), (0.3, 0.5, 2), (0.4, 0.6, 4)],
    )
    def test_by_hand(self, rate: float, threshold: float, hits: int) -> None:
        assert threshold_at_bpcer(SCORED, rate) == threshold
        assert refused(SCORED, threshold).hits == hits

    def test_undecided_ones_are_refused_first(self) -> None:
        live = array(UNDECIDED, *SCORED[1:])
        assert threshold_at_bpcer(live, 0.05) is None
        assert threshold_at_bpcer(live, 0.1) == 0.4
        assert refused(live, 0.4).hits == 1

    def test_a_rate_that_is_exact_in_decimals_is_not_lost_in_binary_ones(self) -> None:
        live = np.arange(100) / 100
        assert threshold_at_bpcer(live, 0.29) == 0.29
        assert threshold_at_bpcer(live, 0.07) == 0.07

    def test_nobody_gives_none_and_no_rate_is_refused(self) -> None:
        assert threshold_at_bpcer(array(), 0.05) is None
        with pytest.raises(ValueError, match="rate"):
            threshold_at_bpcer(SCORED, 1.0)

    @unhurried
    @given(many, st.floats(0.0, 0.99))
    def test_it_keeps_the_rate_and_no_higher_one_does(self, live: Floats, rate: float) -> None:
        threshold = threshold_at_bpcer(live, rate)
        allowed = rate * live.size * (1 + 1e-12)
        if threshold is None:
            assert np.count_nonzero(live == UNDECIDED) > allowed
            return
        assert refused(live, threshold).hits <= allowed
        assert refused(live, math.nextafter(threshold, math.inf)).hits > allowed

    @unhurried
    @given(many, st.floats(0.0, 0.99), st.floats(0.0, 0.99))
    def test_who_refuses_more_may_ask_for_more(self, live: Floats, one: float, other: float) -> None:
        low, high = (threshold_at_bpcer(live, rate) for rate in sorted((one, other)))
        assert low is None or (high is not None and low <= high)


class TestTrade:
    def test_by_hand(self) -> None:
        both = trade(array(0.3, 0.7, UNDECIDED, 0.9), array(0.1, 0.3, UNDECIDED, 0.8))
        assert both is not None
        assert both.thresholds[:-1].tolist() == [0.1, 0.3, 0.7, 0.8, 0.9]
        assert both.apcer.tolist() == [0.75, 0.5, 0.25, 0.25, 0.0, 0.0]
        assert both.bpcer.tolist() == [0.25, 0.25, 0.5, 0.75, 0.75, 1.0]

    def test_the_equal_error_rate_by_hand(self) -> None:
        assert equal_error(array(0.4, 0.6, 0.8, 0.9), array(0.1, 0.2, 0.5, 0.3)) == (0.25, 0.5)
        assert equal_error(array(0.6, 0.7), array(0.1, 0.2)) == (0.0, 0.6)
        assert equal_error(array(0.1, 0.2), array(0.6, 0.7)) == (1.0, 0.6)
        assert equal_error(array(0.5, 0.5), array(0.5, 0.5)) == (0.5, 0.5)

    @pytest.mark.parametrize(
        ("live", "attacks"),
        [(array(), array(0.5)), (array(0.5), array()), (array(UNDECIDED), array(UNDECIDED))],
    )
    def test_without_a_kind_or_any_score_there_is_none(self, live: Floats, attacks: Floats) -> None:
        assert trade(live, attacks) is None
        assert equal_error(live, attacks) is None

    @unhurried
    @given(many, many)
    def test_who_is_stricter_accepts_fewer_of_both(self, live: Floats, attacks: Floats) -> None:
        both = trade(live, attacks)
        if both is None:
            return
        assert (np.diff(both.apcer) <= 0).all()
        assert (np.diff(both.bpcer) >= 0).all()
        assert both.apcer[-1] == 0.0
        assert both.bpcer[-1] == 1.0
        for place, threshold in enumerate(both.thresholds):
            assert both.apcer[place] == pytest.approx(accepted(attacks, threshold).value)
            assert both.bpcer[place] == pytest.approx(refused(live, threshold).value)

    @unhurried
    @given(many, many)
    def test_one_more_refused_attack_raises_no_error(self, live: Floats, attacks: Floats) -> None:
        threshold = threshold_at_bpcer(live, 0.05)
        if threshold is None:
            return
        before = accepted(attacks, threshold).value
        after = accepted(np.append(attacks, UNDECIDED), threshold).value
        assert before is not None
        assert after is not None
        assert after <= before


def test_the_area_under_the_curve_by_hand() -> None:
    assert area_under_curve(array(0.5, 0.9), array(0.1, 0.5)) == (1 + 0.5 + 1 + 1) / 4
    assert area_under_curve(array(0.9), array(0.1)) == 1.0
    assert area_under_curve(array(0.5), array(0.5)) == 0.5
    assert area_under_curve(array(), array(0.5)) is None


class TestBootstrap:
    def test_the_same_seed_gives_the_same_and_holds_the_measured_rate(self) -> None:
        rng = np.random.default_rng(5)
        live = Group(rng.beta(5, 2, 200), np.arange(200))
        attacks = {"print": Group(rng.beta(2, 5, 300), np.arange(300))}
        one, other = (bootstrap(live, attacks, (0.05,), seed=3) for _ in range(2))
        assert one == other
        threshold = threshold_at_bpcer(live.scores, 0.05)
        found = equal_error(live.scores, attacks["print"].scores)
        assert threshold is not None
        assert found is not None
        measured = accepted(attacks["print"].scores, threshold).value
        interval = one.by_instrument[0.05]["print"]
        assert interval is not None
        assert one.eer is not None
        assert measured is not None
        assert interval.low <= measured <= interval.high
        assert one.eer.low <= found[0] <= one.eer.high

    def test_pictures_of_few_people_are_less_sure_than_of_many(self) -> None:
        rng = np.random.default_rng(6)
        attack_scores = np.repeat(rng.uniform(0, 1, 10), 30)
        live = Group(np.linspace(0.4, 1.0, 100), np.arange(100))
        widths = []
        for clusters in (np.repeat(np.arange(10), 30), np.arange(300)):
            found = bootstrap(live, {"print": Group(attack_scores, clusters)}, (0.05,), seed=1)
            interval = found.pooled[0.05]
            assert interval is not None
            widths.append(interval.high - interval.low)
        assert widths[0] > 2 * widths[1]

    def test_without_a_kind_there_is_nothing_to_say(self) -> None:
        empty = bootstrap(Group(array(), np.zeros(0, np.int64)), {}, (0.05,), seed=1)
        assert (empty.eer, empty.pooled) == (None, {0.05: None})


def example() -> Figures:
    """20 living people, one undecided and one low; two instruments, one of them half as often shown."""
    live = shown("", None, 0.3, *[0.6 + number / 100 for number in range(18)])
    prints = shown("print", *[0.1] * 8, 0.65, None)
    replays = shown("replay", *[0.2] * 2, 0.9, 0.4, None)
    return judge_figures([*live, *prints, *replays], 0.5)


class TestFigures:
    """All attacks as one, each instrument by itself, and the worst one first."""

    def test_at_the_policys_threshold(self) -> None:
        figures = example()
        assert (figures.bpcer.hits, figures.bpcer.count) == (2, 20)
        assert (figures.apcer.hits, figures.apcer.count) == (2, 15)
        assert [one.instrument for one in figures.instruments] == ["replay", "print"]
        worst = figures.worst
        assert worst is not None
        assert worst.at_policy.value == 1 / 5
        assert worst.at_policy.interval == wilson(1, 5)
        assert worst.of_decided.value == 1 / 4
        assert figures.average(worst.at_policy) == pytest.approx((0.2 + 0.1) / 2)
        assert figures.average(figures.apcer) == pytest.approx((2 / 15 + 0.1) / 2)

    def test_at_a_bpcer(self) -> None:
        one, five = example().points
        assert (one.threshold, one.apcer, one.worst_apcer, one.supported) == (None, None, None, False)
        assert (five.threshold, five.supported) == (0.3, True)
        assert five.bpcer is not None
        assert five.apcer is not None
        assert five.worst_apcer is not None
        assert five.bpcer.hits == 1
        assert (five.apcer.hits, five.worst, five.worst_apcer.hits) == (3, "replay", 2)
        assert five.apcer.interval is not None
        assert five.apcer.interval.low <= wilson(3, 15).low
        assert five.apcer.interval.high >= wilson(3, 15).high

    def test_undecided_ones_are_counted_of_both_kinds(self) -> None:
        figures = example()
        assert figures.undecided == {"NO_FACE": 3}
        assert figures.undecided_of(bona_fide=True) == 1
        assert figures.undecided_of(bona_fide=False) == 2
        assert {one.instrument: one.undecided for one in figures.instruments} == {"print": 1, "replay": 1}

    def test_the_worst_misses_come_first(self) -> None:
        figures = example()
        assert [one.score for one in figures.misses(bona_fide=False)] == [0.9, 0.65]
        assert [one.score for one in figures.misses(bona_fide=True)] == [None, 0.3]

    def test_of_equal_rates_the_one_that_was_shown_less_is_worse(self) -> None:
        judged = [*shown("", 0.9), *shown("seldom", *[0.1] * 3), *shown("often", *[0.1] * 30)]
        assert [one.instrument for one in judge_figures(judged, 0.5).instruments] == ["seldom", "often"]

    @pytest.mark.parametrize(
        ("judged", "missing"),
        [(shown("", 0.9, 0.8), "attacks"), (shown("print", 0.1, 0.2), "bona fide"), ([], "all")],
    )
    def test_what_cannot_be_had_is_none(self, judged: list[Judged], missing: str) -> None:
        figures = judge_figures(judged, 0.5)
        assert figures.eer is None
        assert figures.trade is None
        assert all(point.apcer is None for point in figures.points)
        assert (figures.bpcer.value is None) is (missing != "attacks")
        assert (figures.apcer.value is None) is (missing != "bona fide")
        assert figures.average(figures.apcer) is None

    def test_each_cue_by_itself(self) -> None:
        judged = [
            *shown("", 0.9, 0.9, cues={"texture": 0.9, "motion": 0.5}),
            *shown("print", 0.1, cues={"texture": 0.2, "motion": 0.5}),
            *shown("replay", 0.1, cues={"texture": 0.95, "motion": None}),
        ]
        motion, texture = sorted(judge_figures(judged, 0.5).cues, key=lambda one: one.name)
        assert (texture.bona_fide, texture.attacks, texture.auc) == (2, 2, 0.5)
        assert texture.auc_by_instrument == {"print": 1.0, "replay": 0.0}
        assert texture.apcer is not None
        assert texture.apcer.value == 0.5
        assert (motion.attacks, motion.auc, motion.auc_by_instrument["replay"]) == (1, 0.5, None)

    @unhurried
    @given(
        st.lists(
            st.tuples(st.sampled_from(["", "print", "replay"]), st.none() | st.floats(0, 1)), max_size=30
        )
    )
    def test_every_rate_is_a_share_within_its_interval(self, told: list[tuple[str, float | None]]) -> None:
        figures = judge_figures([one for kind, score in told for one in shown(kind, score)], 0.5)
        rates = [figures.bpcer, figures.apcer, *(one.at_policy for one in figures.instruments)]
        rates += [rate for point in figures.points for rate in (point.apcer, point.worst_apcer) if rate]
        for rate in rates:
            if rate.value is not None:
                assert rate.interval is not None
                assert 0.0 <= rate.interval.low <= rate.value <= rate.interval.high <= 1.0
        worst = figures.worst
        if worst is not None:
            assert worst.at_policy.value == max(one.at_policy.value or 0 for one in figures.instruments)
            assert (figures.apcer.value or 0) <= (worst.at_policy.value or 0)
