from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.capture.detector import YuNetDetector
from edge.capture.quality import assess
from edge.model import Face, Image, Prompt, QualityComponent
from edge.models.store import ModelStore
from edge.policy import QualityPolicy
from tests.support.faces import PORTRAITS, face, portrait

POLICY = QualityPolicy()


@pytest.fixture(scope="module", params=PORTRAITS)
def sample(request: pytest.FixtureRequest, model_store: ModelStore) -> tuple[Image, Face]:
    image = portrait(request.param)
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    return image, detector.detect(image)[0]


def component(image: Image, found: Face, name: str) -> QualityComponent:
    return next(item for item in assess(image, found, POLICY) if item.name == name)


def test_a_good_portrait_passes_every_component(sample: tuple[Image, Face]) -> None:
    components = assess(*sample, POLICY)
    assert all(item.passed and not item.reason and item.advice is None for item in components)
    assert len({item.name for item in components}) == len(components) == 8


def darker(image: Image) -> Image:
    return (image * 0.1).astype(np.uint8)


def brighter(image: Image) -> Image:
    return np.maximum(image, 235)


def flatter(image: Image) -> Image:
    return (image * 0.05 + 110).astype(np.uint8)


def softer(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 6), np.uint8)


@pytest.mark.parametrize(
    ("degrade", "name", "reason", "advice", "direction"),
    [
        (darker, "under_exposure_prevention", "TOO_DARK", Prompt.MORE_LIGHT, -1),
        (brighter, "over_exposure_prevention", "TOO_BRIGHT", Prompt.MOVE_BACK, 1),
        (flatter, "contrast", "LOW_CONTRAST", Prompt.MORE_LIGHT, -1),
        (softer, "sharpness", "BLURRED", Prompt.HOLD_STILL, -1),
    ],
)
def test_a_degraded_picture_fails_its_component(
    sample: tuple[Image, Face],
    degrade: Callable[[Image], Image],
    name: str,
    reason: str,
    advice: Prompt,
    direction: int,
) -> None:
    image, found = sample
    before, after = component(image, found, name), component(degrade(image), found, name)
    assert (after.value - before.value) * direction > 0
    assert (after.passed, after.reason, after.advice) == (False, reason, advice)


SCENE = np.random.default_rng(3).integers(60, 200, (400, 400, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("passing", "failing", "name", "reason"),
    [
        (face(scale=2.0), face(scale=1.99), "inter_eye_distance", "FACE_TOO_SMALL"),
        (face(scale=3, nose_shift=5), face(scale=3, nose_shift=5.1), "head_pose_yaw", "HEAD_TURNED"),
        (face(scale=3, nose_shift=-5), face(scale=3, nose_shift=-5.1), "head_pose_yaw", "HEAD_TURNED"),
        (face(scale=3, score=0.7), face(scale=3, score=0.69), "detection_score", "FACE_UNCLEAR"),
    ],
)
def test_each_limit_of_the_face_holds_on_both_sides(
    passing: Face, failing: Face, name: str, reason: str
) -> None:
    assert component(SCENE, passing, name).passed
    assert component(SCENE, failing, name).reason == reason


@pytest.mark.parametrize("degrees", [24.9, -24.9, 25.1, -25.1])
def test_roll_has_its_limit_to_both_sides(degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D((150, 150), -degrees, 1)
    level = face(scale=3)
    points = (level.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    item = component(SCENE, Face(level.box, points, 0.9), "head_pose_roll")
    assert item.value == pytest.approx(abs(degrees), abs=0.01)
    assert item.passed == (abs(degrees) < 25)
    assert item.advice is (None if item.passed else Prompt.LOOK_STRAIGHT)
