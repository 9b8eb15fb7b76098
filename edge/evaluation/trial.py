"""An evaluation from templates to figures: pairs of a list, or everybody against everybody. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.errors import InputError
from edge.evaluation.pairs import PairList
from edge.evaluation.resampling import TAIL, Compared, Intervals, bootstrap
from edge.evaluation.statistics import (
    REJECTED,
    Accuracy,
    Curve,
    Floats,
    Interval,
    OperatingPoint,
    Scores,
    accuracy_at,
    accuracy_over_folds,
    curve,
    equal_error_rate,
    operating_point,
    wilson,
)
from edge.evaluation.templates import Templates
from edge.policy import MatchThreshold

RATES = (1e-3, 1e-4, 1e-5, 1e-6)
SEED = 20_260_101
ROWS_AT_ONCE = 512
MAX_PICTURES = 14_000
"""All against all: 98 million comparisons, at 60 bytes of memory each; all of Labeled Faces in the Wild."""


@dataclass(frozen=True, slots=True)
class PolicyPoint:
    """What the threshold in force gives. ``claimed_fmr``: the rate that it was chosen for."""

    threshold: float
    claimed_fmr: float
    fmr: float
    fmr_interval: Interval
    tmr: float
    accuracy: float | None
    accuracy_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Figures:
    """All that one evaluation found. ``accuracy``: None where everybody was compared with everybody.

    ``failed``: pictures without a face that is found. ``failed_pairs``: pairs that could not be scored.
    """

    all_against_all: bool
    pictures: int
    persons: int
    genuine: int
    impostor: int
    failed: tuple[str, ...]
    failed_pairs: int
    failed_genuine: int
    crowded: int
    accuracy: Accuracy | None
    official_folds: bool
    eer: float
    eer_threshold: float
    points: tuple[OperatingPoint, ...]
    policy: PolicyPoint
    intervals: Intervals
    curve: Curve


def judge_pairs(pairs: PairList, first: Templates, second: Templates, policy: MatchThreshold) -> Figures:
    """Score the pairs of a list; ``second``: templates of the second pictures (the same, or as chip photos).

    Raises:
        InputError: EVALUATION_NO_SCORES, where the pictures that could be judged leave a kind of pair out.
    """
    scored = first.found[pairs.first] & second.found[pairs.second]
    cosines = np.einsum(
        "ij,ij->i",
        first.vectors[pairs.first].astype(np.float64),
        second.vectors[pairs.second].astype(np.float64),
    )
    scores = np.where(scored, np.clip(cosines, -1.0, 1.0), REJECTED)
    genuine, impostor = pairs.same, ~pairs.same & scored
    failed_genuine = int(np.count_nonzero(genuine & ~scored))
    parts = _scores(scores[genuine & scored], scores[impostor], failed_genuine)
    accuracy = accuracy_over_folds(scores, pairs.same, pairs.folds)
    people = pairs.persons[pairs.first[impostor]], pairs.persons[pairs.second[impostor]]
    compared = Compared(
        scores[genuine],
        pairs.persons[pairs.first[genuine]],
        scores[impostor],
        np.stack(people, axis=1),
        int(np.count_nonzero(impostor)),
        int(pairs.persons.max()) + 1,
    )
    return _figures(
        parts,
        compared,
        policy,
        pairs=pairs,
        found=first.found & second.found,
        crowded=first.crowded,
        failed_pairs=int(np.count_nonzero(~scored)),
        accuracy=accuracy,
        at_policy=accuracy_at(scores, pairs.same, policy.threshold),
    )


def judge_all(pairs: PairList, first: Templates, second: Templates, policy: MatchThreshold) -> Figures:
    """Compare every picture of a list with every other one; errors as :func:`judge_pairs`, and
    EVALUATION_TOO_LARGE.

    With chip photos as ``second``, each picture is compared with the chip photo of each other one.
    """
    if len(pairs.pictures) > MAX_PICTURES:
        raise InputError(
            "EVALUATION_TOO_LARGE",
            f"All against all takes at most {MAX_PICTURES} pictures; the list names {len(pairs.pictures)}.",
            hint="Leave --all-against-all out, or shorten the list.",
        )
    found = first.found & second.found
    places = np.flatnonzero(found)
    persons, one_way = pairs.persons[places], first is second
    genuine, who, impostor, total = _compare_all(
        first.vectors[places], second.vectors[places], persons, one_way=one_way
    )
    counts = np.bincount(pairs.persons)
    seen = np.bincount(persons, minlength=len(counts))
    times = 1 if one_way else 2
    failed_genuine = int((counts * (counts - 1) // 2 - seen * (seen - 1) // 2).sum()) * times
    parts = _scores(genuine, impostor, failed_genuine)
    tail, tail_people = _tail(
        first.vectors[places], second.vectors[places], persons, impostor, one_way=one_way
    )
    failed_people = np.repeat(
        np.arange(len(counts)), (counts * (counts - 1) // 2 - seen * (seen - 1) // 2) * times
    )
    compared = Compared(
        np.concatenate([genuine, np.full(failed_genuine, REJECTED)]),
        np.concatenate([who, failed_people]),
        tail,
        tail_people,
        total,
        len(counts),
        seen if one_way else seen * np.sqrt(2.0),
    )
    every = len(counts) and int(counts.sum() * (counts.sum() - 1) // 2) * times
    return _figures(
        parts,
        compared,
        policy,
        pairs=pairs,
        found=found,
        crowded=first.crowded,
        failed_pairs=every - len(genuine) - total,
        accuracy=None,
        at_policy=None,
        all_against_all=True,
    )


def _scores(genuine: Floats, impostor: Floats, failed: int) -> Scores:
    try:
        return Scores(genuine, impostor, failed)
    except ValueError as error:
        raise InputError(
            "EVALUATION_NO_SCORES",
            "No pair of two people, or none of one, is left to be scored.",
            hint="See which pictures show no face that is found, and add others.",
        ) from error


def _compare_all(
    first: npt.NDArray[np.float32],
    second: npt.NDArray[np.float32],
    persons: npt.NDArray[np.int64],
    *,
    one_way: bool,
) -> tuple[Floats, npt.NDArray[np.int64], Floats, int]:
    """Genuine scores with their persons, impostor scores, and how many these are."""
    genuine: list[Floats] = []
    who: list[npt.NDArray[np.int64]] = []
    impostor: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(persons), ROWS_AT_ONCE):
        scores, counted, same = _block(first, second, persons, start, one_way=one_way)
        genuine.append(scores[counted & same].astype(np.float64))
        rows = np.broadcast_to(persons[start : start + ROWS_AT_ONCE, None], same.shape)
        who.append(rows[counted & same])
        impostor.append(scores[counted & ~same])
    kept = np.concatenate([part.astype(np.float64) for part in impostor]) if impostor else np.zeros(0)
    ends = (np.concatenate(genuine), np.concatenate(who)) if genuine else (np.zeros(0), np.zeros(0, np.int64))
    return (*ends, kept, kept.size)


def _block(
    first: npt.NDArray[np.float32],
    second: npt.NDArray[np.float32],
    persons: npt.NDArray[np.int64],
    start: int,
    *,
    one_way: bool,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Scores of some rows with all columns, which of them count, and which are of one person."""
    rows = np.arange(start, min(start + ROWS_AT_ONCE, len(persons)))
    scores = np.clip(first[rows] @ second.T, -1.0, 1.0)
    columns = np.arange(len(persons))
    counted = columns[None] > rows[:, None] if one_way else columns[None] != rows[:, None]
    return scores, counted, persons[rows][:, None] == persons[None]


