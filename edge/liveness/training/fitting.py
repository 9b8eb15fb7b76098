"""How curves, weights and operating points of the passive cues are fitted: few numbers, near a prior.

The attacks at hand are simulated and the living people few, so the data may only move what is known
beforehand (PRIORS), never overturn it: curves keep their direction, each cue's evidence stays within its
limits, and weights are drawn towards the prior's by a ridge (logistic regression with a Gaussian prior,
projected to weights of 0 and more).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.liveness.calibration import CLIP, PICTURE, Curve, Form, Kind, OperatingPoint, PassiveCalibration
from edge.liveness.training.presentations import BONA_FIDE, CLIPS, PICTURES, PORTRAITS, REPLAY, STILL

VERSION = 1
STATED_BPCER = 0.05  # the operating point: where a score of 0.5 lies
RIDGE = 30.0  # pull of the prior on a weight, as so many presentations
SLOPE_RIDGE = 4.0
STEPS = 120

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of a cue before any simulated attack is looked at.

    ``against``, ``in_favour``: limits of its evidence in nats: how far it is trusted. ``steepest``: largest
    slope. ``still``, ``replay``: weights against either kind; 0: it cannot see this kind and never counts.
    """

    form: Form
    against: float
    in_favour: float
    steepest: float
    still: float
    replay: float


# What MiniFASNet's mean share means on real recordings it was not trained on, known beforehand from one
# webcam database of prints, phone and tablet replays: of attacks 24 % reach 0.5 and 6 % reach 0.9, of the
# living 99 % and 85 %. The logarithms of the quotients of what lies between make this line. On simulated
# attacks it does far worse, so that these may not be asked.
KNOWN = {"minifasnet": Curve("logit", 1.3, 1.2, 4.5, 2.8)}
# By the same figures the log odds of its living spread about normally. An expert of unknown use on real
# attacks is taken to be no better than that (what 5 % and half of the living reach is given no more
# evidence), and no better than it is on simulated attacks, with which it was taught.
LOW_SHARE, LOW_EVIDENCE, MIDDLE_EVIDENCE = 0.05, -0.16, 3.2
FLATTEST = 0.4
# One was taught by the other, so that they err together. Of two such experts the weaker should count for
# little: the best weights of two normal scores of unit spread with distances d and e of their classes and a
# correlation r are as d - r e to e - r d (Fisher, 1936). What is known of MiniFASNet on real recordings is
# d = 2.6 (10 % equal error); with 1.5 for the network of our own, which no real recording has shown, and
# r = 0.4 that is 4 to 1, and 2.6 to 1 of their evidence, whose spreads are as 1.6 to 1.
ALIKE = {"minifasnet": 0.9, "texture": 0.35}

# Limits: texture networks and the motion of the face are known to carry over to real recordings. Moire,
# colour and borders are idealised by every simulator: they may tip the scales, no more. What speaks for life
# is trusted less than what speaks for an attack.
PRIORS: Mapping[str, Prior] = {
    "texture": Prior("logit", 4.5, 2.8, 1.2, 1.0, 1.0),
    "minifasnet": Prior("logit", 4.5, 2.8, 1.2, 1.0, 1.0),
    "face_motion": Prior("log", 3.5, 2.5, 3.0, 1.0, 0.0),
    "off_plane": Prior("log", 1.0, 0.7, 1.0, 0.4, 0.0),
    "non_rigid": Prior("log", 1.5, 1.0, 3.0, 0.4, 0.0),
    "background": Prior("identity", 1.2, 0.3, 3.0, 0.8, 0.8),
    "banding": Prior("identity", 0.5, 0.1, 4.0, 0.5, 0.5),
    "fresh_frames": Prior("identity", 1.5, 0.0, 5.0, 1.0, 1.0),
    "moire": Prior("identity", 0.8, 0.1, 1.5, 0.5, 0.5),
    "colours": Prior("identity", 0.4, 0.1, 0.6, 0.5, 0.5),
    "shine": Prior("identity", 0.4, 0.0, 10.0, 0.5, 0.5),
    "fineness": Prior("identity", 0.4, 0.1, 1.0, 0.5, 0.5),
    "border": Prior("identity", 0.8, 0.0, 2.0, 0.5, 0.5),
}
FIXED = {"fresh_frames": (0.3, 5.0)}  # centre and slope: nothing simulated here repeats frames
FORMS = {PICTURE: PICTURES, CLIP: CLIPS}  # what each variant's operating point is found on
KIND_SHARES = {STILL: 0.5, REPLAY: 0.5}


