"""How far rates would move with other people: the bootstrap over persons. Pure.

Comparisons are not independent, as one picture takes part in many. So persons are drawn, not comparisons: one
who is drawn w times counts w times in a genuine pair, and w * v times against another who is drawn v times
(Snijders and Borgatti 1999, the bootstrap of a graph's vertices; Bolle et al. 2004 on subsets of persons).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.evaluation.statistics import Interval, quantile_interval

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

REPETITIONS = 200
"""Enough for both ends of an interval of 95 % to rest on five values each."""

TAIL = 400_000
"""Impostor scores that take part one by one, the highest; all others only count. Rates above them (a third
of a million comparisons, a tenth of four million) cannot be resampled, and are not."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Scores and, of each, the two persons: numbers from 0 to below ``persons``.

    A genuine pair that could not be scored has ``REJECTED``. ``impostor`` may be the highest only, out of
    ``impostors``; ``pictures``: how many pictures each person has where all are compared with all, else None.
    """

    genuine: Floats
    genuine_person: Integers
    impostor: Floats
    impostor_persons: Integers  # [n, 2]
    impostors: int
    persons: int
    pictures: Integers | Floats | None = None


@dataclass(frozen=True, slots=True)
class Intervals:
    """None where resampling can say nothing."""

    eer: Interval | None
    tmr: dict[float, Interval | None]


def bootstrap(
    compared: Compared, rates: tuple[float, ...], *, seed: int, repetitions: int = REPETITIONS
) -> Intervals:
    """Draw persons again and again; the same ``seed`` gives the same intervals."""
    rng = np.random.default_rng(seed)
    falling = np.argsort(-compared.impostor, kind="stable")
    impostor, pairs = compared.impostor[falling], compared.impostor_persons[falling]
    rising = np.argsort(compared.genuine, kind="stable")
    genuine, person = compared.genuine[rising], compared.genuine_person[rising]
    errors: list[float] = []
    hits: dict[float, list[float]] = {rate: [] for rate in rates}
    for _ in range(repetitions):
        drawn = np.bincount(rng.integers(0, compared.persons, compared.persons), minlength=compared.persons)
        weights = (drawn[pairs[:, 0]] * drawn[pairs[:, 1]]).astype(np.float64)
        own = drawn[person].astype(np.float64)
        total, genuine_total = _all_pairs(compared, drawn, weights), float(own.sum())
        if total <= 0 or genuine_total <= 0:
            continue
        false = np.cumsum(weights) / total  # accepted down to and with each score
        missed = np.concatenate([[0.0], np.cumsum(own)]) / genuine_total
        at = missed[np.searchsorted(genuine, impostor, side="left")]
        crossing = int(np.searchsorted(false - at, 0.0))
        if crossing < len(impostor):
            errors.append(float(false[crossing] + at[crossing]) / 2)
        for rate in rates:
            # the highest score that is one too many is refused, and so are those equal to it
            refused = int(np.searchsorted(false, rate * (1 + 1e-12), side="right"))
            if refused < len(impostor):
                above = np.searchsorted(genuine, impostor[refused], side="right")
                hits[rate].append(float(1.0 - missed[above]))
    enough = repetitions // 2
    return Intervals(
        quantile_interval(errors) if len(errors) > enough else None,
        {rate: quantile_interval(seen) if len(seen) > enough else None for rate, seen in hits.items()},
    )


def _all_pairs(compared: Compared, drawn: Integers, weights: Floats) -> float:
    """What all impostor pairs weigh, also those that do not take part one by one."""
    if compared.pictures is not None:
        weighed = (compared.pictures * drawn).astype(np.float64)
        return float(weighed.sum() ** 2 - (weighed**2).sum()) / 2
    if len(weights) == compared.impostors:
        return float(weights.sum())
    raise ValueError("without all impostor pairs, how many pictures each person has must be known")
