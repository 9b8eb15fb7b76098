"""A face's pattern is found again in other pictures, more surely than by the points that a detector sees."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.liveness.registration import MOST_SLIP, Registration
from edge.model import Face, Image
from tests.support.passive import face_at, moved, noisy, texture

PICTURE, FACE = texture(3, grain=1.5), face_at()
EYE = 44.0


def at(points: npt.NDArray[np.float64]) -> Face:
    return dataclasses.replace(FACE, points=points.astype(np.float32))


def slipped(truth: npt.NDArray[np.float64], seed: int, by: float = 0.02) -> Face:
    """As a detector sees the points: each for itself, so many eye distances off (standard deviation)."""
    return at(truth + np.random.default_rng(seed).normal(0.0, by * EYE, truth.shape))


def shown(right: float, down: float, turn_deg: float) -> tuple[Image, npt.NDArray[np.float64]]:
    """The picture shifted and turned about its middle, and where the five points are in it."""
    height, width = PICTURE.shape[:2]
    turn, centre = np.deg2rad(turn_deg), np.array([width / 2, height / 2])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (FACE.points - centre) @ matrix.T + centre + (right, down)
    return moved(PICTURE, right, down, turn_deg=turn_deg), points


def off(found: Face, truth: npt.NDArray[np.float64]) -> float:
    """Mean distance of eyes and nose from the truth, in eye distances."""
    return float(np.hypot(*(found.points - truth)[:3].T).mean()) / EYE


@pytest.mark.parametrize(("right", "down", "turn_deg"), [(0.0, 0.0, 0.0), (7.3, -4.1, 0.0), (-5.5, 3.2, 4.0)])
def test_slips_of_a_detector_are_taken_back(right: float, down: float, turn_deg: float) -> None:
    registration = Registration(PICTURE, FACE)
    picture, truth = shown(right, down, turn_deg)
    seen = [slipped(truth, seed) for seed in range(20)]
    before = np.mean([off(one, truth) for one in seen])
    after = np.mean([off(registration.place(noisy(picture, 9), one), truth) for one in seen])
    assert after < 0.35 * before
    assert after < 0.01


@pytest.mark.parametrize("light", [0.6, 1.3])
def test_light_on_the_face_moves_nothing(light: float) -> None:
    """Neither all of it nor a light from one side."""
    registration = Registration(PICTURE, FACE)
    side = np.linspace(light, 1.0, PICTURE.shape[1])[None, :, None]
    lit = np.clip(PICTURE * side, 0, 255).astype(np.uint8)
    truth = FACE.points.astype(np.float64)
    assert off(registration.place(lit, slipped(truth, 1)), truth) < 0.01


def test_a_mouth_that_opens_moves_nothing() -> None:
    registration = Registration(PICTURE, FACE)
    open_mouth, line = PICTURE.copy(), round(float(FACE.points[3:, 1].mean()))
    sunk = round(0.3 * EYE)
    open_mouth[line + sunk :] = PICTURE[line:-sunk]
    open_mouth[line : line + sunk] = 20
    truth = FACE.points.astype(np.float64)
    assert off(registration.place(open_mouth, slipped(truth, 2)), truth) < 0.01


@pytest.mark.parametrize("kind", ["another pattern", "black", "far outside"])
def test_what_is_not_found_leaves_the_points_as_they_were(kind: str) -> None:
    registration = Registration(PICTURE, FACE)
    truth = FACE.points.astype(np.float64)
    picture, seen = PICTURE, slipped(truth, 3)
    if kind == "another pattern":
        picture = texture(77, grain=1.5)
    elif kind == "black":
        picture = np.zeros_like(PICTURE)
    else:
        seen = at(truth + 5000.0)
    found = registration.place(picture, seen)
    assert np.isfinite(found.points).all()
    assert np.hypot(*(found.points - seen.points)[:3].T).max() <= MOST_SLIP * seen.inter_eye + 1e-3


def test_what_is_measured_at_the_sides_of_a_face_holds_still() -> None:
    """Brightness at a place near an edge, over pictures of one face whose points slip."""
    edged = PICTURE.copy()
    edged[:, 285:] //= 3  # hair beside the cheek: the place is right before it
    registration = Registration(edged, FACE)

    def brightness(face: Face) -> float:
        along = face.points[1] - face.points[0]
        x, y = face.points[:2].mean(axis=0) + 0.8 * along + np.array([0.0, 20.0])
        return float(cv2.getRectSubPix(edged, (11, 11), (float(x), float(y))).mean())

    truth = FACE.points.astype(np.float64)
    seen = [slipped(truth, seed) for seed in range(30)]
    loose = np.std([brightness(one) for one in seen])
    held = np.std([brightness(registration.place(edged, one)) for one in seen])
    assert held < 0.35 * loose
