"""Who is it, if anybody? The rule that turns scores into an answer. Pure.

A gallery of N templates is N chances for a stranger to look like somebody. With a false match rate FMR for
one comparison, the rate at which a stranger is taken for somebody (false positive identification rate,
ISO/IEC 19795-1) is FPIR = 1 - (1 - FMR)^N, where comparisons are independent; for a wanted FPIR this gives
the FMR that is needed, and a calibration gives the threshold.

    verdict        when
    OPERATOR       the face is that of somebody at the desk, who must not be the applicant too
    WATCHED        somebody of the watch-list reaches the cut-off, or nearly. Two people have to decide
    UNKNOWN_RATE   somebody reaches the strictest threshold that was ever measured, and the gallery is so
                   large that it takes a stricter one: how often a stranger does so, nobody knows
    SECOND_CHECK   two reach the cut-off, or nearly: siblings, twins, or one person enrolled twice; or the
                   best misses it by little. A person has to look
    FOUND          one alone reaches the cut-off
    NOBODY         an answer like the others
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from edge.answers import GalleryCandidate, GalleryDecision, GalleryResult
from edge.gallery.records import Found, Kind
from edge.policy import MatchThreshold

MEASURED = (MatchThreshold(0.415, 1e-4), MatchThreshold(0.466, 1e-5))
"""Live to live: all against all on Labeled Faces in the Wild, 29.6 million comparisons of strangers."""

SECOND_CHECK_BAND = 0.05
"""Cosine. So much lies between false match rates of 1e-4 and 1e-5 on Labeled Faces in the Wild: whoever is
within it could, ten times as often, be a stranger."""


class Verdict(StrEnum):
    NOBODY = "NOBODY"
    FOUND = "FOUND"
    SECOND_CHECK = "SECOND_CHECK"
    OPERATOR = "OPERATOR"
    WATCHED = "WATCHED"
    UNKNOWN_RATE = "UNKNOWN_RATE"


@dataclass(frozen=True, slots=True)
class CutOff:
    """``threshold`` was measured at ``false_match_rate``. ``needed``: the rate that the size asks for, which
    is lower only where no threshold was measured for it. ``fpir``: what the threshold gives at this size.
    """

    threshold: float
    false_match_rate: float
    needed: float
    size: int

    @property
    def known(self) -> bool:
        """Whether the wanted rate is kept."""
        return self.false_match_rate <= self.needed

    @property
    def fpir(self) -> float:
        return identification_rate(self.false_match_rate, self.size)


@dataclass(frozen=True, slots=True)
class Answer:
    """``candidates``: who a person should look at, best first. ``cut_off``: None for an empty gallery."""

    verdict: Verdict
    candidates: tuple[Found, ...]
    cut_off: CutOff | None


def match_rate(fpir: float, size: int) -> float:
    """The false match rate that gives ``fpir`` (above 0, below 1) in a gallery of ``size`` templates."""
    if not (0.0 < fpir < 1.0 and size > 0):
        raise ValueError("a rate lies between 0 and 1, and a gallery has templates")
    return -math.expm1(math.log1p(-fpir) / size)  # 1 - (1 - fpir)^(1 / size), without losing digits


def identification_rate(false_match_rate: float, size: int) -> float:
    """The reverse."""
    if false_match_rate >= 1.0:
        return 1.0
    return -math.expm1(size * math.log1p(-false_match_rate))


def cut_off(points: Sequence[MatchThreshold], *, fpir: float, size: int) -> CutOff:
    """Choose the threshold for a gallery of this size, among those that were measured.

    Between two points the stricter one is taken: the curve falls there, however, so the rate is kept.
    Beyond the strictest one nothing is made up; see :attr:`CutOff.known`.

    Raises:
        ValueError: no points, or some whose rate does not fall while the threshold grows.
    """
    ordered = sorted(points, key=lambda point: point.threshold)
    if not ordered or any(later.false_match_rate > one.false_match_rate for one, later in pairwise(ordered)):
        raise ValueError("the false match rate falls while the threshold grows")
    if not all(0.0 < point.false_match_rate < 1.0 for point in ordered):
        raise ValueError("a false match rate that was measured lies between 0 and 1")
    needed = match_rate(fpir, size)
    chosen = next((point for point in ordered if point.false_match_rate <= needed), ordered[-1])
    return CutOff(chosen.threshold, chosen.false_match_rate, needed, size)


def known_points(
    policy: MatchThreshold, measured: Sequence[MatchThreshold] = MEASURED
) -> tuple[MatchThreshold, ...]:
    """The thresholds to choose from. Where the policy is stricter than what was measured, it holds."""
    points: list[MatchThreshold] = []
    for point in sorted((policy, *measured), key=lambda one: (-one.false_match_rate, -one.threshold)):
        highest = max([point.threshold, *(one.threshold for one in points)])
        points.append(MatchThreshold(highest, point.false_match_rate))
    return tuple(points)


def decide(
    found: Sequence[Found],
    cut: CutOff | None,
    *,
    band: float = SECOND_CHECK_BAND,
    operator_at_desk: bool = False,
) -> Answer:
    """Judge what a search found; ``found``: at least all that reach ``cut`` less ``band``, best first.

    ``cut``: None for an empty gallery. ``operator_at_desk``: whether the face is that of somebody who works
    here now.

    Raises:
        ValueError: a score is no number: nothing may be said then.
    """
    if any(not math.isfinite(one.score) for one in found):
        raise ValueError("a score is not finite")
    near = () if cut is None else tuple(one for one in found if one.score >= cut.threshold - band)
    if operator_at_desk:
        return Answer(Verdict.OPERATOR, near, cut)
    if cut is None or not near:
        return Answer(Verdict.NOBODY, (), cut)
    if any(one.kind is Kind.WATCHED for one in near):
        return Answer(Verdict.WATCHED, near, cut)
    if not cut.known and near[0].score >= cut.threshold:
        return Answer(Verdict.UNKNOWN_RATE, near, cut)
    if len({one.candidate_id for one in near}) > 1 or near[0].score < cut.threshold:
        return Answer(Verdict.SECOND_CHECK, near, cut)
    return Answer(Verdict.FOUND, near, cut)


def to_result(answer: Answer, *, version: int, size: int) -> GalleryResult:
    """What goes into the record: candidates and whether there are any; a person decides on them."""
    candidates = tuple(
        GalleryCandidate(str(one.candidate_id), one.score, watched=one.kind is Kind.WATCHED)
        for one in answer.candidates
    )
    decision = GalleryDecision.FOUND if candidates else GalleryDecision.UNKNOWN
    second_check = answer.verdict not in (Verdict.NOBODY, Verdict.FOUND)
    return GalleryResult(version, size, candidates, decision, second_check)
