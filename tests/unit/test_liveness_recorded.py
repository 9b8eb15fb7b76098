"""Real heads on recorded webcam clips are not taken for pictures. Needs the development data."""

import os
import statistics
from pathlib import Path

import cv2
import pytest

from edge.capture.detector import YuNetDetector
from edge.geometry import yaw_ratio
from edge.liveness.planar import PlanarTrack
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.policy import LivenessPolicy

DATA = Path(os.environ.get("VERIFIELD_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
CLIPS = DATA / "videos" / "intel-webcam"
POLICY = LivenessPolicy()

pytestmark = pytest.mark.skipif(
    not CLIPS.is_dir(), reason=f"no webcam clips: {CLIPS} is missing (set VERIFIELD_DATA)"
)


def every_second_frame(path: Path) -> list[Image]:
    clip, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := clip.read())[0]:
        frames.append(grabbed[1])
    clip.release()
    return frames[::2]


def relief(frames: list[Image], face: Face) -> float | None:
    """What a turn would score that begins with ``frames[0]``, None where it could not be judged."""
    track, found = PlanarTrack(frames[0], face), []
    for frame in frames[1:]:
        reading = track.advance(frame)
        if reading is None or reading.points < POLICY.min_planar_points:
            break
        if reading.tilt_deg >= POLICY.min_tilt_deg:
            found.append(reading.relief)
    return statistics.median(found) if len(found) >= POLICY.min_planar_readings else None


@pytest.mark.parametrize("name", ["no", "walk", "yes"])
def test_a_real_head_that_moves_is_no_plane(name: str, model_store: ModelStore) -> None:
    """The faces are smaller than the policy asks for; the cue holds even there."""
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    frames = every_second_frame(CLIPS / f"{name}.mkv")
    scores = []
    for start in range(0, len(frames) - 8, 8):
        face = next(iter(detector.detect(frames[start])), None)
        if face is not None and abs(yaw_ratio(face)) <= POLICY.frontal_yaw_ratio:
            scores.append(relief(frames[start:], face))
    judged = [score for score in scores if score is not None]
    assert len(judged) >= 2
    assert min(judged) > POLICY.min_planar_relief
