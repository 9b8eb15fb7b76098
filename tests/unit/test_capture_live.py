"""Faces of a camera's picture: the same people as in a full search, at a third of the time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.capture.choose import Chosen, MultipleFaces, NoFace, choose_face
from edge.capture.detector import overlaps
from edge.capture.live import LiveDetector
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.vision import Vision
from tests.support.faces import PORTRAITS, portrait, shared_folder


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


def scene(*people: tuple[str, float, tuple[int, int]], size: tuple[int, int] = (480, 640)) -> Image:
    """People (name, scale, left upper corner) in a grey room."""
    room = np.full((*size, 3), 110, np.uint8)
    for name, scale, (left, top) in people:
        cut = cv2.resize(portrait(name)[:300, 60:400], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        part = room[top : top + cut.shape[0], left : left + cut.shape[1]]
        part[:] = cut[: part.shape[0], : part.shape[1]]
    return room


def iou(one: Face, other: Face) -> float:
    return float(overlaps(np.array(one.box, np.float32), np.array([other.box], np.float32))[0])


@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("scale", [0.55, 0.8, 0.95])
@pytest.mark.parametrize("corner", [(0, 0), (150, 60), (300, 100)])
def test_it_finds_the_person_that_a_full_search_finds(
    vision: Vision, name: str, scale: float, corner: tuple[int, int]
) -> None:
    image = scene((name, scale, corner))
    full, live = (choose_face(find(image), (480, 640)) for find in (vision.detect, vision.watch))
    assert isinstance(full, Chosen)
    assert isinstance(live, Chosen)
    assert iou(full.face, live.face) > 0.7
    assert np.abs(full.face.points - live.face.points).mean() < 0.15 * full.face.inter_eye
    one, other = (vision.embed(image, face).vector for face in (full.face, live.face))
    assert float(one @ other) > 2 * Policy().match.live_live.threshold


def test_two_people_are_two(vision: Vision) -> None:
    image = scene(("astronaut", 0.8, (10, 60)), ("grace_hopper", 0.65, (330, 60)))
    assert choose_face(vision.watch(image), (480, 640)) == MultipleFaces(2)


def test_an_empty_room_is_empty(vision: Vision) -> None:
    assert choose_face(vision.watch(scene()), (480, 640)) == NoFace()


class Recording:
    """A detector that remembers how large the pictures were."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision
        self.sizes: list[tuple[int, ...]] = []

    def detect(self, image: Image) -> list[Face]:
        self.sizes.append(image.shape[:2])
        return self._vision.detect(image)


@pytest.mark.parametrize(
    ("image", "sizes"),
    [
        (scene(("astronaut", 1.2, (150, 60))), [(240, 320), (288, 288)]),
        (scene(("astronaut", 0.6, (300, 200))), [(240, 320), (288, 288)]),
        (scene(), [(240, 320), (480, 640)]),
        (scene(("astronaut", 0.8, (0, 0)), size=(240, 320)), [(240, 320)]),
    ],
    ids=["near", "farther away", "nobody", "a small camera"],
)
def test_no_more_is_searched_than_needed(vision: Vision, image: Image, sizes: list[tuple[int, int]]) -> None:
    recording = Recording(vision)
    LiveDetector(recording).detect(image)  # type: ignore[arg-type]
    assert len(recording.sizes) == len(sizes)
    for seen, expected in zip(recording.sizes, sizes, strict=True):
        assert np.abs(np.array(seen) - expected).max() <= 40


def test_only_the_first_look_may_be_a_quick_one(vision: Vision) -> None:
    """Points come from the exact search, and so does the answer that nobody is there."""
    quick, exact = Recording(vision), Recording(vision)
    live = LiveDetector(exact, finder=quick)  # type: ignore[arg-type]
    live.detect(scene(("astronaut", 1.2, (150, 60))))
    live.detect(scene())
    assert quick.sizes == [(240, 320), (240, 320)]
    assert exact.sizes == [(288, 288), (480, 640)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (480, 640), (1080, 1920)])
def test_pictures_of_any_size_are_searched(vision: Vision, shape: tuple[int, int]) -> None:
    assert vision.watch(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_skull_on_a_shirt_does_not_win_in_a_small_picture_either(vision: Vision) -> None:
    """As tests/unit/test_capture_choose.py has it for the full search; the clips are development data."""
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
            choice = choose_face(vision.watch(np.asarray(frame, np.uint8)), frame.shape[:2])
            if isinstance(choice, Chosen):
                chosen += 1
                _, y, _, height = choice.face.box
                assert y + height / 2 < 200  # the wearer's head is in the upper half
        clip.release()
    assert chosen > 20
