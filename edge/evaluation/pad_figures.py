"""From judged presentations to the figures of ISO/IEC 30107-3. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.evaluation.pad_manifest import Presentation
from edge.evaluation.pad_media import Kind
from edge.evaluation.pad_statistics import (
    UNDECIDED,
    Floats,
    Group,
    Rate,
    Sureness,
    Trade,
    accepted,
    area_under_curve,
    bootstrap,
    equal_error,
    hull,
    rate_of,
    refused,
    threshold_at_bpcer,
    trade,
)
from edge.evaluation.statistics import Interval

RATES = (0.01, 0.05)
"""BPCER at which the APCER is told."""

CUE_RATE = 0.05
SEED = 20_260_107


@dataclass(frozen=True, slots=True)
class Judged:
    """``score``: 0..1, higher is more alive; None where nothing could be said, and ``reason`` says why.

    ``unreadable``: the medium itself could not be read, which says nothing about the liveness.
    ``frames``: how many were judged. ``kind``: None where it could not be opened. ``cues``: what each one
    measured, in its own unit and higher for life; None where it could not.
    """

    presentation: Presentation = field(repr=False)
    score: float | None
    reason: str = ""
    cues: Mapping[str, float | None] = field(default_factory=dict)
    frames: int = 0
    unreadable: bool = False
    kind: Kind | None = None

    def accepted(self, threshold: float) -> bool:
        return self.score is not None and self.score >= threshold


@dataclass(frozen=True, slots=True)
class InstrumentFigures:
    """Of one instrument. ``at_policy``: APCER there; ``of_decided``: the same without undecided ones.

    ``at_bpcer``: APCER at each rate; None where that rate cannot be had.
    """

    instrument: str
    undecided: int
    unreadable: int
    at_policy: Rate
    of_decided: Rate
    at_bpcer: dict[float, Rate | None]


@dataclass(frozen=True, slots=True)
class BpcerPoint:
    """APCER at one BPCER. ``threshold`` None: that rate cannot be had, and nothing is said.

    ``bpcer``: what is really refused there. ``supported``: at least one bona fide presentation may be
    refused at that rate, so that not one alone places the threshold.
    """

    wanted: float
    supported: bool
    threshold: float | None = None
    bpcer: Rate | None = None
    apcer: Rate | None = None
    worst: str = ""
    worst_apcer: Rate | None = None


@dataclass(frozen=True, slots=True)
class CueFigures:
    """One cue by itself, among presentations that it has a score for."""

    name: str
    bona_fide: int
    attacks: int
    auc: float | None
    threshold: float | None
    apcer: Rate | None
    auc_by_instrument: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Figures:
    """All that an evaluation found; ``instruments`` with the worst one first."""

    threshold: float
    judged: tuple[Judged, ...]
    bona_fide: Floats = field(repr=False)
    attacks: dict[str, Floats] = field(repr=False)
    bpcer: Rate
    apcer: Rate
    instruments: tuple[InstrumentFigures, ...]
    eer: float | None
    eer_threshold: float | None
    eer_interval: Interval | None
    points: tuple[BpcerPoint, ...]
    cues: tuple[CueFigures, ...]
    trade: Trade | None = field(repr=False)

    @property
    def worst(self) -> InstrumentFigures | None:
        return self.instruments[0] if self.instruments else None

    @property
    def judging_cues(self) -> tuple[CueFigures, ...]:
        """Those that had something to say of any presentation."""
        return tuple(one for one in self.cues if one.bona_fide or one.attacks)

    @property
    def undecided(self) -> Counter[str]:
        """How many presentations could not be judged, by reason."""
        return Counter(one.reason for one in self.judged if one.score is None)

    def undecided_of(self, *, bona_fide: bool) -> int:
        return sum(one.score is None for one in self.judged if one.presentation.bona_fide is bona_fide)

    def average(self, apcer: Rate | None) -> float | None:
        """ACER: the mean of an APCER and the BPCER."""
        if apcer is None or apcer.value is None or self.bpcer.value is None:
            return None
        return (apcer.value + self.bpcer.value) / 2

    def misses(self, *, bona_fide: bool) -> list[Judged]:
        """Answered wrong at the policy's threshold, the worst one first."""
        wrong = [
            one
            for one in self.judged
            if one.presentation.bona_fide is bona_fide and one.accepted(self.threshold) is not bona_fide
        ]
        sign = 1 if bona_fide else -1
        return sorted(
            wrong, key=lambda one: (sign * (UNDECIDED if one.score is None else one.score), _row(one))
        )


