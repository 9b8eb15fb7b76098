"""The simulated camera: a head that turns in depth, a print that stays flat, an empty room."""

import numpy as np
import pytest

from verifield_sim import portraits
from verifield_sim.camera import Scene
from verifield_sim.camera.motion import Turning
from verifield_sim.camera.optics import Pose, Relief, draw
from verifield_sim.errors import SimError


def portrait() -> np.ndarray:
    return portraits.load("astronaut")


@pytest.mark.parametrize("kind", ["live", "print", "print_bent", "none"])
def test_frames_have_the_size_of_a_webcam_and_depend_on_seed_prompts_and_time_alone(kind: str) -> None:
    picture = None if kind == "none" else portrait()
    first, second = Scene(kind, picture, seed=5), Scene(kind, picture, seed=5)
    for scene in (first, second):
        scene.show("TURN_LEFT", 0.1)
    second.frame(0.7)  # looking in between changes nothing
    frame = first.frame(1.0)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, second.frame(1.0))
    assert not np.array_equal(frame, first.frame(1.1)), "sensor noise differs from moment to moment"


def test_another_seed_is_another_scene() -> None:
    one, other = (Scene("live", portrait(), seed=seed).frame(0.0).astype(int) for seed in (1, 2))
    assert np.abs(one - other).mean() > 3


@pytest.mark.parametrize("kind", ["live", "print"])
def test_a_person_needs_a_portrait(kind: str) -> None:
    with pytest.raises(SimError, match="portrait"):
        Scene(kind, None, seed=0)


def test_somebody_stands_before_the_room() -> None:
    empty, live = Scene("none", None, seed=3).frame(0.0), Scene("live", portrait(), seed=3).frame(0.0)
    changed = np.abs(empty.astype(int) - live.astype(int)).max(axis=2) > 15
    assert changed[150:300, 280:360].mean() > 0.9, "the face is in the middle"
    assert changed[:, :40].mean() < 0.02, "the room beside the person is the same"


def test_turning_starts_after_a_reaction_time_and_ends_within_two_seconds() -> None:
    for seed in range(20):
        turning = Turning(np.random.default_rng(seed), angle_deg=(25, 30))
        turning.show("TURN_RIGHT", 10.0)
        assert turning.yaw(10.3) == 0.0
        assert -30 <= np.degrees(turning.yaw(11.5)) <= -25
        turning.show("LOOK_STRAIGHT", 12.0)
        assert turning.yaw(12.2) == turning.yaw(12.0)
        assert turning.yaw(13.5) == 0.0


def test_repeated_and_other_prompts_change_nothing() -> None:
    turning = Turning(np.random.default_rng(0), angle_deg=(25, 30))
    turning.show("TURN_LEFT", 0.0)
    for step in range(30):
        turning.show("TURN_LEFT", step * 0.1)
        turning.show("MORE_LIGHT", step * 0.1)
    assert turning.yaw(1.5) == turning.yaw(3.0) > 0.4


def test_a_prompt_during_a_turn_is_answered_without_a_jump() -> None:
    turning = Turning(np.random.default_rng(0), angle_deg=(25, 30))
    turning.show("TURN_LEFT", 0.0)
    turning.show("TURN_RIGHT", 0.4)
    path = [turning.yaw(t) for t in np.arange(0, 3, 0.01)]
    assert np.abs(np.diff(path)).max() < 0.06
    assert path[-1] < -0.4


def bar(heights: tuple[float, float]) -> Relief:
    """Two squares, 40 mm apart, at two heights before a black ground."""
    texture = np.zeros((200, 200, 4), np.uint8)
    texture[95:105, 75:85] = texture[95:105, 115:125] = 255
    height = np.zeros((201, 201), np.float32)
    height[:, :101], height[:, 101:] = heights
    return Relief(texture, height, (99.5, 99.5), 1.0, 1.0)


def centres(picture: np.ndarray) -> list[float]:
    columns = np.flatnonzero(picture[..., 0].max(axis=0) > 128)
    left, right = columns[columns < columns.mean()], columns[columns > columns.mean()]
    return [float(left.mean()), float(right.mean())]


def test_perspective_follows_the_pinhole_formula() -> None:
    picture, cover = draw(bar((0.0, 0.0)), Pose(0, 0, 500))
    left, right = centres(picture)
    assert right - left == pytest.approx(640 * 40 / 500, abs=1.0)
    assert cover.max() == 1.0
    assert cover[:, 0].max() == 0.0


def test_what_stands_out_moves_against_the_rest_when_it_turns() -> None:
    flat, deep = bar((0.0, 0.0)), bar((0.0, 30.0))
    pose = Pose(0, 0, 500, yaw=np.radians(20))
    moved = centres(draw(deep, pose)[0])[1] - centres(draw(flat, pose)[0])[1]
    # A point 30 mm closer, turned by 20 degrees: x = 20 cos + 30 sin, depth = 500 - 30 cos + 20 sin.
    cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
    expected = 640 * ((20 * cos + 30 * sin) / (500 - 30 * cos + 20 * sin) - 20 * cos / (500 + 20 * sin))
    assert moved == pytest.approx(expected, abs=1.5)


def test_a_positive_yaw_takes_the_nose_to_the_right() -> None:
    texture = np.zeros((200, 200, 4), np.uint8)
    texture[95:105, 95:105] = 255
    y, x = np.indices((201, 201)) - 100
    height = (40 * np.exp(-(x**2 + y**2) / 800)).astype(np.float32)
    nose = Relief(texture, height, (99.5, 99.5), 1.0, 1.0)
    picture, _ = draw(nose, Pose(0, 0, 500, yaw=np.radians(20)))
    assert np.flatnonzero(picture[..., 0].max(axis=0) > 128).mean() > 330
