"""The simulated recapture that the texture network learns from, and the figures it is judged by."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.capture.choose import choose_portrait
from edge.capture.detector import YuNetDetector
from edge.liveness.training.camera import draw_camera, expose, film_clip, film_still, to_light
from edge.liveness.training.corpus import Sitter
from edge.liveness.training.figures import agreement, apcer_at, area, by_instrument
from edge.liveness.training.instruments import HELD_OUT, INSTRUMENTS, TRAINING, Layout
from edge.liveness.training.recapture import (
    hand_motion,
    moved,
    recapture_clip,
    recapture_still,
    recaptured,
)
from edge.liveness.training.samples import LIVE, MIXED, draw_sample, training_kinds
from edge.liveness.training.surfaces import Pattern, add_pattern
from edge.model import Image
from edge.models.store import ModelStore
from tests.support.faces import portrait


def scene(seed: int = 1, size: tuple[int, int] = (150, 120)) -> Image:
    """A picture with detail, of nobody."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (10, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((size[0] // 10, size[1] // 8, 1), np.uint8))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_an_attack_is_drawn_from_its_seed_alone(instrument: str) -> None:
    picture = scene()
    first, again, other = (
        recapture_still(picture, instrument, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first.shape == picture.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, picture)


def test_devices_of_the_test_are_never_trained_with() -> None:
    assert set(TRAINING) | set(HELD_OUT) == set(INSTRUMENTS)
    assert not set(TRAINING) & set(HELD_OUT)
    assert not set(HELD_OUT) & set(training_kinds(TRAINING))
    assert {LIVE, MIXED} < set(training_kinds(TRAINING))


@pytest.mark.parametrize(
    ("picture", "instrument"),
    [(scene(), "hologram"), (np.zeros((31, 200, 3), np.uint8), "tablet")],
)
def test_what_cannot_be_recaptured_is_refused(picture: Image, instrument: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        recapture_still(picture, instrument, np.random.default_rng(0))


def test_a_clip_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="frame"):
        recapture_clip([], "tablet", np.random.default_rng(0))


def test_a_screen_replays_a_clip_and_a_print_shows_one_picture() -> None:
    """What changes on a print is the hand and the noise alone: a black second half changes nothing."""
    frames = [scene(), scene(), np.zeros_like(scene())]
    for instrument, replayed in (("monitor", True), ("print_laser", False)):
        clips = [
            recapture_clip(some, instrument, np.random.default_rng(3))
            for some in (frames, [frames[0]] * len(frames))
        ]
        assert [frame.shape for frame in clips[0]] == [frame.shape for frame in frames]
        assert np.array_equal(clips[0][-1], clips[1][-1]) is not replayed


def test_a_hand_begins_where_it_is_and_does_not_hold_still() -> None:
    matrices = hand_motion(60, 30.0, 480.0, np.random.default_rng(2))
    assert np.allclose(matrices[0], np.eye(3))
    shifts = np.array([matrix[:2, 2] for matrix in matrices])
    assert np.abs(shifts).max() > 1.0
    assert np.abs(np.diff(shifts, axis=0)).max() < 20.0


def test_the_map_says_where_the_picture_went() -> None:
    """A white dot on black is found again where the map puts it."""
    picture = np.full((200, 200, 3), 20, np.uint8)
    picture[116:124, 86:94] = 255
    for seed in range(6):
        seen, pose = recaptured(picture, "monitor", np.random.default_rng(seed))
        at = pose @ (90.0, 120.0, 1.0)
        x, y = at[:2] / at[2]
        if not (8 <= x < 192 and 8 <= y < 192):
            continue
        patch = seen[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].mean()
        assert patch > seen.mean() + 10


def test_a_box_moves_with_the_picture() -> None:
    pose = np.array([[0.5, 0.0, 10.0], [0.0, 0.5, 20.0], [0.0, 0.0, 1.0]])
    assert moved((40.0, 60.0, 20.0, 30.0), pose) == pytest.approx((30.0, 50.0, 10.0, 15.0))


def test_dots_finer_than_the_pixels_beat_with_them() -> None:
    """Moire: 0.95 cycles in a pixel are seen as one wave in twenty pixels (aliasing at 1 - 0.95)."""
    light = np.full((64, 200, 3), 0.5, np.float32)
    across, down = (
        np.ascontiguousarray(part, np.float32) for part in np.meshgrid(np.arange(200), np.arange(64))
    )
    pattern = Pattern(False, Layout.STRIPE, False, 0.95, 1.0, 0.0)
    green = add_pattern(light, pattern, across, down, np.random.default_rng(0))[32, :, 1]
    spectrum = np.abs(np.fft.rfft(green - green.mean()))
    assert int(np.argmax(spectrum)) == 10
    assert 0.0005 < green.std() < 0.1


def test_a_sharp_pattern_fades_with_its_frequency() -> None:
    light = np.full((40, 40, 3), 0.5, np.float32)
    across, down = (
        np.ascontiguousarray(part, np.float32) for part in np.meshgrid(np.arange(40), np.arange(40))
    )
    depths = [
        add_pattern(
            light,
            Pattern(True, Layout.STRIPE, False, cycles, 1.0, 0.3),
            across,
            down,
            np.random.default_rng(0),
        ).std()
        for cycles in (0.15, 0.6, 2.3)
    ]
    assert depths[0] > 2 * depths[1] > 4 * depths[2]


def test_a_live_face_goes_through_the_same_cameras() -> None:
    picture = scene()
    first, again = (film_still(picture, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == picture.shape
    clip = film_clip([picture] * 3, np.random.default_rng(9))
    assert len({frame.tobytes() for frame in clip}) == 3


def test_auto_exposure_brings_a_dark_scene_to_its_aim() -> None:
    camera = dataclasses.replace(
        draw_camera(np.random.default_rng(0)), target=0.45, contrast=1.0, balance=(1.0, 1.0, 1.0), quality=0
    )
    dark = to_light(np.full((100, 100, 3), 60, np.uint8))
    assert expose(dark, camera, np.random.default_rng(0)).mean() / 255 == pytest.approx(0.45, abs=0.03)


def test_examples_follow_from_their_seed(model_store: ModelStore) -> None:
    picture = portrait("astronaut")
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    found = choose_portrait(detector.detect(picture), picture.shape[:2])
    assert found is not None
    people = [Sitter(picture, found.box, "lfw/nobody", "lfw")]
    kinds = [*training_kinds(TRAINING), *HELD_OUT]
    first, again = (
        [draw_sample(people, kinds, rng) for _ in range(6)]
        for rng in (np.random.default_rng(4), np.random.default_rng(4))
    )
    for one, other in zip(first, again, strict=True):
        assert one.kind == other.kind
        assert one.near.shape == one.far.shape == (80, 80, 3)
        assert np.array_equal(one.near, other.near)
        assert np.array_equal(one.far, other.far)


def test_nobody_is_in_training_and_test() -> None:
    picture = scene()
    everybody = [Sitter(picture, (0.0, 0.0, 30.0, 30.0), f"lfw/{number}", "lfw") for number in range(2000)]
    share = np.mean([sitter.held_out for sitter in everybody])
    assert 0.07 < share < 0.13
    assert all(
        sitter.held_out == Sitter(picture, (1.0, 1.0, 40.0, 40.0), sitter.person, "lfw").held_out
        for sitter in everybody
    )
    assert Sitter(picture, (0.0, 0.0, 30.0, 30.0), "walk", "webcam").held_out
    assert not Sitter(picture, (0.0, 0.0, 30.0, 30.0), "yes", "webcam").held_out


def test_figures_by_hand() -> None:
    live = np.array([0.9, 0.8, 0.8, 0.2], np.float32)
    attack = np.array([0.8, 0.1], np.float32)
    assert area(live, attack) == pytest.approx((1 + 0.5 + 0.5 + 0 + 4) / 8)
    assert apcer_at(live, attack, 0.25) == 0.5
    assert apcer_at(live, attack, 0.0) == 0.5
    assert apcer_at(live, attack, 0.75) == 0.0
    same = agreement(live, live)
    assert (same.spearman, same.same_side) == (pytest.approx(1.0), 1.0)
    assert agreement(live, -live).spearman == pytest.approx(-1.0)


def test_figures_name_each_instrument() -> None:
    kinds = np.array([LIVE] * 20 + ["tablet"] * 4 + ["television"] * 4 + [MIXED])
    scores = np.concatenate(
        [np.linspace(0.5, 1.0, 20), [0.1, 0.2, 0.3, 0.9], [0.9, 0.9, 0.0, 0.0], [0.5]]
    ).astype(np.float32)
    found = by_instrument(scores, kinds)
    assert found["training_instruments"]["apcer_at_bpcer_5_each"] == {"tablet": 0.25}
    assert found["held_out_instruments"]["apcer_at_bpcer_5_each"] == {"television": 0.5}
    assert found["held_out_instruments"]["presentations"] == 4
