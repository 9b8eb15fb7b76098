"""What scores say about a matcher: error rates, operating points and how sure one may be of them. Pure.

A comparison is accepted at score >= threshold. With g genuine scores (two pictures of one person) and i
impostor scores (of two people), after ISO/IEC 19795-1:

    FMR(t)    impostor scores >= t, over i       false match rate
    FNMR(t)   genuine scores < t, over g         false non-match rate; TMR = 1 - FNMR
    EER       the mean of both rates where they are nearest to each other

How the pairs count that cannot be scored, because a picture shows no face that is found: in an accuracy the
answer to such a pair is "not the same person". In the rates a genuine one is a false non-match, and an
impostor one is left out: a picture that cannot be judged must not make strangers look better told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

FOLDS = 10
Z95 = 1.959963984540054
"""Of a two-sided interval of 95 %."""

SUPPORT = 30
"""False matches that a stated rate must rest on (ISO/IEC 19795-1, rule of 30: with 90 % confidence the true
rate is then within 30 % of it, where comparisons are independent)."""

REJECTED = -2.0
"""Below every cosine: the score of a pair that cannot be scored, where it has to have one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Of 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scores:
    """``genuine`` and ``impostor``: finite. ``failed_genuine``: pairs that could not be scored."""

    genuine: Floats
    impostor: Floats
    failed_genuine: int = 0

    def __post_init__(self) -> None:
        for scores in (self.genuine, self.impostor):
            if scores.ndim != 1 or not np.isfinite(scores).all():
                raise ValueError("scores are finite numbers in one row")
        if self.genuine.size + self.failed_genuine == 0 or self.impostor.size == 0:
            raise ValueError("rates take scores of both kinds")

    def fmr(self, threshold: float) -> float:
        return float(np.count_nonzero(self.impostor >= threshold)) / self.impostor.size

    def fnmr(self, threshold: float) -> float:
        missed = int(np.count_nonzero(self.genuine < threshold)) + self.failed_genuine
        return missed / (self.genuine.size + self.failed_genuine)


@dataclass(frozen=True, slots=True)
class Curve:
    """Both rates at every threshold where one of them changes, thresholds rising."""

    thresholds: Floats
    fmr: Floats
    fnmr: Floats


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """``threshold``: the lowest one whose FMR is at most ``fmr``; ``false_matches`` are accepted there.

    ``tmr``: None where the comparisons are too few to see any false match at that rate.
    ``supported``: whether so many false matches may occur that the rate is known (rule of 30).
    """

    fmr: float
    threshold: float | None
    tmr: float | None
    tmr_interval: Interval | None
    false_matches: int
    supported: bool


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Over folds: each is judged at the threshold that is best for all others. ``std``: between folds."""

    mean: float
    std: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    interval: Interval


def wilson(hits: int, count: int) -> Interval:
    """The score interval of a share (Wilson 1927), for independent trials.

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError("a share is of one trial or more")
    share, z2 = hits / count, Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return Interval(0.0 if hits == 0 else max(0.0, centre - half), 1.0 if hits == count else centre + half)


def curve(scores: Scores) -> Curve:
    """The detection error trade-off, exactly: its last point lies above every score."""
    values = np.unique(np.concatenate([scores.genuine, scores.impostor]))
    thresholds = np.append(values, np.nextafter(values[-1], np.inf))
    below_i = np.searchsorted(np.sort(scores.impostor), thresholds, side="left")
    below_g = np.searchsorted(np.sort(scores.genuine), thresholds, side="left")
    genuine = scores.genuine.size + scores.failed_genuine
    return Curve(
        thresholds, 1.0 - below_i / scores.impostor.size, (below_g + scores.failed_genuine) / genuine
    )


def equal_error_rate(both: Curve) -> tuple[float, float]:
    """The rate, and a threshold where both are nearest to it."""
    place = int(np.argmin(np.abs(both.fmr - both.fnmr)))
    return float(both.fmr[place] + both.fnmr[place]) / 2, float(both.thresholds[place])


