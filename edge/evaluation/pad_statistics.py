"""Error rates of presentation attack detection after ISO/IEC 30107-3. Pure.

A presentation is accepted at score >= threshold. One that could not be judged has ``UNDECIDED`` in the place
of a score, below every threshold: never accepted, whether bona fide or an attack.

    BPCER(t)   bona fide presentations that are not accepted, over all bona fide ones
    APCER(t)   attack presentations that are accepted, over all of one instrument
    EER        the mean of both rates where they are nearest to each other, attacks of all instruments as one
    APCER at BPCER x   at the highest threshold that refuses at most x of the bona fide, undecided ones among
               them; None where these alone are more
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.evaluation.resampling import REPETITIONS
from edge.evaluation.statistics import Interval, quantile_interval, wilson

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

UNDECIDED = -math.inf


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` out of ``count``; value and interval (95 %) are None where nothing was counted."""

    hits: int
    count: int
    interval: Interval | None

    @property
    def value(self) -> float | None:
        return self.hits / self.count if self.count else None


@dataclass(frozen=True, slots=True)
class Trade:
    """Both rates at every threshold where one of them changes, thresholds rising."""

    thresholds: Floats
    apcer: Floats
    bpcer: Floats


@dataclass(frozen=True, slots=True)
class Group:
    """Scores of one kind, and of each a number from 0: presentations of one number are of one person."""

    scores: Floats
    clusters: Integers

    def drawn(self, rng: np.random.Generator) -> Floats:
        """The scores of as many persons, drawn with replacement."""
        if not self.scores.size:
            return self.scores
        persons = int(self.clusters.max()) + 1
        times = np.bincount(rng.integers(0, persons, persons), minlength=persons)
        return np.repeat(self.scores, times[self.clusters])


def rate_of(hits: int, count: int) -> Rate:
    """A share with its Wilson interval."""
    return Rate(hits, count, wilson(hits, count) if count else None)


def refused(bona_fide: Floats, threshold: float) -> Rate:
    """BPCER."""
    return rate_of(int(np.count_nonzero(bona_fide < threshold)), bona_fide.size)


def accepted(attacks: Floats, threshold: float) -> Rate:
    """APCER."""
    return rate_of(int(np.count_nonzero(attacks >= threshold)), attacks.size)


def threshold_at_bpcer(bona_fide: Floats, rate: float) -> float | None:
    """The highest threshold that refuses at most ``rate`` of the bona fide presentations.

    It is one of their scores. None without any, or where more than that were not judged.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError("a rate lies between 0 and 1")
    if not bona_fide.size:
        return None
    allowed = math.floor(rate * bona_fide.size * (1 + 1e-12))
    threshold = float(np.partition(bona_fide, allowed)[allowed])
    return threshold if threshold > UNDECIDED else None


def trade(bona_fide: Floats, attacks: Floats) -> Trade | None:
    """The detection error trade-off, exactly; its last point lies above every score.

    None where a kind is missing, or nothing was judged.
    """
    if not bona_fide.size or not attacks.size:
        return None
    values = np.unique(np.concatenate([bona_fide, attacks]))
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    thresholds = np.append(values, np.nextafter(values[-1], np.inf))
    below_attacks = np.searchsorted(np.sort(attacks), thresholds, side="left")
    below_bona_fide = np.searchsorted(np.sort(bona_fide), thresholds, side="left")
    return Trade(thresholds, 1.0 - below_attacks / attacks.size, below_bona_fide / bona_fide.size)


def equal_error(bona_fide: Floats, attacks: Floats) -> tuple[float, float] | None:
    """The rate, and the threshold at which both are nearest to it; None as :func:`trade`."""
    both = trade(bona_fide, attacks)
    if both is None:
        return None
    place = int(np.argmin(np.abs(both.apcer - both.bpcer)))
    return float(both.apcer[place] + both.bpcer[place]) / 2, float(both.thresholds[place])


def area_under_curve(bona_fide: Floats, attacks: Floats) -> float | None:
    """How often a bona fide score is above an attack's, ties counting half (Mann and Whitney 1947)."""
    if not bona_fide.size or not attacks.size:
        return None
    ranked = np.sort(attacks)
    below = np.searchsorted(ranked, bona_fide, side="left")
    not_above = np.searchsorted(ranked, bona_fide, side="right")
    return float((below + not_above).sum()) / (2.0 * bona_fide.size * attacks.size)


@dataclass(frozen=True, slots=True)
class Sureness:
    """Intervals of what has no fixed threshold, from resampling; None where it can say nothing.

    ``pooled`` and ``by_instrument``: APCER at each BPCER.
    """

    eer: Interval | None
    pooled: dict[float, Interval | None]
    by_instrument: dict[float, dict[str, Interval | None]]


def bootstrap(
    bona_fide: Group,
    attacks: dict[str, Group],
    rates: Sequence[float],
    *,
    seed: int,
    repetitions: int = REPETITIONS,
) -> Sureness:
    """Draw persons again and again, bona fide ones and those of each instrument by themselves.

    The threshold moves with every drawing, so that both its uncertainty and that of the attacks count.
    The same ``seed`` gives the same intervals.
    """
    rng = np.random.default_rng(seed)
    errors: list[float] = []
    pooled: dict[float, list[float]] = {rate: [] for rate in rates}
    single: dict[float, dict[str, list[float]]] = {rate: {name: [] for name in attacks} for rate in rates}
    if not bona_fide.scores.size or not attacks:
        repetitions = 0
    for _ in range(repetitions):
        live = bona_fide.drawn(rng)
        shown = {name: group.drawn(rng) for name, group in attacks.items()}
        every = np.concatenate(list(shown.values()))
        found = equal_error(live, every)
        if found is not None:
            errors.append(found[0])
        for rate in rates:
            threshold = threshold_at_bpcer(live, rate)
            if threshold is None:
                continue
            pooled[rate].append(float(np.mean(every >= threshold)))
            for name, scores in shown.items():
                single[rate][name].append(float(np.mean(scores >= threshold)))

    def middle(values: list[float]) -> Interval | None:
        return quantile_interval(values) if len(values) > repetitions // 2 else None

    return Sureness(
        middle(errors),
        {rate: middle(values) for rate, values in pooled.items()},
        {rate: {name: middle(values) for name, values in of.items()} for rate, of in single.items()},
    )


def hull(one: Interval | None, other: Interval | None) -> Interval | None:
    """The smallest interval that holds both; either may be missing."""
    if one is None or other is None:
        return one or other
    return Interval(min(one.low, other.low), max(one.high, other.high))
