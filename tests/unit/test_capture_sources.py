from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture.camera_v4l2 import HostCamera, assurance_of
from edge.capture.latest import MAX_AGE_S, LatestSlot
from edge.capture.sources import POSSIBLE, open_camera
from edge.errors import CameraLost, ExitCode, HardwareError
from edge.model import CameraAssurance
from tests.support.clocks import ManualClock

WAIT_S = 10.0  # far beyond what any of these needs


@pytest.mark.parametrize(
    "uri", ["", "0", "usb:1", "v4l2:", "https://x/", "http:x", "video:", "folder:", "rtsp://", "rtsp:x"]
)
def test_an_unknown_address_is_refused_with_what_is_possible(uri: str) -> None:
    with pytest.raises(HardwareError) as caught:
        open_camera(uri, clock=ManualClock())
    assert caught.value.code == "CAMERA_UNKNOWN"
    assert caught.value.exit_code is ExitCode.HARDWARE
    assert all(item in caught.value.hint for item in POSSIBLE)


@pytest.mark.parametrize("uri", ["v4l2:250", "/dev/video250", "v4l2:/dev/v4l/by-id/none", "v4l2:/dev/null"])
def test_a_camera_that_is_not_there_is_said_with_a_hint(uri: str) -> None:
    with pytest.raises(HardwareError) as caught:
        open_camera(uri, clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"
    assert caught.value.hint


@pytest.mark.req("E016")
def test_a_camera_made_by_software_is_never_more_than_simulated(tmp_path: Path) -> None:
    devices = tmp_path / "devices"
    for place, name in (("pci0000/usb1", "video0"), ("virtual/video4linux", "video9")):
        (devices / place / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(devices / place / name)
    assert assurance_of("video0", tmp_path) is CameraAssurance.HOST
    assert assurance_of("video9", tmp_path) is CameraAssurance.SIMULATED
    assert assurance_of("video1", tmp_path) is CameraAssurance.SIMULATED  # nothing is known of it


class Slot(LatestSlot[str]):
    def __init__(self) -> None:
        self.clock = ManualClock()
        super().__init__(self.clock)


def test_the_latest_wins_and_the_dropped_are_counted() -> None:
    slot = Slot()
    for value in ("a", "b", "c"):
        slot.put(value)
    assert slot.take(0)[0] == "c"
    assert slot.dropped == 2


def test_nothing_is_taken_twice() -> None:
    slot = Slot()
    slot.put("a")
    slot.take(0)
    with pytest.raises(CameraLost):
        slot.take(0)


def test_a_picture_has_an_age_limit() -> None:
    slot = Slot()
    slot.put("fresh")
    slot.clock.advance(MAX_AGE_S)
    assert slot.take(0) == ("fresh", 1000.0)
    slot.put("stale")
    slot.clock.advance(MAX_AGE_S + 0.01)
    with pytest.raises(CameraLost):
        slot.take(0)
    assert slot.dropped == 1


def test_a_waiting_reader_is_woken_by_a_picture_and_by_a_failure() -> None:
    slot = Slot()
    threading.Timer(0.02, slot.put, ["late"]).start()
    assert slot.take(WAIT_S)[0] == "late"
    threading.Timer(0.02, slot.fail, ["It was unplugged."]).start()
    with pytest.raises(CameraLost, match="unplugged"):
        slot.take(WAIT_S)


def test_after_a_failure_not_even_a_waiting_picture_is_given() -> None:
    slot = Slot()
    slot.put("a")
    slot.fail("first")
    slot.fail("second")
    with pytest.raises(CameraLost, match="first"):
        slot.take(0)


class Device:
    """Stands for ``cv2.VideoCapture``: pictures on demand, then ``then``."""

    def __init__(self, pictures: int, then: Any = (False, None)) -> None:
        self.permits = threading.Semaphore(0)
        self.numbers = itertools.count()
        self.pictures = pictures
        self.then = then
        self.released = threading.Event()

    def read(self) -> tuple[bool, Any]:
        self.permits.acquire(timeout=WAIT_S)
        number = next(self.numbers)
        if number < self.pictures:
            return True, np.full((2, 2, 3), number, np.uint8)
        if isinstance(self.then, Exception):
            raise self.then
        return self.then

    def release(self) -> None:
        self.released.set()


def host_camera(device: Device) -> HostCamera:
    return HostCamera(device, camera_id="v4l2:x", assurance=CameraAssurance.HOST, clock=ManualClock())


@pytest.mark.parametrize("then", [(False, None), (True, None), cv2.error("driver")])
def test_an_unplugged_camera_is_noticed_and_released(then: Any) -> None:
    device = Device(2, then)
    camera = host_camera(device)
    for number in (1, 2):
        device.permits.release()
        frame = camera.read(WAIT_S)
        assert (frame.number, int(frame.pixels[0, 0, 0])) == (number, number - 1)
        assert frame.captured_at == 1000.0
    device.permits.release()
    with pytest.raises(CameraLost):
        camera.read(WAIT_S)
    assert device.released.wait(WAIT_S)
    camera.close()


def test_a_camera_that_hangs_is_lost_after_the_time_out() -> None:
    device = Device(1)
    camera = host_camera(device)
    with pytest.raises(CameraLost, match="no picture"):
        camera.read(0.01)
    device.permits.release()
    camera.read(WAIT_S)
    device.permits.release()
    camera.close()
    assert device.released.wait(WAIT_S)
