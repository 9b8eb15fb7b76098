from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.capture.align import align
from edge.errors import SetupError
from edge.match.embedder import SFaceEmbedder
from edge.match.score import match
from edge.model import Embedding, Face, Image
from edge.models.store import ModelStore
from edge.policy import MatchPolicy
from edge.vision import Vision
from tests.support.faces import PORTRAITS, portrait

LIVE = MatchPolicy().live_live


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=2)


def template(vision: Vision, image: Image) -> Embedding:
    return vision.embed(image, vision.detect(image)[0])


def cosine(one: Embedding, other: Embedding) -> float:
    return match(one, other, threshold=LIVE, domain="live/live").score


def test_a_template_is_a_unit_vector_that_names_its_model(vision: Vision, model_store: ModelStore) -> None:
    found = template(vision, portrait("astronaut"))
    assert found.vector.shape == (128,)
    assert found.vector.dtype == np.float32
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-6)
    assert found.model_sha256 == model_store.entry("sface-int8bq").sha256


def test_a_batch_equals_one_by_one(vision: Vision) -> None:
    faces = [align(image, vision.detect(image)[0]) for image in map(portrait, PORTRAITS)]
    batch = vision.embedder.embed_batch([*faces, faces[0]])
    assert len(batch) == 3
    for together, alone in zip(batch, [*faces, faces[0]], strict=True):
        np.testing.assert_allclose(together.vector, vision.embedder.embed(alone).vector, atol=1e-5)
    assert vision.embedder.embed_batch([]) == []


@pytest.mark.parametrize("shape", [(112, 112), (112, 111, 3), (224, 224, 3), (112, 112, 4)])
def test_only_aligned_faces_are_embedded(vision: Vision, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="112x112x3"):
        vision.embedder.embed(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("name", PORTRAITS)
def test_templates_agree_with_opencv(vision: Vision, model_store: ModelStore, name: str) -> None:
    oracle = cv2.FaceRecognizerSF.create(str(model_store.path("sface-int8bq")), "")
    image = portrait(name)
    aligned = oracle.alignCrop(image, as_row(vision.detect(image)[0]))
    reference = oracle.feature(aligned)[0]
    reference /= np.linalg.norm(reference)
    assert float(reference @ vision.embedder.embed(aligned).vector) > 0.9995


def test_alignment_agrees_with_opencv_where_nothing_is_averaged(
    vision: Vision, model_store: ModelStore
) -> None:
    oracle = cv2.FaceRecognizerSF.create(str(model_store.path("sface-int8bq")), "")
    image = portrait("astronaut")
    found = vision.detect(image)[0]
    difference = oracle.alignCrop(image, as_row(found)).astype(int) - align(image, found)
    assert np.abs(difference).max() <= 2


def as_row(found: Face) -> np.ndarray:
    return np.array([[*found.box, *found.points.ravel(), found.score]], np.float32)


CHANGES = {
    "darker": lambda image: (image * 0.35).astype(np.uint8),
    "brighter": lambda image: np.clip(image * 1.5 + 20.0, 0, 255).astype(np.uint8),
    "warm light": lambda image: np.clip(image * [0.7, 0.95, 1.2], 0, 255).astype(np.uint8),
    "half size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "double size": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "cropped": lambda image: np.ascontiguousarray(image[20:420, 110:420]),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "tilted": lambda image: cv2.warpAffine(image, cv2.getRotationMatrix2D((240, 180), 15, 1), (512, 512)),
    "soft": lambda image: cv2.GaussianBlur(image, (0, 0), 2),
    "grey": lambda image: np.dstack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)] * 3),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PORTRAITS)
def test_the_same_person_matches_under_other_light_size_and_cut(
    vision: Vision, name: str, change: str
) -> None:
    image = portrait(name)
    changed = np.asarray(CHANGES[change](image), np.uint8)
    assert cosine(template(vision, image), template(vision, changed)) >= LIVE.threshold


@pytest.mark.parametrize("change", CHANGES)
def test_another_person_does_not(vision: Vision, change: str) -> None:
    changed = np.asarray(CHANGES[change](portrait("grace_hopper")), np.uint8)
    score = cosine(template(vision, portrait("astronaut")), template(vision, changed))
    assert score < LIVE.threshold - 0.1


def test_vision_needs_its_models(tmp_path: object, model_store: ModelStore) -> None:
    with pytest.raises(SetupError) as caught:
        Vision.open(ModelStore.open(tmp_path), threads=1)
    assert caught.value.code == "MODEL_MISSING"


def test_an_opened_embedder_names_what_it_was_told(model_store: ModelStore) -> None:
    path = model_store.path("sface-int8bq")
    embedder = SFaceEmbedder.open(path, model_name="n", model_sha256="f" * 64, threads=1)
    found = embedder.embed(np.full((112, 112, 3), 90, np.uint8))
    assert (found.model_name, found.model_sha256) == ("n", "f" * 64)