def judge_figures(judged: Sequence[Judged], threshold: float) -> Figures:
    """Work out all figures; those that cannot be had, because a kind is missing, are None.

    ``threshold``: the operating point in force.
    """
    live = _group([one for one in judged if one.presentation.bona_fide])
    kinds = sorted({one.presentation.instrument for one in judged if not one.presentation.bona_fide})
    by_kind = {kind: [one for one in judged if one.presentation.instrument == kind] for kind in kinds}
    groups = {kind: _group(found) for kind, found in by_kind.items()}
    every = _joined([group.scores for group in groups.values()])
    sureness = bootstrap(live, groups, RATES, seed=SEED)
    thresholds = {rate: threshold_at_bpcer(live.scores, rate) for rate in RATES}
    instruments = [
        _instrument(
            kind,
            by_kind[kind],
            groups[kind].scores,
            threshold=threshold,
            thresholds=thresholds,
            sureness=sureness,
        )
        for kind in kinds
    ]
    found = equal_error(live.scores, every)
    return Figures(
        threshold=threshold,
        judged=tuple(judged),
        bona_fide=live.scores,
        attacks={kind: group.scores for kind, group in groups.items()},
        bpcer=refused(live.scores, threshold),
        apcer=accepted(every, threshold),
        instruments=tuple(sorted(instruments, key=_badness)),
        eer=found[0] if found else None,
        eer_threshold=found[1] if found else None,
        eer_interval=sureness.eer if found else None,
        points=tuple(
            _point(rate, where, live.scores, every, instruments=instruments, sureness=sureness)
            for rate, where in thresholds.items()
        ),
        cues=_cues(judged, kinds),
        trade=trade(live.scores, every),
    )


def _row(one: Judged) -> int:
    return one.presentation.row


def _group(judged: Sequence[Judged]) -> Group:
    """Scores, and who is shown; where the list does not say, everybody is somebody else."""
    names = [one.presentation.subject or f"\0{one.presentation.row}" for one in judged]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return Group(
        np.array([UNDECIDED if one.score is None else one.score for one in judged], np.float64),
        np.array([numbers[name] for name in names], np.int64),
    )


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)


def _instrument(
    kind: str,
    judged: Sequence[Judged],
    scores: Floats,
    *,
    threshold: float,
    thresholds: dict[float, float | None],
    sureness: Sureness,
) -> InstrumentFigures:
    at_bpcer: dict[float, Rate | None] = {}
    for rate, where in thresholds.items():
        at = None if where is None else accepted(scores, where)
        at_bpcer[rate] = at and _widened(at, sureness.by_instrument[rate].get(kind))
    return InstrumentFigures(
        kind,
        undecided=sum(one.score is None for one in judged),
        unreadable=sum(one.unreadable for one in judged),
        at_policy=accepted(scores, threshold),
        of_decided=accepted(scores[scores > UNDECIDED], threshold),
        at_bpcer=at_bpcer,
    )


def _widened(rate: Rate, interval: Interval | None) -> Rate:
    return Rate(rate.hits, rate.count, hull(rate.interval, interval))


def _badness(one: InstrumentFigures) -> tuple[float, ...]:
    """Sorts the worst first: by APCER, then by what may still hide behind few presentations."""
    order = [-(one.at_policy.value or 0.0)]
    order += [-(rate.value or 0.0) if rate else 0.0 for rate in reversed(one.at_bpcer.values())]
    return (*order, one.at_policy.count)


def _point(
    rate: float,
    threshold: float | None,
    bona_fide: Floats,
    attacks: Floats,
    *,
    instruments: Sequence[InstrumentFigures],
    sureness: Sureness,
) -> BpcerPoint:
    supported = rate * bona_fide.size * (1 + 1e-12) >= 1.0
    if threshold is None:
        return BpcerPoint(rate, supported)
    bpcer = refused(bona_fide, threshold)
    if not attacks.size:
        return BpcerPoint(rate, supported, threshold, bpcer)
    told = [(one.instrument, found) for one in instruments if (found := one.at_bpcer[rate]) is not None]
    worst, worst_apcer = max(told, key=lambda one: (one[1].value or 0.0, -one[1].count))
    apcer = _widened(accepted(attacks, threshold), sureness.pooled[rate])
    return BpcerPoint(rate, supported, threshold, bpcer, apcer, worst, worst_apcer)


def _cues(judged: Sequence[Judged], kinds: Sequence[str]) -> tuple[CueFigures, ...]:
    """The best one first."""
    names = dict.fromkeys(name for one in judged for name in one.cues)
    found = [_cue(name, judged, kinds) for name in names]
    return tuple(sorted(found, key=lambda one: (-(one.auc or 0.0), one.name)))


def _cue(name: str, judged: Sequence[Judged], kinds: Sequence[str]) -> CueFigures:
    told: dict[str, list[float]] = {"": [], **{kind: [] for kind in kinds}}
    for one in judged:
        score = one.cues.get(name)
        if score is not None and np.isfinite(score):
            told[one.presentation.instrument].append(score)
    live = np.array(told.pop(""), np.float64)
    by_kind = {kind: np.array(scores, np.float64) for kind, scores in told.items()}
    every = _joined(list(by_kind.values()))
    threshold = threshold_at_bpcer(live, CUE_RATE)
    return CueFigures(
        name,
        live.size,
        every.size,
        area_under_curve(live, every),
        threshold,
        None if threshold is None or not every.size else accepted(every, threshold),
        {kind: area_under_curve(live, scores) for kind, scores in by_kind.items()},
    )


def count_kinds(judged: Sequence[Judged]) -> tuple[int, int]:
    """Bona fide presentations, and attacks."""
    live = sum(one.presentation.bona_fide for one in judged)
    return live, len(judged) - live


def unreadable(judged: Sequence[Judged]) -> Rate:
    """Presentations whose medium could not be read."""
    return rate_of(sum(one.unreadable for one in judged), len(judged))
