from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from edge.capture.chip_photo import is_chip_photo, with_surroundings
from edge.capture.choose import Chosen, choose_face
from edge.capture.pictures import read_picture
from edge.errors import InputError
from edge.match.score import match
from edge.model import Image
from edge.models.store import ModelStore
from edge.policy import MatchPolicy
from edge.vision import Vision
from tests.support.faces import PORTRAITS, as_chip_photo, portrait, shared_pictures, squeezed

THRESHOLD = MatchPolicy().live_chip_photo


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=2)


def test_the_portrait_is_enlarged_and_its_edges_go_on_outwards() -> None:
    photo = np.zeros((126, 102, 3), np.uint8)
    photo[:, :51] = 200
    around = with_surroundings(photo)
    assert around.shape == (126 * 4 + 2 * 102, 102 * 4 + 2 * 102, 3)
    assert around[0, 0, 0] == around[-1, 0, 0] == 200
    assert around[0, -1, 0] == around[-1, -1, 0] == 0


def test_only_the_exact_size_is_a_chip_photo() -> None:
    assert is_chip_photo(np.zeros((126, 102, 3), np.uint8))
    assert not is_chip_photo(np.zeros((102, 126, 3), np.uint8))


@pytest.mark.req("E008")
@pytest.mark.parametrize("encoding", ["WEBP", "AVIF"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_portrait_of_one_kibibyte_is_found_and_matches_its_owner_alone(
    vision: Vision, name: str, grey: bool, encoding: str
) -> None:
    image = portrait(name)
    (found,) = vision.detect(image)
    live = vision.embed(image, found)
    source = as_grey(image) if grey else image
    chip = vision.embed_chip_photo(as_chip_photo(source, found, encoding=encoding))
    assert match(live, chip, threshold=THRESHOLD, domain="live/chip_photo").matched
    stranger = portrait(next(other for other in PORTRAITS if other != name))
    other = vision.embed(stranger, vision.detect(stranger)[0])
    assert not match(other, chip, threshold=THRESHOLD, domain="live/chip_photo").matched


@pytest.mark.req("E008")
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_whole_portrait_reduced_to_the_chips_size_is_found(vision: Vision, name: str) -> None:
    small = cv2.resize(portrait(name), (102, 126), interpolation=cv2.INTER_AREA)
    vision.embed_chip_photo(squeezed(np.asarray(small, np.uint8), encoding="WEBP"))


@pytest.mark.req("E008")
@pytest.mark.parametrize("folder", ["pad/bona-fide", "faces/lfw-dev"])
def test_every_usable_portrait_of_the_development_data_is_found(vision: Vision, folder: str) -> None:
    usable = 0
    for path in itertools.islice(shared_pictures(folder), 0, None, 25 if "lfw" in folder else 1):
        image = read_picture(path)
        choice = choose_face(vision.detect(image), image.shape[:2])
        if isinstance(choice, Chosen):
            usable += 1
            vision.embed_chip_photo(as_chip_photo(image, choice.face))
    assert usable >= 4


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_photo_without_a_face_is_said(vision: Vision, level: int) -> None:
    with pytest.raises(InputError) as caught:
        vision.embed_chip_photo(np.full((126, 102, 3), level, np.uint8))
    assert caught.value.code == "CHIP_PHOTO_NO_FACE"


def as_grey(image: Image) -> Image:
    return np.dstack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)] * 3).astype(np.uint8)
