from __future__ import annotations

import math

import numpy as np
import pytest

from edge.capture.align import align, reference_points
from edge.geometry import roll_deg, similarity, yaw_ratio
from edge.model import Face
from tests.support.faces import face, turned


def test_a_frontal_face_has_neither_roll_nor_yaw() -> None:
    assert roll_deg(face()) == 0.0
    assert yaw_ratio(face()) == 0.0


@pytest.mark.parametrize("degrees", [-50.0, -10.0, 25.0, 80.0])
def test_roll_is_the_tilt_of_the_eyes_and_does_not_leak_into_yaw(degrees: float) -> None:
    tilted = turned(face(nose_shift=5), degrees)
    assert roll_deg(tilted) == pytest.approx(degrees, abs=1e-3)
    assert yaw_ratio(tilted) == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize("scale", [0.5, 1.0, 7.0])
def test_yaw_is_positive_towards_the_right_of_the_picture_at_any_size(scale: float) -> None:
    assert yaw_ratio(face(nose_shift=4, scale=scale)) == pytest.approx(0.2, abs=1e-5)
    assert yaw_ratio(face(nose_shift=-4, scale=scale)) == pytest.approx(-0.2, abs=1e-5)


def test_coinciding_eyes_are_never_frontal() -> None:
    points = face().points.copy()
    points[1] = points[0]
    assert yaw_ratio(Face((0, 0, 1, 1), points, 1.0)) == math.inf


def test_similarity_recovers_rotation_scale_and_shift() -> None:
    points = np.array([[0, 0], [4, 0], [4, 3], [1, 7], [-2, 5]], float)
    matrix = np.array([[0.8, -0.6, 5.0], [0.6, 0.8, -3.0]]) * [[1.7, 1.7, 1.0]]
    target = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity(points, target), matrix, atol=1e-12)


def test_similarity_is_the_least_squares_fit() -> None:
    rng = np.random.default_rng(7)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    best = similarity(source, target)

    def error(matrix: np.ndarray) -> float:
        return float(((source @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())

    for _ in range(50):
        a, b, x, y = rng.normal(scale=0.05, size=4)
        assert error(best) <= error(best + np.array([[a, -b, x], [b, a, y]]))


def test_coinciding_points_have_no_similarity() -> None:
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), reference_points())


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.0, 9.0])
def test_aligning_brings_the_points_to_their_places_at_any_size(scale: float) -> None:
    side = round(112 * scale)
    points = (reference_points() + 0.5) * scale - 0.5
    image = np.zeros((side, side, 3), np.uint8)
    for x, y in points:
        low_x, low_y = round(x - 2 * scale), round(y - 2 * scale)
        image[low_y : low_y + round(4 * scale) + 1, low_x : low_x + round(4 * scale) + 1] = 255
    aligned = align(image, Face((0, 0, 1, 1), points.astype(np.float32), 1.0))
    assert aligned.shape == (112, 112, 3)
    for x, y in reference_points():
        assert aligned[round(y), round(x), 0] > 200
        assert aligned[round(y) - 6, round(x), 0] < 60


def test_a_large_face_is_averaged_down_not_sampled() -> None:
    checkers = (np.indices((1120, 1120)).sum(axis=0) % 2 * 255).astype(np.uint8)
    points = (reference_points() + 0.5) * 10 - 0.5
    aligned = align(np.dstack([checkers] * 3), Face((0, 0, 1, 1), points.astype(np.float32), 1.0))
    assert np.ptp(aligned[8:104, 8:104].astype(int)) <= 8