@dataclass(frozen=True, slots=True)
class Measured:
    """A presentation after the cues looked at it. ``form``: as ``Presentation.form``."""

    values: Mapping[str, float]
    kind: str
    instrument: str
    person: str
    form: str


def fit(measured: Sequence[Measured], optional: Sequence[str]) -> PassiveCalibration:
    """Fit curves, weights and operating points; ``optional``: experts that may be missing later.

    Portraits of the press have frames, retouching and crops of their own: they are told of, not fitted to.
    """
    measured = [one for one in measured if one.form != PORTRAITS]
    curves = {cue: _fit_curve(cue, prior, measured) for cue, prior in PRIORS.items()}
    kinds = {kind: Kind(share, _fit_weights(kind, curves, measured)) for kind, share in KIND_SHARES.items()}
    variants = [(form, one) for one in ("", *optional) for form in (PICTURE, CLIP)]
    names = [form + (f"+{one}" if one else "") for form, one in variants]
    start = PassiveCalibration(VERSION, curves, kinds, {name: OperatingPoint(0.0, 1.0) for name in names})
    start = replace(start, alike=ALIKE)
    points = {
        name: _fit_point(start, without(measured, [o for o in optional if o != one]), FORMS[form])
        for name, (form, one) in zip(names, variants, strict=True)
    }
    return replace(start, points=points)


def without(measured: Sequence[Measured], cues: Sequence[str]) -> list[Measured]:
    """The same presentations as if these cues had not judged."""
    return [
        Measured(
            {cue: value for cue, value in one.values.items() if cue not in cues},
            one.kind,
            one.instrument,
            one.person,
            one.form,
        )
        for one in measured
    ]


def log_odds(calibration: PassiveCalibration, measured: Sequence[Measured]) -> _Floats:
    """Fused, before the operating point."""
    return np.array([calibration.log_odds(one.values) for one in measured])


def threshold_at(bona_fide: _Floats, bpcer: float) -> float:
    """The largest threshold that refuses at most this share of bona fide presentations."""
    ordered = np.sort(bona_fide)
    return float(ordered[math.floor(bpcer * len(ordered))])


def balance(measured: Sequence[Measured]) -> _Floats:
    """A weight for each presentation: both classes count the same, and within one each person does."""
    counts: dict[tuple[bool, str], int] = {}
    people: dict[bool, set[str]] = {True: set(), False: set()}
    for one in measured:
        live = one.kind == BONA_FIDE
        counts[live, one.person] = counts.get((live, one.person), 0) + 1
        people[live].add(one.person)
    return np.array(
        [
            len(measured) / 2 / len(people[one.kind == BONA_FIDE]) / counts[one.kind == BONA_FIDE, one.person]
            for one in measured
        ]
    )


def _fit_curve(cue: str, prior: Prior, measured: Sequence[Measured]) -> Curve:
    """A logistic regression on this cue alone, against the kinds that it can see."""
    seen = {kind for kind, weight in ((STILL, prior.still), (REPLAY, prior.replay)) if weight > 0}
    chosen = [one for one in measured if cue in one.values and (one.kind == BONA_FIDE or one.kind in seen)]
    if cue in KNOWN:
        return KNOWN[cue]
    if cue in FIXED:
        return Curve(prior.form, *FIXED[cue], prior.against, prior.in_favour)
    plain = Curve(prior.form, 0.0, 1.0, math.inf, math.inf)
    x = np.array([plain.evidence(one.values[cue]) for one in chosen])
    y = np.array([one.kind == BONA_FIDE for one in chosen])
    if len(x) == 0 or y.all() or not y.any():
        return Curve(prior.form, 0.0, prior.steepest / 2, prior.against, prior.in_favour)
    middle, scale = float(np.median(x)), max(float(np.quantile(x, 0.9) - np.quantile(x, 0.1)), 1e-6)
    weight = balance(chosen)
    slope, offset = _logistic(((x - middle) / scale)[:, None], y, weight, np.zeros(1), SLOPE_RIDGE)
    steepness = min(float(slope[0]) / scale, prior.steepest)
    if steepness <= 0.02 * prior.steepest:  # says the opposite of what it should, or nothing
        return Curve(prior.form, middle, 0.02 * prior.steepest, prior.against, prior.in_favour)
    centre = middle - offset / max(float(slope[0]) / scale, 1e-9)
    low, high = np.quantile(x, (0.02, 0.98))
    centre = min(max(centre, float(low)), float(high))
    if cue in ALIKE:
        centre, steepness = _no_better(x[y], centre, steepness)
    return Curve(prior.form, centre, steepness, prior.against, prior.in_favour)


