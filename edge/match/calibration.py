"""Which threshold keeps which false match rate: measured, kept as data with the evaluation that measured it.

``calibration.toml`` has, for each domain and model, points from a list of pictures in which everybody was
compared with everybody. A point is kept only down to the rate that so many comparisons support (rule of 30,
edge.evaluation.statistics): its ``rate`` is never below 30 over the number of comparisons of two people.
Nothing is made up beyond: who needs a stricter threshold is told that none was measured.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Any

from edge.policy import MatchThreshold

SUPPORT = 30
"""False matches that a rate must be able to rest on."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """``points``: thresholds rising. ``impostor_pairs``: comparisons of two people."""

    domain: str
    model_sha256: str
    source: str
    pictures: int
    impostor_pairs: int
    points: tuple[MatchThreshold, ...]

    @property
    def smallest_rate(self) -> float:
        """Below this nothing is known."""
        return SUPPORT / self.impostor_pairs


def load_calibrations() -> tuple[Calibration, ...]:
    """Read what ships with this package."""
    return parse_calibrations(
        resources.files("edge.match").joinpath("calibration.toml").read_text(encoding="utf-8")
    )


def measured_points(domain: str, model_sha256: str) -> tuple[MatchThreshold, ...]:
    """The measured thresholds of a domain for a model; none where it was never evaluated."""
    return next(
        (
            one.points
            for one in load_calibrations()
            if (one.domain, one.model_sha256) == (domain, model_sha256)
        ),
        (),
    )


def parse_calibrations(text: str) -> tuple[Calibration, ...]:
    """Parse a table of calibrations.

    Raises:
        ValueError: not TOML, a missing or malformed field, a rate that does not fall while the threshold
            grows, or one that the comparisons do not support.
    """
    try:
        found = tuple(_parse(table) for table in tomllib.loads(text).get("calibration", []))
    except (KeyError, TypeError) as error:
        raise ValueError(f"calibration: {error}") from error
    if len({(one.domain, one.model_sha256) for one in found}) != len(found):
        raise ValueError("calibration: a domain is there twice for one model")
    return found


def _parse(table: dict[str, Any]) -> Calibration:
    points = tuple(MatchThreshold(float(one["threshold"]), float(one["rate"])) for one in table["point"])
    one = Calibration(
        str(table["domain"]),
        str(table["model_sha256"]),
        str(table["source"]),
        int(table["pictures"]),
        int(table["impostor_pairs"]),
        points,
    )
    if not points or one.impostor_pairs <= 0:
        raise ValueError("calibration: there is nothing measured")
    if any(
        b.threshold <= a.threshold or b.false_match_rate >= a.false_match_rate for a, b in pairwise(points)
    ):
        raise ValueError("calibration: the rate falls while the threshold grows")
    if not all(-1.0 < point.threshold < 1.0 for point in points):
        raise ValueError("calibration: a threshold is a cosine")
    if points[-1].false_match_rate < one.smallest_rate * (1 - 1e-9) or points[0].false_match_rate >= 1.0:
        raise ValueError("calibration: a rate that so few comparisons do not support")
    return one
