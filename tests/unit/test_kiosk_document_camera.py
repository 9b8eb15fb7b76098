"""A document before the camera: what can be read is taken, what cannot is refused with its reason."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import EdgeConfig
from edge.errors import CameraLost, EdgeError, SetupError
from edge.kiosk import document_camera
from edge.kiosk.document_camera import (
    MAX_LONG_PX,
    MAX_PICTURE_BYTES,
    DocumentCamera,
    encode_document,
    judge_document,
)
from edge.kiosk.stream import Hub
from edge.model import CameraAssurance, Image
from tests.support.document_pictures import Scripted, blurred, page

WITHIN_S = 60.0


def code_of(picture: Image) -> str:
    try:
        judge_document(picture)
    except EdgeError as error:
        return error.code
    return ""


@pytest.mark.parametrize("size", [(640, 480), (1280, 960), (3840, 2160)])
def test_print_in_focus_is_taken_at_every_size_and_out_of_focus_at_none(size: tuple[int, int]) -> None:
    picture = page(*size)
    assert code_of(picture) == ""
    assert code_of(blurred(picture, 5.0 * size[0] / 1280)) == "DOCUMENT_BLURRED"


def test_a_form_with_little_on_it_is_a_document_and_an_empty_wall_is_none() -> None:
    assert code_of(page(lines=4)) == ""
    assert code_of(page(lines=0)) == "DOCUMENT_BLURRED"


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (page(480, 360), "DOCUMENT_TOO_SMALL"),
        (page(1280, 240), "DOCUMENT_TOO_SMALL"),
        ((page() * 0.12).astype(np.uint8), "DOCUMENT_TOO_DARK"),
        (np.full((960, 1280, 3), 252, np.uint8), "DOCUMENT_TOO_BRIGHT"),
    ],
)
def test_what_nobody_could_read_is_refused_with_its_reason(picture: Image, code: str) -> None:
    assert code_of(picture) == code


def test_a_picture_is_kept_small_enough_for_every_line() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (3000, 4000, 3), np.uint8)
    content = encode_document(noise)
    assert len(content) <= MAX_PICTURE_BYTES
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (MAX_LONG_PX * 3 // 4, MAX_LONG_PX, 3)


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., tuple[DocumentCamera, Scripted]]]:
    """Make a DocumentCamera that shows a script for ever."""
    cameras: list[DocumentCamera] = []

    def make(
        *script: Image | CameraLost,
        wanted: Callable[[], bool] = lambda: True,
        assurance: CameraAssurance = CameraAssurance.HOST,
        **settings: bool,
    ) -> tuple[DocumentCamera, Scripted]:
        source = Scripted(itertools.cycle(script), assurance)
        monkeypatch.setattr(document_camera, "open_camera", lambda *_, **__: source)
        camera = DocumentCamera(EdgeConfig(data_dir=tmp_path, **settings), Hub("en"))  # type: ignore[arg-type]
        cameras.append(camera)
        camera.open(wanted)
        return camera, source

    yield make
    for camera in cameras:
        camera.close()


Opened = Callable[..., tuple[DocumentCamera, Scripted]]


def test_the_sharpest_of_the_next_frames_is_taken(opened: Opened) -> None:
    sharp, soft = page(640, 480), blurred(page(640, 480), 4)
    camera, _ = opened(soft, soft, sharp, soft, soft)
    for _ in range(3):
        assert np.array_equal(camera.take(), sharp)


def test_the_camera_is_open_as_long_as_its_page_wants_it(opened: Opened) -> None:
    here = threading.Event()
    here.set()
    camera, source = opened(page(640, 480), wanted=here.is_set)
    camera.take()
    assert not source.closed.is_set()
    here.clear()
    assert source.closed.wait(WITHIN_S)
    with pytest.raises(EdgeError) as refused:
        camera.take()
    assert refused.value.code == "CAMERA_CLOSED"


def test_a_camera_that_is_away_says_so_and_goes_on_when_it_is_back(opened: Opened) -> None:
    away = CameraLost("CAMERA_LOST", "The camera gives no pictures.")
    camera, _ = opened(away)
    with pytest.raises(CameraLost):
        camera.take()
    camera, source = opened(*[away] * 3, *[page(640, 480)] * 40)
    until = time.monotonic() + WITHIN_S
    while True:
        try:
            camera.take()
            break
        except CameraLost:
            assert time.monotonic() < until
    assert not source.closed.is_set()


def test_a_camera_whose_pictures_could_be_made_up_is_used_for_trials_alone(opened: Opened) -> None:
    with pytest.raises(SetupError) as refused:
        opened(page(640, 480), assurance=CameraAssurance.SIMULATED)
    assert refused.value.code == "CAMERA_NOT_ALLOWED"
    camera, _ = opened(page(640, 480), assurance=CameraAssurance.SIMULATED, allow_simulated_camera=True)
    camera.take()
