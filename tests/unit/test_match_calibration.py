from __future__ import annotations

import pytest

from edge.gallery.decide import cut_off, identification_rate, known_points
from edge.match.calibration import load_calibrations, measured_points, parse_calibrations
from edge.models.manifest import load_manifest
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, MatchPolicy, MatchThreshold

SFACE = next(entry.sha256 for entry in load_manifest() if entry.name == "sface-int8bq")
ONE = """
[[calibration]]
domain = "live/live"
model_sha256 = "ab"
source = "made up"
pictures = 100
impostor_pairs = 300_000
point = [{ threshold = 0.3, rate = 1e-3 }, { threshold = 0.4, rate = 1e-4 }]
"""


def test_each_domain_of_the_model_in_use_is_calibrated_as_far_as_was_measured() -> None:
    by_domain = {one.domain: one for one in load_calibrations() if one.model_sha256 == SFACE}
    assert set(by_domain) == {LIVE_LIVE, LIVE_CHIP_PHOTO}
    for one in by_domain.values():
        assert one.source
        assert one.impostor_pairs <= one.pictures * (one.pictures - 1)
        assert one.points[-1].false_match_rate >= one.smallest_rate
        assert one.points[-1].false_match_rate < 1.05 * one.smallest_rate


def test_the_policys_own_points_are_at_least_as_strict_as_was_measured() -> None:
    policy = MatchPolicy()
    for point, domain in ((policy.live_live, LIVE_LIVE), (policy.live_chip_photo, LIVE_CHIP_PHOTO)):
        kept = [one for one in measured_points(domain, SFACE) if one.threshold <= point.threshold]
        assert kept[-1].false_match_rate <= 1.3 * point.false_match_rate


def test_a_gallery_is_judged_by_what_was_measured_and_told_where_that_ends() -> None:
    points = known_points(MatchPolicy().live_live, measured_points(LIVE_LIVE, SFACE))
    within = cut_off(points, fpir=0.01, size=9_800)
    assert within.known
    assert within.threshold == 0.546
    assert identification_rate(within.false_match_rate, 9_800) <= 0.01
    beyond = cut_off(points, fpir=0.01, size=11_000)
    assert not beyond.known
    assert beyond.threshold == 0.546  # the strictest one measured: nothing is extrapolated


def test_a_model_that_was_never_evaluated_has_the_policys_point_alone() -> None:
    assert measured_points(LIVE_LIVE, "00" * 32) == ()
    assert known_points(MatchThreshold(0.5, 1e-4), ()) == (MatchThreshold(0.5, 1e-4),)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("rate = 1e-4", "rate = 9e-5"), "do not support"),
        (("rate = 1e-4", "rate = 2e-3"), "rate falls"),
        (("threshold = 0.4", "threshold = 0.2"), "rate falls"),
        (("threshold = 0.4", "threshold = 1.4"), "cosine"),
        (("impostor_pairs = 300_000", "impostor_pairs = 0"), "nothing measured"),
        (('domain = "live/live"', ""), "domain"),
        (("{ threshold = 0.3, rate = 1e-3 }, { threshold = 0.4, rate = 1e-4 }", ""), "nothing measured"),
        (("pictures = 100", "pictures = []"), "calibration"),
        (("[[calibration]]", "[[calibration"), "line"),
    ],
)
def test_a_table_that_claims_too_much_is_refused(change: tuple[str, str], sentence: str) -> None:
    assert len(parse_calibrations(ONE)) == 1
    with pytest.raises(ValueError, match=sentence):
        parse_calibrations(ONE.replace(*change))


def test_one_domain_is_calibrated_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_calibrations(ONE + ONE)
