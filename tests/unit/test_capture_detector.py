from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.capture.detector import YuNetDetector, decode, overlaps, suppress
from edge.model import Face, Image
from edge.models.store import ModelStore
from tests.support.faces import PORTRAITS, portrait


@pytest.fixture(scope="module")
def yunet(model_store: ModelStore) -> Path:
    return model_store.path("yunet-int8bq")


@pytest.fixture(scope="module")
def detector(yunet: Path) -> YuNetDetector:
    return YuNetDetector.open(yunet, threads=1)


@pytest.fixture(scope="module")
def published(yunet: Path) -> Path:
    return yunet.parent.parent / "published" / "face_detection_yunet_2023mar_int8bq.onnx"


def two_people() -> Image:
    """Both portraits side by side, on a canvas whose sides are no multiple of 32."""
    left, right = (cv2.resize(portrait(name), (300, 340)) for name in PORTRAITS)
    canvas = np.zeros((350, 611, 3), np.uint8)
    canvas[5:345, 4:304], canvas[5:345, 307:607] = left, right
    return canvas


PICTURES = {name: portrait(name) for name in PORTRAITS} | {"two": two_people()}


def iou(one: Face, box: np.ndarray) -> float:
    return float(overlaps(np.array(one.box, np.float32), box[None].astype(np.float32))[0])


@pytest.mark.req("E004")
@pytest.mark.parametrize("name", PICTURES)
def test_it_finds_what_opencv_finds_with_the_published_model(
    detector: YuNetDetector, published: Path, name: str
) -> None:
    image = PICTURES[name]
    size = (image.shape[1], image.shape[0])
    oracle = cv2.FaceDetectorYN.create(str(published), "", size, 0.6, 0.3, 5000)
    rows = oracle.detect(image)[1]
    found = detector.detect(image)
    assert len(found) == len(rows) == (2 if name == "two" else 1)
    for row in rows:
        best = max(found, key=lambda item: iou(item, row[:4]))
        assert iou(best, row[:4]) > 0.9
        np.testing.assert_allclose(best.points, row[4:14].reshape(5, 2), atol=2.0)
        assert best.score == pytest.approx(float(row[14]), abs=0.02)


@pytest.mark.req("E004")
def test_a_large_picture_is_searched_at_a_bounded_size_and_answered_in_its_own_pixels(yunet: Path) -> None:
    small = portrait("astronaut")
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    detector = YuNetDetector.open(yunet, threads=1, long_side=512)
    one, other = detector.detect(small)[0], detector.detect(large)[0]
    assert iou(one, np.array(other.box) / 4) > 0.9
    np.testing.assert_allclose(other.points / 4, one.points, atol=2.0)


def test_the_points_lie_as_on_a_face(detector: YuNetDetector) -> None:
    (found,) = detector.detect(portrait("grace_hopper"))
    eye, other_eye, nose, mouth, other_mouth = found.points
    assert eye[0] < nose[0] < other_eye[0]
    assert mouth[0] < other_mouth[0]
    assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])


@pytest.mark.parametrize("shape", [(480, 640), (33, 31), (1, 1), (7, 900), (2000, 10)])
def test_an_empty_scene_of_any_size_has_no_face(detector: YuNetDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_decoding_places_a_cell_in_the_picture() -> None:
    cells = 12  # 4 across, 3 down
    cls, obj = np.zeros((1, cells, 1), np.float32), np.ones((1, cells, 1), np.float32)
    cls[0, 6, 0] = 0.81
    bbox, kps = np.zeros((1, cells, 4), np.float32), np.zeros((1, cells, 10), np.float32)
    bbox[0, 6] = [0.5, 0.25, np.log(2), np.log(4)]
    kps[0, 6, :2] = [0.125, 0.5]
    scores, boxes, points = decode(cls, obj, bbox, kps, stride=8, columns=4)
    np.testing.assert_allclose(scores, [0.9], rtol=1e-6)
    np.testing.assert_allclose(boxes, [[12, -6, 16, 32]], rtol=1e-6)  # centre (20, 10)
    np.testing.assert_allclose(points[0, 0], [17, 12])


def test_suppression_keeps_the_best_of_each_cluster() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [30, 0, 10, 10], [0, 5.5, 10, 10]], np.float32)
    scores = np.array([0.7, 0.9, 0.8, 0.65], np.float32)
    assert suppress(scores, boxes) == [1, 2]
    assert suppress(np.zeros(0, np.float32), np.zeros((0, 4), np.float32)) == []


def test_overlap_of_known_boxes() -> None:
    box = np.array([0, 0, 2, 2], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 2, 2], [2, 2, 1, 1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(overlaps(box, others), [1, 1 / 3, 0, 0], rtol=1e-6)
