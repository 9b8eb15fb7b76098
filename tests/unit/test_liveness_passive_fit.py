"""The fit that makes the passive calibration: near its priors, signs kept, the stated share refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.liveness.calibration import PassiveCalibration
from edge.liveness.training.fitting import (
    ALIKE,
    KNOWN,
    PRIORS,
    STATED_BPCER,
    Measured,
    fit,
    log_odds,
    threshold_at,
    without,
)
from edge.liveness.training.fusion import judge_left_out, report, to_toml
from edge.liveness.training.presentations import BONA_FIDE, CLIPS, PICTURES, REPLAY, STILL

MEANS = {BONA_FIDE: (0.9, 0.08), STILL: (0.4, 0.006), REPLAY: (0.2, 0.08)}


def made(kind: str, number: int, rng: np.random.Generator, form: str) -> Measured:
    """A presentation whose texture and motion are what its kind shows; the rest is chance."""
    share, motion = MEANS[kind]
    values = {cue: float(rng.uniform(0.2, 0.8)) for cue in PRIORS}
    values["texture"] = float(np.clip(rng.normal(share, 0.15), 0.01, 0.99))
    values["minifasnet"] = float(np.clip(rng.normal(share, 0.2), 0.01, 0.99))
    values["face_motion"] = float(motion * np.exp(rng.normal(0, 0.5)))
    if form == PICTURES:
        for cue in ("face_motion", "off_plane", "non_rigid", "background", "banding", "fresh_frames"):
            del values[cue]
    instrument = "" if kind == BONA_FIDE else f"{kind} {number % 3}"
    return Measured(values, kind, instrument, f"person {number % 7}", form)


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    rng = np.random.default_rng(4)
    return [made(kind, n, rng, form) for form in (CLIPS, PICTURES) for kind in MEANS for n in range(80)]


@pytest.fixture(scope="module")
def calibration(measured: list[Measured]) -> PassiveCalibration:
    return fit(measured, ["minifasnet"])


def test_the_fit_keeps_signs_and_limits(calibration: PassiveCalibration) -> None:
    assert calibration.curves["minifasnet"] == KNOWN["minifasnet"]
    for cue, curve in calibration.curves.items():
        assert 0 < curve.slope <= PRIORS[cue].steepest
        assert (curve.against, curve.in_favour) == (PRIORS[cue].against, PRIORS[cue].in_favour)
    assert "face_motion" not in calibration.kinds[REPLAY].weights
    for name, kind in calibration.kinds.items():
        for cue, weight in kind.weights.items():
            prior = PRIORS[cue].still if name == STILL else PRIORS[cue].replay
            assert 0 <= weight <= 1.2 * prior + 1e-3


@pytest.mark.parametrize(("form", "variant"), [(CLIPS, "clip"), (PICTURES, "picture")])
def test_a_half_is_where_the_stated_share_is_refused(
    calibration: PassiveCalibration, measured: list[Measured], form: str, variant: str
) -> None:
    for left_out, name in ((["minifasnet"], variant), ([], f"{variant}+minifasnet")):
        living = [one for one in without(measured, left_out) if one.form == form and one.kind == BONA_FIDE]
        refused = np.mean([calibration.score(one.values, name) < 0.5 for one in living])
        assert abs(refused - STATED_BPCER) <= 1 / len(living) + 1e-9


def test_what_was_fitted_is_read_back(calibration: PassiveCalibration) -> None:
    text = to_toml(calibration, {"a, clips, person left out": {"auc": 0.9}}, [])
    read = PassiveCalibration.parse(text)
    assert read.kinds == calibration.kinds
    assert read.points == calibration.points
    assert read.alike == calibration.alike == ALIKE
    for cue, curve in calibration.curves.items():
        assert dataclasses.astuple(read.curves[cue])[1:] == pytest.approx(
            dataclasses.astuple(curve)[1:], abs=1e-4
        )


def test_everybody_is_judged_once_by_a_fit_that_did_not_see_them(measured: list[Measured]) -> None:
    clips = [one for one in measured if one.form == CLIPS]
    judged = judge_left_out(clips, "person")
    assert len(judged) == len(clips)
    told = report(judged, CLIPS)
    assert (told["bona_fide"], told["attacks"]) == (80, 160)
    assert told["auc"] > 0.9
    assert told["worst_apcer"] >= told["apcer_at_bpcer_5"]


def test_the_threshold_refuses_no_more_than_was_said(
    calibration: PassiveCalibration, measured: list[Measured]
) -> None:
    odds = log_odds(calibration, measured)
    for rate in (0.01, 0.05, 0.3):
        assert float((odds < threshold_at(odds, rate)).mean()) <= rate