def threshold_at(impostor: Floats, fmr: float) -> float | None:
    """The lowest threshold whose false match rate is at most ``fmr``; None where one match is already more.

    It lies just above a score that is refused, so that the rate is kept with ties too.
    """
    if not 0.0 < fmr < 1.0:
        raise ValueError("a rate lies between 0 and 1")
    allowed = math.floor(fmr * impostor.size * (1 + 1e-12))
    if allowed == 0:
        return None
    refused = float(np.partition(impostor, impostor.size - 1 - allowed)[impostor.size - 1 - allowed])
    return float(np.nextafter(refused, np.inf))


def operating_point(scores: Scores, fmr: float) -> OperatingPoint:
    """How many genuine pairs are accepted where strangers are at this rate."""
    threshold = threshold_at(scores.impostor, fmr)
    supported = scores.impostor.size * fmr >= SUPPORT
    if threshold is None:
        return OperatingPoint(fmr, None, None, None, 0, supported)
    hits = int(np.count_nonzero(scores.genuine >= threshold))
    count = scores.genuine.size + scores.failed_genuine
    false = int(np.count_nonzero(scores.impostor >= threshold))
    return OperatingPoint(fmr, threshold, hits / count, wilson(hits, count), false, supported)


def smallest_rate(comparisons: int) -> float:
    """The smallest false match rate that so many comparisons of strangers support."""
    return min(1.0, SUPPORT / comparisons)


def best_threshold(scores: Floats, same: Booleans) -> float:
    """Where most pairs are answered right: between two scores, in the middle of the first best gap.

    Above ``REJECTED`` in any case: what could not be scored is accepted nowhere.
    """
    order = np.argsort(scores, kind="stable")
    ranked, kinds = scores[order], same[order]
    # right[k]: answers that are right when the k lowest pairs are refused and all others accepted
    right = np.concatenate([[0], np.cumsum(np.where(kinds, -1, 1))]) + int(np.count_nonzero(same))
    # Equal scores share their answer.
    possible = np.concatenate([[ranked[0] > REJECTED], ranked[1:] > ranked[:-1], [True]])
    best = int(np.argmax(np.where(possible, right, -1)))
    if best == 0:
        return float(ranked[0])
    if best == len(ranked):
        return float(np.nextafter(ranked[-1], np.inf))
    middle = float(ranked[best - 1] + ranked[best]) / 2
    return middle if ranked[best - 1] < middle else float(ranked[best])


def accuracy_over_folds(scores: Floats, same: Booleans, folds: Integers) -> Accuracy:
    """Accuracy as Labeled Faces in the Wild has it; pairs without a score have ``REJECTED``.

    Raises:
        ValueError: fewer than two folds, or a score that is no number.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise ValueError("a threshold is chosen on other folds than it is judged on")
    if not np.isfinite(scores).all():
        raise ValueError("scores are finite numbers")
    shares, thresholds, right = [], [], 0
    for name in names:
        judged = folds == name
        threshold = best_threshold(scores[~judged], same[~judged])
        hits = int(np.count_nonzero((scores[judged] >= threshold) == same[judged]))
        right += hits
        shares.append(hits / int(np.count_nonzero(judged)))
        thresholds.append(threshold)
    spread = float(np.std(shares, ddof=1))
    return Accuracy(
        float(np.mean(shares)), spread, tuple(shares), tuple(thresholds), wilson(right, len(scores))
    )


def accuracy_at(scores: Floats, same: Booleans, threshold: float) -> tuple[float, Interval]:
    """The share of pairs that one threshold answers right."""
    hits = int(np.count_nonzero((scores >= threshold) == same))
    return hits / len(scores), wilson(hits, len(scores))


def deterministic_folds(same: Booleans, folds: int = FOLDS) -> Integers:
    """Deal pairs out in turn, those of each kind by themselves, so that every fold has its share of both.

    Raises:
        ValueError: fewer than two pairs of a kind.
    """
    rarer = min(int(np.count_nonzero(same)), int(np.count_nonzero(~same)))
    if rarer < 2:
        raise ValueError("folds take two pairs of each kind")
    dealt = np.zeros(len(same), np.int64)
    for kind in (True, False):
        places = np.flatnonzero(same == kind)
        dealt[places] = np.arange(len(places)) % min(folds, rarer)
    return dealt


def quantile_interval(values: Sequence[float]) -> Interval | None:
    """The middle 95 % of what resampling gave; None without values."""
    if not values:
        return None
    low, high = np.quantile(np.asarray(values, np.float64), [0.025, 0.975])
    return Interval(float(low), float(high))
