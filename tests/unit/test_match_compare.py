from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from edge.compare import Comparison, compare_files
from edge.errors import ExitCode, InputError
from edge.model import Image
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.vision import Vision
from tests.support.faces import PORTRAITS, as_chip_photo, portrait, portrait_path

POLICY = Policy()


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=2)


def compared(vision: Vision, first: Path, second: Path) -> Comparison:
    return compare_files(first, second, detector=vision.detector, embedder=vision.embedder, policy=POLICY)


def saved(path: Path, image: Image) -> Path:
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.req("E020")
def test_two_pictures_of_one_person_match(vision: Vision, tmp_path: Path) -> None:
    other = saved(tmp_path / "b.jpg", portrait("astronaut")[10:300, 60:330])
    answer = compared(vision, portrait_path("astronaut"), other).to_json()
    assert answer["decision"] == "MATCH"
    assert answer["score"] >= answer["threshold"] == POLICY.match.live_live.threshold
    assert answer["fmr"] == POLICY.match.live_live.false_match_rate
    assert answer["model"] == "sface-int8bq"
    assert [item["picture"] for item in answer["faces"]] == [[512, 512], [270, 290]]
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.req("E020")
def test_two_people_do_not(vision: Vision) -> None:
    comparison = compared(vision, *map(portrait_path, PORTRAITS))
    assert comparison.to_json()["decision"] == "NO_MATCH"
    assert not comparison.result.matched


def test_a_picture_of_the_chips_size_is_judged_in_its_own_domain(vision: Vision, tmp_path: Path) -> None:
    image = portrait("grace_hopper")
    chip = saved(tmp_path / "chip.png", as_chip_photo(image, vision.detect(image)[0]))
    answer = compared(vision, chip, portrait_path("grace_hopper")).to_json()
    assert (answer["decision"], answer["domain"]) == ("MATCH", "live/chip_photo")
    assert answer["threshold"] == POLICY.match.live_chip_photo.threshold
    assert [item["chip_photo"] for item in answer["faces"]] == [True, False]


def test_the_cameras_orientation_does_not_matter(vision: Vision, tmp_path: Path) -> None:
    lying = np.ascontiguousarray(np.rot90(portrait("astronaut"))[:, :, ::-1])
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.fromarray(lying).save(tmp_path / "lying.jpg", exif=exif)
    assert compared(vision, tmp_path / "lying.jpg", portrait_path("astronaut")).result.score > 0.9


def two_people() -> Image:
    return np.hstack([cv2.resize(portrait(name), (400, 440)) for name in PORTRAITS]).astype(np.uint8)


@pytest.mark.req("E020")
@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty_room.png", np.full((300, 300, 3), 120, np.uint8), "NO_FACE"),
        ("crowd.png", two_people(), "MULTIPLE_FACES"),
        ("notes.txt", b"no picture", "NOT_A_PICTURE"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_file_that_cannot_be_judged_is_named(
    vision: Vision, tmp_path: Path, name: str, content: Image | bytes, code: str, place: int
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        saved(path, content)
    files = [portrait_path("astronaut")]
    files.insert(place, path)
    with pytest.raises(InputError) as caught:
        compared(vision, *files)
    assert caught.value.code == code
    assert caught.value.exit_code is ExitCode.INPUT
    assert name in caught.value.message
    assert caught.value.hint
