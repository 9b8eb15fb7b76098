"""What the values of the passive cues mean: curves, weights and operating points, kept as data.

Every cue's value goes through a monotone curve to evidence: the logarithm of how much more often a living
face shows such a value than an attack does, clipped on both sides, so that no single cue decides alone.
Kinds of attacks differ in what gives them away: a picture that is held up moves like a plane, a video that
is played back moves like a person. So evidence is summed against each kind by itself, and the kinds are put
together by the law of total probability: a face is alive as far as it is none of them. A cue that could not
judge adds nothing. All weights are 0 or more: no calibration can turn a sign of life into a sign of attack.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, Self

FILE = "passive.toml"
PICTURE, CLIP = "picture", "clip"
_EPSILON = 1e-3  # shares of 0 and 1 are taken for this near to it

Form = Literal["identity", "log", "logit"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Evidence of a value x, in nats: ``slope`` * (form(x) - ``centre``), between two limits.

    They are -``against`` and ``in_favour``.
    """

    form: Form
    centre: float
    slope: float
    against: float
    in_favour: float

    def evidence(self, value: float) -> float:
        shaped = value
        if self.form == "log":
            shaped = math.log(max(value, _EPSILON))
        elif self.form == "logit":
            share = min(max(value, _EPSILON), 1.0 - _EPSILON)
            shaped = math.log(share / (1.0 - share))
        return min(max(self.slope * (shaped - self.centre), -self.against), self.in_favour)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attack. ``share``: how many attacks are of it. ``weights``: of each cue's evidence."""

    share: float
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Score = logistic(``slope`` * (log odds - ``centre``)): 0.5 is the stated operating point."""

    centre: float
    slope: float


@dataclass(frozen=True, slots=True)
class PassiveCalibration:
    """``points`` by variant: "picture" or "clip", with "+name" for each optional expert that judged.

    ``alike``: experts that see the same things and err together, each with the share of its evidence that
    counts where another of them judged too.
    """

    version: int
    curves: Mapping[str, Curve]
    kinds: Mapping[str, Kind]
    points: Mapping[str, OperatingPoint]
    alike: Mapping[str, float] = field(default_factory=dict)
    camera_fixed: bool = True

    @property
    def optional(self) -> frozenset[str]:
        """Experts that may be missing and then have their own operating points."""
        return frozenset(name for variant in self.points for name in variant.split("+")[1:])

    @classmethod
    def built_in(cls, *, camera_fixed: bool = True) -> Self:
        """The calibration that comes with the product.

        ``camera_fixed``: the camera stands. In a hand everything moves with it, and a background that moves
        says nothing.
        """
        text = resources.files("edge.liveness").joinpath(FILE).read_text("utf-8")
        return cls.parse(text, camera_fixed=camera_fixed)

    @classmethod
    def parse(cls, text: str, *, camera_fixed: bool = True) -> Self:
        """Read a calibration from TOML.

        Raises:
            ValueError: not such a file, or one with a weight, a slope or a share that cannot be.
        """
        try:
            told = tomllib.loads(text)
            made = cls(
                version=int(told["version"]),
                curves={name: _curve(one) for name, one in told["curves"].items()},
                kinds={
                    name: Kind(float(one["share"]), {cue: float(w) for cue, w in one["weights"].items()})
                    for name, one in told["kinds"].items()
                },
                points={
                    name: OperatingPoint(float(one["centre"]), float(one["slope"]))
                    for name, one in told["points"].items()
                },
                alike={name: float(weight) for name, weight in told.get("alike", {}).items()},
                camera_fixed=camera_fixed,
            )
        except (KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
            raise ValueError("this is no calibration of the passive cues") from error
        made._check()
        return made

    def evidence(self, cue: str, value: float) -> float:
        """Of one cue's value, in nats; above 0 speaks for life. KeyError for a cue it does not know."""
        return self.curves[cue].evidence(value)

    def log_odds(self, values: Mapping[str, float]) -> float:
        """Fuse the values of the cues that could judge; unknown cues are left out."""
        return self.fuse({cue: self.evidence(cue, v) for cue, v in values.items() if cue in self.curves})

    def fuse(self, evidence: Mapping[str, float]) -> float:
        """The log odds of life that the evidence of each cue, in nats, gives together."""
        evidence = dict(evidence)
        if len(several := self.alike.keys() & evidence.keys()) > 1:
            evidence |= {cue: self.alike[cue] * evidence[cue] for cue in several}
        against = [
            math.log(kind.share) - sum(kind.weights.get(cue, 0.0) * one for cue, one in evidence.items())
            for kind in self.kinds.values()
        ]
        most = max(against)
        return -(most + math.log(sum(math.exp(one - most) for one in against)))

    def score(self, values: Mapping[str, float], variant: str) -> float:
        """Calibrated, 0..1; 0.5 is the operating point of ``variant`` (KeyError where it has none)."""
        point = self.points[variant]
        return 1.0 / (1.0 + math.exp(-_bounded(point.slope * (self.log_odds(values) - point.centre))))

    def _check(self) -> None:
        weights = [weight for kind in self.kinds.values() for weight in kind.weights.values()]
        limits = [value for curve in self.curves.values() for value in (curve.against, curve.in_favour)]
        slopes = [curve.slope for curve in self.curves.values()] + [p.slope for p in self.points.values()]
        shares = [kind.share for kind in self.kinds.values()]
        numbers = weights + limits + slopes + shares + [curve.centre for curve in self.curves.values()]
        numbers += [point.centre for point in self.points.values()]
        if not all(0.0 <= weight <= 1.0 for weight in self.alike.values()):
            raise ValueError("the weights of experts that are alike are shares")
        named = {cue for kind in self.kinds.values() for cue in kind.weights}
        if not all(map(math.isfinite, numbers)) or min(weights + limits, default=-1.0) < 0:
            raise ValueError("weights and limits are finite and not below 0")
        if min(slopes) <= 0 or min(shares) <= 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            raise ValueError("slopes are above 0, and shares are so too and make 1 together")
        if not named <= self.curves.keys() or not {PICTURE, CLIP} <= self.points.keys():
            raise ValueError("each weight needs a curve, pictures and clips need operating points")


def _curve(told: Mapping[str, Any]) -> Curve:
    form = told["form"]
    if form not in ("identity", "log", "logit"):
        raise ValueError("no such form of a curve")
    return Curve(
        form,
        float(told["centre"]),
        float(told["slope"]),
        float(told["against"]),
        float(told["in_favour"]),
    )


def _bounded(value: float) -> float:
    return min(max(value, -30.0), 30.0)
