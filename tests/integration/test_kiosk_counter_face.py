"""The live face beside the authority's photograph: what cannot be compared is no match."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PilImage

from edge.kiosk import counter_device
from edge.kiosk.counter_device import is_same_face
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.vision import Vision
from tests.support.authorities import face_of
from tests.support.scans import jpeg_of_scans
from verifield.jpeg import MAX_SCANS
from verifield_sim.portraits import load

OWNER, OTHER = "astronaut", "grace_hopper"
THRESHOLD = Policy().match.live_chip_photo


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


@pytest.mark.parametrize(("photo", "same"), [(OWNER, True), (OTHER, False)])
def test_a_face_is_that_of_the_photograph_or_it_is_not(vision: Vision, photo: str, same: bool) -> None:
    assert is_same_face(vision, load(OWNER), face_of(photo), threshold=THRESHOLD) is same


def test_a_photograph_that_is_none_is_no_match(vision: Vision) -> None:
    for photo in (b"", b"no picture", b"\xff\xd8\xff\xe0broken", face_of(OWNER)[:400]):
        assert not is_same_face(vision, load(OWNER), photo, threshold=THRESHOLD)


def test_a_photograph_that_would_take_long_to_decode_is_no_match(vision: Vision) -> None:
    picture = PilImage.open(io.BytesIO(face_of(OWNER)))
    for scans, same in ((MAX_SCANS, True), (MAX_SCANS + 1, False)):
        photo = jpeg_of_scans(scans, picture)
        assert is_same_face(vision, load(OWNER), photo, threshold=THRESHOLD) is same


def test_a_photograph_without_a_face_and_one_too_large_are_no_match(
    vision: Vision, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = np.full((480, 640, 3), 128, np.uint8)
    assert not is_same_face(vision, wall, face_of(OWNER), threshold=THRESHOLD)
    monkeypatch.setattr(counter_device, "MAX_PHOTO_PIXELS", 100)
    assert not is_same_face(vision, load(OWNER), face_of(OWNER), threshold=THRESHOLD)