def _no_better(living: _Floats, centre: float, slope: float) -> tuple[float, float]:
    """A curve's centre and slope, made no better than the expert's that is known, by the living alone."""
    low, middle = (float(one) for one in np.quantile(living, (LOW_SHARE, 0.5)))
    known = max((MIDDLE_EVIDENCE - LOW_EVIDENCE) / max(middle - low, 0.1), FLATTEST)
    slope = min(slope, known)
    return max(centre, low - LOW_EVIDENCE / slope), slope


def _fit_weights(kind: str, curves: Mapping[str, Curve], measured: Sequence[Measured]) -> dict[str, float]:
    prior = {cue: one.still if kind == STILL else one.replay for cue, one in PRIORS.items()}
    used = [cue for cue, weight in prior.items() if weight > 0]
    chosen = [one for one in measured if one.kind in (BONA_FIDE, kind)]
    x = np.array(
        [
            [curves[cue].evidence(one.values[cue]) if cue in one.values else 0.0 for cue in used]
            for one in chosen
        ]
    )
    y = np.array([one.kind == BONA_FIDE for one in chosen])
    start = np.array([prior[cue] for cue in used])
    weights, _ = _logistic(x, y, balance(chosen), start, RIDGE)
    weights = np.where([cue in ALIKE for cue in used], start, np.minimum(weights, 1.2 * start))
    return {cue: round(float(weight), 3) for cue, weight in zip(used, weights, strict=True)}


def _logistic(
    x: _Floats, y: npt.NDArray[np.bool_], weight: _Floats, prior: _Floats, ridge: float
) -> tuple[_Floats, float]:
    """Weights of 0 and more, and an offset: projected gradient steps with momentum (Nesterov 1983)."""
    x = np.column_stack([x, np.ones(len(x))])
    near, pull = np.append(prior, 0.0), np.append(np.full(len(prior), ridge), 0.0)
    least = np.append(np.zeros(len(prior)), -np.inf)
    total = float(weight.sum())
    step = 1.0 / (0.25 * float((weight[:, None] * x * x).sum()) / total + ridge / total)
    now = before = near.copy()
    for number in range(STEPS):
        ahead = now + number / (number + 3) * (now - before)
        share = 1.0 / (1.0 + np.exp(-np.clip(x @ ahead, -30, 30)))
        slope = (x.T @ (weight * (y - share)) - pull * (ahead - near)) / total
        before, now = now, np.maximum(ahead + step * slope, least)
    return now[:-1], float(now[-1])


def _fit_point(calibration: PassiveCalibration, measured: Sequence[Measured], form: str) -> OperatingPoint:
    """0.5 where STATED_BPCER of the living are refused; the slope as the odds call for, at most 1."""
    chosen = [one for one in measured if one.form == form]
    odds = log_odds(calibration, chosen)
    live = np.array([one.kind == BONA_FIDE for one in chosen])
    if not live.any() or live.all():
        return OperatingPoint(0.0, 1.0)
    centre = threshold_at(odds[live], STATED_BPCER)
    slope, _ = _logistic((odds - centre)[:, None], live, balance(chosen), np.ones(1), RIDGE)
    return OperatingPoint(round(centre, 4), round(min(max(float(slope[0]), 0.3), 1.0), 4))
