"""Planar motion: a plane is flat from every side, a relief is not; and the one face that is followed."""

import cv2
import numpy as np
import pytest

from edge.liveness.continuity import FaceContinuity, overlap
from edge.liveness.planar import PlanarReading, PlanarTrack
from edge.model import Face
from edge.policy import LivenessPolicy
from verifield_sim.camera.optics import Pose, Relief, draw

POLICY = LivenessPolicy()
EYES_PX = 80.0
# Eyes 64 mm apart at 512 mm from a lens of 640 px: 80 pixels between them.
DISTANCE_MM = 512.0


def face(inter_eye: float = EYES_PX) -> Face:
    x, y, d = 320.0, 240.0, inter_eye
    points = [(-0.5, 0), (0.5, 0), (0, 0.5), (-0.4, 0.9), (0.4, 0.9)]
    return Face(
        (x - 1.1 * d, y - 0.8 * d, 2.2 * d, 2.4 * d),
        np.array([(x + px * d, y + py * d) for px, py in points], np.float32),
        0.9,
    )


def mottled(height: np.ndarray) -> Relief:
    """A random pattern on a relief, as wide as the picture."""
    rng = np.random.default_rng(4)
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (600, 600)).astype(np.float32), (0, 0), 3.0)
    grey = np.clip((noise - noise.mean()) * 8 + 128, 0, 255).astype(np.uint8)
    texture = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return Relief(texture, height.astype(np.float32), (299.5, 299.5), 0.8, 2.0)


def plane() -> Relief:
    return mottled(np.zeros((241, 241)))


def dome() -> Relief:
    y, x = (np.indices((241, 241)) - 120) * 2.0
    return mottled(-60 + 60 * np.sqrt(np.maximum(1 - (x / 110) ** 2 - (y / 130) ** 2, 0.02)))


def last_reading(relief: Relief, poses: list[Pose], *, noise: float = 2.0) -> PlanarReading:
    rng = np.random.default_rng(1)

    def look(pose: Pose) -> np.ndarray:
        picture = draw(relief, pose)[0].astype(np.float32)
        return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)

    track = PlanarTrack(look(Pose(0, 0, DISTANCE_MM)), face())
    readings = [track.advance(look(pose)) for pose in poses]
    assert readings[-1] is not None
    return readings[-1]


def turn(yaw_deg: float, pitch_deg: float = 0.0, x: float = 0.0) -> list[Pose]:
    shares = np.linspace(0, 1, 9)[1:]
    return [
        Pose(x * s, 0, DISTANCE_MM, yaw=np.radians(yaw_deg * s), pitch=np.radians(pitch_deg * s))
        for s in shares
    ]


@pytest.mark.parametrize(("yaw", "pitch", "x"), [(30, 0, 0), (-35, 0, 20), (20, 20, -15), (0, 30, 0)])
def test_a_plane_stays_flat_however_it_is_tilted(yaw: float, pitch: float, x: float) -> None:
    reading = last_reading(plane(), turn(yaw, pitch, x))
    assert reading.tilt_deg == pytest.approx(np.hypot(yaw, pitch), abs=6)
    assert reading.points >= POLICY.min_planar_points
    assert reading.relief < POLICY.max_flat_relief


@pytest.mark.parametrize("yaw", [25, -30])
def test_a_relief_does_not(yaw: float) -> None:
    reading = last_reading(dome(), turn(yaw))
    assert reading.tilt_deg >= POLICY.min_tilt_deg
    assert reading.relief > POLICY.min_planar_relief


def test_moving_without_turning_gives_no_tilt_to_judge_by() -> None:
    sideways = [Pose(x, 0, DISTANCE_MM) for x in np.linspace(0, 25, 6)]
    nearer = [Pose(0, 0, z) for z in np.linspace(DISTANCE_MM, 430, 6)]
    for poses in (sideways, nearer):
        assert last_reading(plane(), poses).tilt_deg < POLICY.min_tilt_deg


def test_no_reading_without_points() -> None:
    blank = np.full((480, 640, 3), 128, np.uint8)
    assert PlanarTrack(blank, face()).advance(blank) is None


def test_points_that_vanish_end_the_readings() -> None:
    picture = draw(plane(), Pose(0, 0, DISTANCE_MM))[0]
    track = PlanarTrack(picture, face())
    assert track.advance(picture) is not None
    other = np.random.default_rng(9).integers(0, 255, picture.shape).astype(np.uint8)
    reading = track.advance(other)
    assert reading is None or reading.points < POLICY.min_planar_points


def test_another_picture_size_is_a_fault() -> None:
    picture = draw(plane(), Pose(0, 0, DISTANCE_MM))[0]
    track = PlanarTrack(picture, face())
    with pytest.raises(cv2.error):
        track.advance(picture[:200, :200])


def test_relief_relates_the_residual_to_the_turn() -> None:
    assert PlanarReading(0.02, 30.0, 50).relief == pytest.approx(0.04)
    assert PlanarReading(0.02, 0.0, 50).relief == 0.0


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0.0
    assert overlap((0, 0, 10, 10), (20, 20, 5, 5)) == 0.0


def moved(shift: float, size: float = 100.0) -> Face:
    return Face((shift, 0.0, size, size), face().points, 0.9)


@pytest.mark.parametrize(("shift", "switched"), [(42.0, False), (44.0, True)])
def test_a_face_may_move_but_not_jump(shift: float, switched: bool) -> None:
    continuity = FaceContinuity(0.4)  # boxes of 100 that overlap by 4/7 of their width reach 0.4
    assert not continuity.switched(moved(0.0))
    assert continuity.switched(moved(shift)) is switched
    assert not continuity.switched(moved(shift)), "the new face is followed from now on"


def test_a_face_of_quite_another_size_is_another() -> None:
    continuity = FaceContinuity(0.4)
    continuity.switched(moved(0.0))
    assert continuity.switched(moved(0.0, 62.0))
