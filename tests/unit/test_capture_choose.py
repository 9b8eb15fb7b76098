from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.capture.choose import (
    COMPARABLE_SIZE,
    MIN_PORTRAIT_SCORE,
    MIN_SCORE,
    Chosen,
    MultipleFaces,
    NoFace,
    choose_face,
    choose_portrait,
)
from edge.capture.detector import YuNetDetector
from edge.model import Face
from edge.models.store import ModelStore
from tests.support.faces import face, shared_folder, turned

SIZE = (480, 640)
PERSON = face(scale=3, at=(100, 50))


def moved(original: Face, index: int, x: float, y: float) -> Face:
    points = original.points.copy()
    points[index] += np.array([x, y], np.float32)
    return Face(original.box, points, original.score)


def test_one_person_is_chosen_and_nobody_is_said() -> None:
    assert choose_face([PERSON], SIZE) == Chosen(PERSON)
    assert choose_face([], SIZE) == NoFace()


def test_two_people_of_comparable_size_stop_the_capture() -> None:
    other = face(scale=3 * COMPARABLE_SIZE + 0.01, at=(400, 100))
    assert choose_face([PERSON, other], SIZE) == MultipleFaces(2)
    assert choose_face([other, PERSON], SIZE) == MultipleFaces(2)


def test_a_small_face_in_the_background_is_ignored() -> None:
    passer_by = face(scale=3 * COMPARABLE_SIZE - 0.01, at=(400, 100), score=0.99)
    assert choose_face([passer_by, PERSON], SIZE) == Chosen(PERSON)


def test_a_turned_head_keeps_its_place_against_a_smaller_frontal_one() -> None:
    points = face(scale=3, at=(100, 50)).points.copy()
    points[:, 0] = 250 + (points[:, 0] - 250) * 0.6
    points[2, 0] += 10
    head = Face(PERSON.box, points, 0.85)
    assert choose_face([face(at=(400, 100)), head], SIZE) == Chosen(head)


@pytest.mark.parametrize(
    "odd",
    [
        face(scale=3, score=MIN_SCORE - 0.01),
        face(scale=0.39),  # eyes under 8 pixels apart
        turned(PERSON, 61),
        turned(PERSON, -61),
        turned(PERSON, 180),
        face(scale=3, nose_shift=16.1),
        face(scale=3, at=(800, 50)),  # the centre is outside
        moved(PERSON, 2, 0, 60),  # nose below the mouth
        moved(PERSON, 2, 0, -30),  # nose above the eyes
        moved(PERSON, 1, -56, 0),  # eyes four pixels apart
        moved(moved(PERSON, 3, 0, 80), 4, 0, 80),  # mouth far below
        moved(PERSON, 4, -48, 0),  # mouth corners on one point
    ],
)
def test_what_does_not_lie_as_a_face_is_nobody(odd: Face) -> None:
    assert choose_face([odd], SIZE) == NoFace()
    assert choose_face([odd, PERSON], SIZE) == Chosen(PERSON)


@pytest.mark.parametrize(
    "head",
    [face(scale=3, score=MIN_SCORE), face(scale=0.41), turned(PERSON, 59), face(scale=3, nose_shift=15.9)],
)
def test_just_inside_the_limits_is_a_person(head: Face) -> None:
    assert choose_face([head], SIZE) == Chosen(head)


def test_a_cards_portrait_shows_its_largest_face_and_may_be_less_clear() -> None:
    dim = face(scale=3, score=MIN_PORTRAIT_SCORE)
    watermark = face(scale=2, at=(300, 50), score=0.9)
    assert choose_portrait([watermark, dim], SIZE) is dim
    assert choose_portrait([face(scale=3, score=MIN_PORTRAIT_SCORE - 0.01), turned(dim, 180)], SIZE) is None


def test_a_skull_on_a_shirt_never_wins_over_its_wearer(model_store: ModelStore) -> None:
    """A step towards E005; the clips are development data."""
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    folder = shared_folder("videos/intel-webcam")
    chosen = 0
    for name in ("eat", "sister", "want"):
        clip = cv2.VideoCapture(str(folder / f"{name}.mkv"))
        while clip.grab():
            for _ in range(4):
                clip.grab()
            there, frame = clip.read()
            if not there:
                break
            choice = choose_face(detector.detect(np.asarray(frame, np.uint8)), frame.shape[:2])
            if isinstance(choice, Chosen):
                chosen += 1
                _, y, _, height = choice.face.box
                assert y + height / 2 < 200  # the wearer's head is in the upper half
        clip.release()
    assert chosen > 20
