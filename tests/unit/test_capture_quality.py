from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.capture.choose import choose_portrait
from edge.capture.detector import YuNetDetector
from edge.capture.pictures import read_picture
from edge.capture.quality import assess, crowd
from edge.model import Face, Image, Prompt, QualityComponent
from edge.models.store import ModelStore
from edge.policy import QualityPolicy
from edge.texts import PROMPTS, QUALITY_REASONS
from tests.support.faces import PORTRAITS, face, portrait, shared_pictures

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
    assert len({item.name for item in components}) == len(components) == 16


def darker(image: Image) -> Image:
    return (image * 0.1).astype(np.uint8)


def brighter(image: Image) -> Image:
    return np.maximum(image, 235)


def flatter(image: Image) -> Image:
    return (image * 0.05 + 110).astype(np.uint8)


def softer(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 6), np.uint8)


def shaded(image: Image, found: Face) -> Image:
    """One half of the face in the shade."""
    middle = float(found.points[2, 0])
    share = 0.25 + 0.75 / (1 + np.exp((np.arange(image.shape[1]) - middle) / (0.1 * found.inter_eye)))
    return (image * share[None, :, None]).astype(np.uint8)


def grey(image: Image) -> Image:
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


def tinted(*gains: float) -> Callable[[Image], Image]:
    return lambda image: np.clip(image * np.array(gains), 0, 255).astype(np.uint8)


def covered(image: Image, found: Face, *, upon: str) -> Image:
    """A dark lens on each eye, a mask, or a hand, turned with the face."""
    along = (found.points[1] - found.points[0]) / found.inter_eye
    down = np.array([-along[1], along[0]])
    eyes, mouth = found.points[:2].mean(axis=0), found.points[3:].mean(axis=0)
    skin = image[tuple(np.round(found.points[2] + along * 0.4 * found.inter_eye).astype(int)[::-1])].tolist()
    parts = {
        "dark lenses": [(point, 0.38, 0.3, [25, 22, 22]) for point in found.points[:2]],
        "one eye": [(found.points[0], 0.4, 0.32, skin)],
        "hand on the eyes": [(eyes, 1.0, 0.32, skin)],
        "mask": [(mouth, 0.95, 0.6, [215, 195, 170])],
        "dark mask": [(mouth, 0.95, 0.6, [35, 30, 30])],
        "hand on the mouth": [(mouth, 0.8, 0.42, skin)],
    }[upon]
    result = image.copy()
    for centre, across, high, colour in parts:
        corners = [
            centre + found.inter_eye * (x * across * along + y * high * down)
            for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [np.round(corners).astype(np.int32)], 255)
        grain = np.random.default_rng(1).normal(0, 4, image.shape)
        result[mask > 0] = np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)[mask > 0]
    return np.asarray(cv2.GaussianBlur(result, (0, 0), 0.5), np.uint8)


EYES, MOUTH = "eyes_visible", "mouth_occlusion_prevention"
COVERS = [
    ("dark lenses", EYES, "EYES_COVERED"),
    ("one eye", EYES, "EYES_COVERED"),
    ("hand on the eyes", EYES, "EYES_COVERED"),
    ("mask", MOUTH, "MOUTH_COVERED"),
    ("dark mask", MOUTH, "MOUTH_COVERED"),
    ("hand on the mouth", MOUTH, "MOUTH_COVERED"),
]


@pytest.mark.req("E006")
@pytest.mark.parametrize(("upon", "name", "reason"), COVERS)
def test_what_covers_eyes_or_mouth_is_named(
    sample: tuple[Image, Face], upon: str, name: str, reason: str
) -> None:
    image, found = sample
    before, after = component(image, found, name), component(covered(image, found, upon=upon), found, name)
    assert after.value < before.value
    assert (before.passed, after.passed, after.reason) == (True, False, reason)
    assert after.advice is Prompt.UNCOVER_FACE
    other = MOUTH if name == EYES else EYES
    assert component(covered(image, found, upon=upon), found, other).passed, "only what is covered is named"


