from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from edge.capture.camera_files import FolderReel, RecordedCamera, open_folder, open_video
from edge.capture.sources import open_camera
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance, Image
from tests.support.clocks import ManualClock


class Numbers:
    """A reel of ``count`` pictures, each filled with its position, at ``rate`` per second."""

    def __init__(self, count: int, rate: float = 10.0) -> None:
        self.rate = rate
        self.left = list(range(count))
        self.closed = False

    def skip(self) -> bool:
        return bool(self.left) and self.left.pop(0) >= 0

    def next(self) -> Image | None:
        return np.full((2, 2, 3), self.left.pop(0), np.uint8) if self.left else None

    def close(self) -> None:
        self.closed = True


def camera_of(reel: Numbers, clock: ManualClock) -> RecordedCamera:
    return RecordedCamera(reel, camera_id="video:x", clock=clock, wait=clock.advance)


def test_a_quick_reader_gets_every_picture_in_its_time() -> None:
    clock = ManualClock()
    camera = camera_of(Numbers(5), clock)
    frames = [camera.read(1.0) for _ in range(5)]
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([frame.captured_at for frame in frames], 1000 + np.arange(5) / 10)
    assert clock.now_s == pytest.approx(1000.4)
    assert camera.dropped == 0


@pytest.mark.req("E003")
def test_a_slow_stage_never_builds_up_delay() -> None:
    clock = ManualClock()
    camera = camera_of(Numbers(100, rate=30.0), clock)
    stage_s, frames = 0.2, 12
    ages = []
    for _ in range(frames):
        frame = camera.read(1.0)
        clock.advance(stage_s)
        ages.append(clock.now_s - frame.captured_at)
    assert max(ages) < stage_s + 2 / 30
    assert camera.dropped == frame.number - frames > 50


def test_the_end_is_said_and_not_repeated_pictures() -> None:
    clock = ManualClock()
    camera = camera_of(Numbers(1), clock)
    camera.read(1.0)
    for _ in range(2):
        with pytest.raises(CameraLost) as caught:
            camera.read(1.0)
        assert caught.value.code == "CAMERA_ENDED"
    late = camera_of(Numbers(3), clock)
    late.read(1.0)
    clock.advance(9)
    with pytest.raises(CameraLost):
        late.read(1.0)


def test_a_picture_that_is_not_due_in_time_is_not_waited_for() -> None:
    clock = ManualClock()
    camera = camera_of(Numbers(5), clock)
    camera.read(1.0)
    with pytest.raises(CameraLost) as caught:
        camera.read(0.05)
    assert caught.value.code == "CAMERA_LOST"
    assert clock.now_s == 1000.0


def test_a_recording_is_never_more_than_simulated_and_is_closed() -> None:
    reel = Numbers(1)
    camera = camera_of(reel, ManualClock())
    assert camera.assurance is CameraAssurance.SIMULATED
    camera.close()
    assert reel.closed


def test_a_folder_plays_by_name_and_leaves_other_files_alone(tmp_path: Path) -> None:
    for name, level in (("b.png", 20), ("a.PNG", 10), ("c.jpg", 30)):
        PilImage.new("L", (16, 8), level).save(tmp_path / name)
    (tmp_path / "readme.txt").write_text("no picture")
    clock = ManualClock()
    camera = open_folder(tmp_path, clock=clock, wait=clock.advance)
    assert [int(camera.read(1.0).pixels[0, 0, 0]) for _ in range(3)] == [10, 20, 30]
    with pytest.raises(CameraLost):
        camera.read(1.0)


def test_an_emptied_folder_reel_is_at_its_end() -> None:
    reel = FolderReel([Path("a.png")])
    assert reel.skip()
    assert not reel.skip()
    assert reel.next() is None


def test_a_video_plays_at_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for level in (0, 100, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    clock = ManualClock()
    camera = open_video(path, clock=clock, wait=clock.advance)
    frames = [camera.read(1.0) for _ in range(3)]
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], [0, 100, 200], atol=3)
    assert frames[2].captured_at - frames[0].captured_at == pytest.approx(0.1)
    with pytest.raises(CameraLost):
        camera.read(1.0)
    camera.close()
    assert open_camera(f"video:{path}", clock=clock).camera_id == "video:clip.avi"


@pytest.mark.parametrize(
    "uri", ["video:{0}/none.mp4", "video:{0}", "video:{0}/t.txt", "folder:{0}", "folder:{0}/none"]
)
def test_what_is_not_there_is_no_camera(tmp_path: Path, uri: str) -> None:
    (tmp_path / "t.txt").write_text("text")
    with pytest.raises(HardwareError) as caught:
        open_camera(uri.format(tmp_path), clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"
