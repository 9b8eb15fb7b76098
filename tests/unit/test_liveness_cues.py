"""Each cue answers to the signal that it is for, and says so where it cannot judge."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.liveness.cues import background, banding, border, colour, focus, frequency, motion
from edge.liveness.cues.repetition import FrameNovelty
from edge.liveness.cues.view import FaceView, look, usable
from edge.model import Image
from tests.support.passive import HEIGHT, WIDTH, blinked, face_at, moved, noisy, texture


def view(picture: Image, at: float = 0.0) -> FaceView:
    return look(picture, face_at(), at)


def test_a_view_brings_faces_of_all_sizes_to_one() -> None:
    picture = texture(1)
    small = look(picture, face_at(), 0.0)
    twice = look(
        cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), face_at(480, 360, 88), 0.0
    )
    assert small.aligned.shape == twice.aligned.shape
    assert float(np.abs(small.aligned.astype(int) - twice.aligned.astype(int)).mean()) < 4.0


@pytest.mark.parametrize(
    ("picture", "face"),
    [
        (texture(1)[..., 0], face_at()),
        (texture(1).astype(np.float32), face_at()),
        (texture(1)[:20], face_at()),
        (texture(1), face_at(inter_eye=5)),
        (texture(1), face_at(x=900)),
        (texture(1), face_at(x=float("nan"))),
    ],
)
def test_what_cannot_be_looked_at_is_not_usable(picture: Image, face: object) -> None:
    assert not usable(picture, face)  # type: ignore[arg-type]


def test_a_grating_raises_the_moire_cue() -> None:
    rows, cols = np.indices((HEIGHT, WIDTH))
    wave = 8.0 * np.sin(2 * np.pi * (0.21 * rows + 0.23 * cols))
    plain = texture(2)
    grid = np.clip(plain + wave[..., None], 0, 255).astype(np.uint8)
    natural, recaptured = frequency.evenness(view(plain)), frequency.evenness(view(grid))
    assert natural is not None
    assert recaptured is not None
    assert recaptured < natural - 1.0


def test_a_face_too_small_for_a_grid_is_not_judged() -> None:
    assert frequency.evenness(look(texture(2), face_at(inter_eye=14), 0.0)) is None


def test_a_rectangle_about_the_face_raises_the_border_cue() -> None:
    wall = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    cv2.ellipse(wall, (240, 180), (45, 60), 0, 0, 360, (110, 140, 190), -1)
    sheet = cv2.rectangle(wall.copy(), (130, 70), (350, 300), (245, 245, 245), 8)
    assert border.openness(view(wall)) == 1.0
    framed = border.openness(view(np.asarray(sheet, np.uint8)))
    assert framed is not None
    assert framed <= 0.25


def test_there_is_no_room_for_a_border_about_a_face_that_fills_the_picture() -> None:
    assert border.openness(look(texture(3), face_at(inter_eye=200), 0.0)) is None


def test_fewer_colours_lower_the_colour_cue() -> None:
    rich = texture(4)
    grey = cv2.cvtColor(cv2.cvtColor(rich, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    poor = cv2.addWeighted(rich, 0.3, grey, 0.7, 0.0)
    whole, narrowed = colour.diversity(view(rich)), colour.diversity(view(np.asarray(poor, np.uint8)))
    assert whole is not None
    assert narrowed is not None
    assert narrowed < whole - 1.0
    assert colour.diversity(view(np.asarray(grey, np.uint8))) is None


def test_a_flat_white_patch_is_gloss() -> None:
    glossy = texture(5)
    assert colour.mattness(view(glossy)) == 1.0
    cv2.rectangle(glossy, (200, 140), (250, 190), (255, 255, 255), -1)
    shining = colour.mattness(view(glossy))
    assert shining is not None
    assert shining < 0.9


def test_a_second_lens_lowers_the_sharpness_cue() -> None:
    sharp = texture(6, grain=0.8)
    twice = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 1.5), np.uint8)
    first, second = focus.fineness(view(sharp)), focus.fineness(view(twice))
    assert first is not None
    assert second is not None
    assert second < first - 0.5
    assert focus.fineness(view(np.full((HEIGHT, WIDTH, 3), 9, np.uint8))) is None


def test_bands_are_told_from_somebody_who_moves() -> None:
    room = texture(7)
    rows = np.arange(HEIGHT)[:, None, None]
    banded = np.clip(room + 6.0 * np.sin(2 * np.pi * rows * 5 / HEIGHT), 0, 255).astype(np.uint8)
    crossed = room.copy()
    crossed[100:260, 30:120] = 40
    wandering, walking = (
        banding.steadiness(view(room), view(banded)),
        banding.steadiness(view(room), view(crossed)),
    )
    assert wandering is not None
    assert walking is not None
    assert wandering < 0.4 < walking
    assert banding.steadiness(view(room), view(noisy(room, 1))) == 1.0


def test_a_print_takes_its_background_along() -> None:
    room = texture(8)
    together = background.drift(view(room), view(moved(room, 7, 3)))
    alone = room.copy()
    alone[115:245, 195:300] = moved(room, 7, 3)[115:245, 195:300]
    apart = background.drift(view(room), view(alone))
    assert together is not None
    assert apart is not None
    carried, still = background.stillness([together]), background.stillness([apart])
    assert carried is not None
    assert still is not None
    assert carried < 0.2
    assert still > 0.9
    assert background.stillness([background.Drift(5, 5)]) is None


def test_the_background_is_not_compared_across_sizes() -> None:
    assert background.drift(view(texture(8)), look(texture(8, height=300), face_at(), 0.0)) is None


def test_frames_that_return_are_told_from_a_slow_stream() -> None:
    frames = [view(noisy(texture(9), seed)) for seed in range(4)]
    slow, loop = FrameNovelty(), FrameNovelty()
    for one in frames:
        slow.observe(one)
        slow.observe(one)
    for one in frames + frames:
        loop.observe(one)
    assert (slow.fresh, slow.returned, slow.share) == (4, 0, 0.5)
    assert (loop.fresh, loop.returned, loop.share) == (4, 4, 0.5)


@pytest.mark.parametrize("motion_of_print", [(0, 0, 0, 0.0), (9, 4, 3, 0.0), (5, -6, -4, 2e-4)])
def test_a_flat_picture_however_moved_has_no_motion_of_its_own(
    motion_of_print: tuple[float, float, float, float],
) -> None:
    right, down, turn, tilt = motion_of_print
    picture = texture(10)
    later = noisy(moved(picture, right, down, turn_deg=turn, tilt=tilt), 2)
    reading = motion.compare(view(noisy(picture, 1)).aligned, view(later).aligned)
    assert reading is not None
    assert reading.excess < 0.02
    assert reading.fitting > 0.9


def test_eyes_and_mouth_that_change_are_motion_of_a_face() -> None:
    picture = texture(10)
    later = noisy(moved(blinked(picture, face_at()), 4, 2), 2)
    reading = motion.compare(view(noisy(picture, 1)).aligned, view(later).aligned)
    assert reading is not None
    assert reading.excess > 0.06
    assert max(reading.eyes, reading.mouth) > 2.0 * reading.floor


def test_a_face_without_corners_cannot_be_followed() -> None:
    bare = view(np.full((HEIGHT, WIDTH, 3), 128, np.uint8)).aligned
    assert motion.compare(bare, bare) is None