def _tail(
    first: npt.NDArray[np.float32],
    second: npt.NDArray[np.float32],
    persons: npt.NDArray[np.int64],
    impostor: Floats,
    *,
    one_way: bool,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The highest impostor scores and both persons of each."""
    keep = min(TAIL, impostor.size)
    floor = float(np.partition(impostor, impostor.size - keep)[impostor.size - keep]) if keep else np.inf
    scores, people = [], []
    for start in range(0, len(persons), ROWS_AT_ONCE):
        block, counted, same = _block(first, second, persons, start, one_way=one_way)
        rows, columns = np.nonzero(counted & ~same & (block >= floor))
        scores.append(block[rows, columns].astype(np.float64))
        people.append(np.stack([persons[start + rows], persons[columns]], axis=1))
    return np.concatenate(scores), np.concatenate(people)


def _figures(
    scores: Scores,
    compared: Compared,
    policy: MatchThreshold,
    *,
    pairs: PairList,
    found: npt.NDArray[np.bool_],
    crowded: int,
    failed_pairs: int,
    accuracy: Accuracy | None,
    at_policy: tuple[float, Interval] | None,
    all_against_all: bool = False,
) -> Figures:
    false = int(np.count_nonzero(scores.impostor >= policy.threshold))
    both = curve(scores)
    rate, threshold = equal_error_rate(both)
    share, interval = at_policy or (None, None)
    return Figures(
        all_against_all=all_against_all,
        pictures=len(pairs.pictures),
        persons=int(pairs.persons.max()) + 1,
        genuine=scores.genuine.size + scores.failed_genuine,
        impostor=scores.impostor.size,
        failed=tuple(name for name, one in zip(pairs.pictures, found, strict=True) if not one),
        failed_pairs=failed_pairs,
        failed_genuine=scores.failed_genuine,
        crowded=crowded,
        accuracy=accuracy,
        official_folds=pairs.official_folds,
        eer=rate,
        eer_threshold=threshold,
        points=tuple(operating_point(scores, rate) for rate in RATES),
        policy=PolicyPoint(
            policy.threshold,
            policy.false_match_rate,
            scores.fmr(policy.threshold),
            wilson(false, scores.impostor.size),
            1.0 - scores.fnmr(policy.threshold),
            share,
            interval,
        ),
        intervals=_intervals(scores, compared, threshold),
        curve=both,
    )


def _intervals(scores: Scores, compared: Compared, threshold: float) -> Intervals:
    """Where nobody is missed at the equal error rate, nobody is in any drawing either: what the number of
    genuine pairs leaves open is then the wider."""
    drawn = bootstrap(compared, RATES, seed=SEED)
    if drawn.eer is None or scores.fnmr(threshold) > 0:
        return drawn
    open_still = 1.0 - wilson(scores.genuine.size, scores.genuine.size).low
    return replace(drawn, eer=Interval(drawn.eer.low, max(drawn.eer.high, open_still)))
