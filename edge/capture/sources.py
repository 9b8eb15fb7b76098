"""Which camera an address means."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge.capture.camera_files import open_folder, open_video
from edge.capture.camera_rtsp import open_rtsp
from edge.capture.camera_stream import open_stream
from edge.capture.camera_v4l2 import HostCameras, Machine
from edge.capture.steady import SteadyCamera
from edge.errors import HardwareError
from edge.ports import Camera, Clock

POSSIBLE = (
    "v4l2:0 or v4l2:/dev/v4l/by-id/NAME (a camera of this machine)",
    "v4l2:serial=NUMBER (a USB camera, wherever it is plugged in)",
    "/dev/video0 (the same by its device)",
    "rtsp://HOST:PORT/PATH (a network camera)",
    "http://HOST:PORT/PATH (an MJPEG stream)",
    "sim+http://HOST:PORT/PATH (the simulated camera)",
    "video:FILE (a recording)",
    "folder:FOLDER (pictures in the order of their names)",
)


def open_camera(
    uri: str, *, clock: Clock, wait: Callable[[float], None] = time.sleep, machine: Machine | None = None
) -> SteadyCamera:
    """Open the camera that ``uri`` names; where it is lost and comes back, it is opened again.

    Raises:
        HardwareError: CAMERA_UNKNOWN with the list of what is possible; NO_CAMERA, CAMERA_DENIED,
            CAMERA_BUSY or CAMERA_AMBIGUOUS where it cannot be opened.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "video" and rest:
        return SteadyCamera(
            open_video(Path(rest), clock=clock, wait=wait), reopen=None, clock=clock, wait=wait
        )
    if scheme == "folder" and rest:
        return SteadyCamera(
            open_folder(Path(rest), clock=clock, wait=wait), reopen=None, clock=clock, wait=wait
        )
    opener = _opener(uri, clock=clock, machine=machine or Machine())
    return SteadyCamera(opener(), reopen=opener, clock=clock, wait=wait)


def _opener(uri: str, *, clock: Clock, machine: Machine) -> Callable[[], Camera]:
    scheme, _, rest = uri.partition(":")
    if uri.startswith("/dev/"):
        return HostCameras(uri, clock=clock, machine=machine).open
    if scheme == "v4l2" and rest:
        return HostCameras(rest, clock=clock, machine=machine).open
    if scheme == "rtsp" and _names_a_host(rest):
        return lambda: open_rtsp(uri, clock=clock)
    if scheme in ("http", "sim+http") and rest.startswith("//"):
        return lambda: open_stream(uri, clock=clock)
    raise HardwareError(
        "CAMERA_UNKNOWN",
        "The camera's address is of no known kind.",
        hint="Possible are: " + "; ".join(POSSIBLE) + ".",
    )


def _names_a_host(rest: str) -> bool:
    return rest.startswith("//") and len(rest) > len("//")