def with_glasses(image: Image, found: Face) -> Image:
    """Frames around both eyes and a bridge, with a reflection in each lens."""
    result = image.copy()
    for x, y in found.points[:2]:
        centre = (round(float(x)), round(float(y)))
        axes = (round(0.36 * found.inter_eye), round(0.27 * found.inter_eye))
        cv2.ellipse(result, centre, axes, 0, 0, 360, (30, 25, 25), max(2, round(0.06 * found.inter_eye)))
        glint = (centre[0] + axes[0] // 3, centre[1] - axes[1] // 3)
        cv2.circle(result, glint, max(1, round(0.05 * found.inter_eye)), (240, 240, 240), -1)
    return result


def with_beard(image: Image, found: Face) -> Image:
    """Dark hair from the cheeks to the chin, around the lips."""
    mouth = found.points[3:].mean(axis=0)
    axes = (round(0.75 * found.inter_eye), round(0.6 * found.inter_eye))
    centre = (round(float(mouth[0])), round(float(mouth[1] + 0.1 * found.inter_eye)))
    hair = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(hair, centre, axes, 0, 0, 360, 255, -1)
    lips = (round(float(mouth[0])), round(float(mouth[1])))
    cv2.ellipse(hair, lips, (round(0.3 * found.inter_eye), round(0.12 * found.inter_eye)), 0, 0, 360, 0, -1)
    strands = np.random.default_rng(2).normal(0, 14, image.shape[:2])[..., None]
    dark = np.clip(image * 0.35 + strands, 0, 255).astype(np.uint8)
    return np.where(hair[..., None] > 0, dark, image).astype(np.uint8)


@pytest.mark.parametrize("wear", [with_glasses, with_beard])
def test_glasses_and_beards_are_no_covers(
    sample: tuple[Image, Face], wear: Callable[[Image, Face], Image]
) -> None:
    image, found = sample
    worn = wear(image, found)
    assert component(worn, found, EYES).passed
    assert component(worn, found, MOUTH).passed


def test_real_faces_are_rarely_called_covered_and_covered_ones_are_caught(model_store: ModelStore) -> None:
    """The figures of docs/cameras.md, on development data."""
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    wrong = looked = 0
    caught = dict.fromkeys((upon for upon, *_ in COVERS), 0)
    for path in list(shared_pictures("faces/lfw-dev"))[::15]:
        image = read_picture(path)
        found = choose_portrait(detector.detect(image), image.shape[:2])
        if found is None:
            continue
        looked += 1
        parts = [part for part in assess(image, found, POLICY) if part.name in (EYES, MOUTH)]
        wrong += not all(part.passed for part in parts)
        for upon, name, _ in COVERS:
            caught[upon] += not component(covered(image, found, upon=upon), found, name).passed
    assert looked > 90
    assert wrong <= 0.01 * looked
    assert all(count >= 0.9 * looked for count in caught.values()), caught


@pytest.mark.req("E006")
def test_a_face_in_the_shade_on_one_side(sample: tuple[Image, Face]) -> None:
    image, found = sample
    before = component(image, found, "illumination_uniformity")
    after = component(shaded(image, found), found, "illumination_uniformity")
    assert after.value < before.value
    assert (after.reason, after.advice) == ("UNEVEN_LIGHT", Prompt.MORE_LIGHT)


@pytest.mark.req("E006")
def test_a_face_at_the_edge_or_too_near(sample: tuple[Image, Face]) -> None:
    image, found = sample
    x, y, width, height = found.box
    cut = np.ascontiguousarray(image[:, : round(x + 0.8 * width)])
    item = component(cut, found, "crop_of_the_face")
    assert item.value == pytest.approx(0.8, abs=0.02)
    assert (item.reason, item.advice) == ("FACE_CROPPED", Prompt.MOVE_TO_MIDDLE)
    close = np.ascontiguousarray(image[:, round(x) : round(x + width)])
    points = (found.points - np.array([round(x), 0])).astype(np.float32)
    near = component(close, Face((0.0, y, width, height), points, found.score), "head_size")
    assert near.value > component(image, found, "head_size").value
    assert (near.reason, near.advice) == ("FACE_TOO_LARGE", Prompt.MOVE_BACK)


@pytest.mark.req("E006")
@pytest.mark.parametrize(("shift", "passes"), [(0, True), (9, False), (-9, False), (4, True), (-4, True)])
def test_pitch_has_its_limit_up_and_down(shift: float, passes: bool) -> None:
    level = face(scale=3)
    points = level.points.copy()
    points[2, 1] += 2 * shift  # a nod moves the tip of the nose between eyes and mouth
    item = component(SCENE, Face(level.box, points, 0.9), "head_pose_pitch")
    straight = component(SCENE, level, "head_pose_pitch").value
    assert (item.value - straight) * shift >= 0
    assert item.passed is passes
    assert item.reason == ("" if passes else "HEAD_NODDED")


def test_every_reason_and_advice_has_its_words(sample: tuple[Image, Face]) -> None:
    """All limits set so that nothing passes."""
    nothing = QualityPolicy(
        **{
            item.name: -1e9 if item.name.startswith("max") else 1e9
            for item in dataclasses.fields(QualityPolicy)
        }
    )
    failed = [*assess(*sample, nothing), crowd(2)]
    assert {part.reason for part in failed} == set(QUALITY_REASONS)
    for part in failed:
        assert not part.passed
        assert part.advice is not None
        assert set(PROMPTS[part.advice]) == set(QUALITY_REASONS[part.reason]) == {"zh", "es", "en"}


@pytest.mark.req("E006")
@pytest.mark.parametrize(
    ("degrade", "name", "reason", "advice", "direction"),
    [
        (grey, "natural_colour_presence", "NO_COLOUR", Prompt.MORE_LIGHT, -1),
        (tinted(1.0, 0.45, 0.35), "natural_colour", "COLOUR_CAST", Prompt.PLAIN_LIGHT, 1),
        (tinted(0.5, 1.0, 0.45), "natural_colour", "COLOUR_CAST", Prompt.PLAIN_LIGHT, 1),
        (darker, "under_exposure_prevention", "TOO_DARK", Prompt.MORE_LIGHT, -1),
        (brighter, "over_exposure_prevention", "TOO_BRIGHT", Prompt.LESS_LIGHT, 1),
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


@pytest.mark.req("E006")
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


@pytest.mark.req("E006")
@pytest.mark.parametrize("degrees", [24.9, -24.9, 25.1, -25.1])
def test_roll_has_its_limit_to_both_sides(degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D((150, 150), -degrees, 1)
    level = face(scale=3)
    points = (level.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    item = component(SCENE, Face(level.box, points, 0.9), "head_pose_roll")
    assert item.value == pytest.approx(abs(degrees), abs=0.01)
    assert item.passed == (abs(degrees) < 25)
    assert item.advice is (None if item.passed else Prompt.LOOK_STRAIGHT)
