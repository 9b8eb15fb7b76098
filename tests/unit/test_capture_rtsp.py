"""A network camera over a real RTSP connection."""

from __future__ import annotations

import socket

import pytest

from edge.capture.sources import open_camera
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance
from edge.ports import Camera
from tests.support.clocks import ManualClock
from tests.support.rtsp_server import RtspServer, picture_of

WAIT_S = 20.0  # far beyond what any of these needs
LOGIN = "clerk:s3cret-word"


def test_pictures_come_as_they_were_sent() -> None:
    with RtspServer() as server:
        for level in (60, 60, 60):  # FFmpeg looks at some before it says yes
            server.send(picture_of(level))
        camera = open_camera(server.url(), clock=ManualClock())
        try:
            assert camera.camera_id == server.url()
            assert camera.assurance is CameraAssurance.SIMULATED
            server.send(picture_of(150))
            levels = [float(camera.read(WAIT_S).pixels.mean()) for _ in range(1)]
            while levels[-1] < 140:
                levels.append(float(camera.read(WAIT_S).pixels.mean()))
            assert levels[-1] == pytest.approx(150, abs=6)
            server.hang_up()
            assert code_of_loss(camera) == "CAMERA_LOST"
        finally:
            camera.close()


def code_of_loss(camera: Camera) -> str:
    """Take what is still on the way, until the camera is lost."""
    for _ in range(9):
        try:
            camera.read(WAIT_S)
        except CameraLost as lost:
            return lost.code
    raise AssertionError("pictures come out of nowhere")


@pytest.mark.parametrize("login", ["", "clerk:wrong-word@", f"{LOGIN}@"])
def test_a_password_is_used_and_never_told(login: str, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    with RtspServer(login=LOGIN) as server:
        for level in (60, 90, 120):
            server.send(picture_of(level))
        if login == f"{LOGIN}@":
            camera = open_camera(server.url(login=login), clock=ManualClock())
            told += [camera.camera_id, repr(camera)]
            camera.close()
        else:
            with pytest.raises(HardwareError) as caught:
                open_camera(server.url(login=login), clock=ManualClock())
            assert caught.value.code == "NO_CAMERA"
            told += [caught.value.message, caught.value.hint]
    told += capfd.readouterr()
    assert not any(secret in text for text in told for secret in ("s3cret", "wrong-word", "clerk"))


def test_who_does_not_speak_rtsp_is_no_camera() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(HardwareError) as caught:  # it takes the call and says nothing
            open_camera(f"rtsp://127.0.0.1:{port}/x", clock=ManualClock())
        assert caught.value.code == "NO_CAMERA"
    with RtspServer(status="404 Not Found") as server, pytest.raises(HardwareError, match="does not stream"):
        open_camera(server.url(), clock=ManualClock())


@pytest.mark.parametrize(
    "url", ["rtsp://[::1/x", "rtsp://a:99999/x", "rtsp:///x", "rtsp://名/x", "rtsp://a\n/x"]
)
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(HardwareError) as caught:
        open_camera(url, clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"
