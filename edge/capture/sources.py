"""Which camera an address means."""

from __future__ import annotations

from pathlib import Path

from edge.capture.camera_files import open_folder, open_video
from edge.capture.camera_stream import open_stream
from edge.capture.camera_v4l2 import open_host_camera
from edge.errors import HardwareError
from edge.ports import Camera, Clock

POSSIBLE = (
    "v4l2:0 or v4l2:/dev/v4l/by-id/NAME (a camera of this machine)",
    "/dev/video0 (the same by its device)",
    "http://HOST:PORT/PATH (an MJPEG stream)",
    "sim+http://HOST:PORT/PATH (the simulated camera)",
    "video:FILE (a recording)",
    "folder:FOLDER (pictures in the order of their names)",
)


def open_camera(uri: str, *, clock: Clock) -> Camera:
    """Open the camera that ``uri`` names.

    Raises:
        HardwareError: CAMERA_UNKNOWN with the list of what is possible; NO_CAMERA or CAMERA_DENIED
            where it cannot be opened.
    """
    scheme, _, rest = uri.partition(":")
    if uri.startswith("/dev/"):
        return open_host_camera(Path(uri), clock=clock)
    if scheme == "v4l2" and rest:
        return open_host_camera(Path(f"/dev/video{rest}" if rest.isdigit() else rest), clock=clock)
    if scheme in ("http", "sim+http") and rest.startswith("//"):
        return open_stream(uri, clock=clock)
    if scheme == "video" and rest:
        return open_video(Path(rest), clock=clock)
    if scheme == "folder" and rest:
        return open_folder(Path(rest), clock=clock)
    raise HardwareError(
        "CAMERA_UNKNOWN",
        "The camera's address is of no known kind.",
        hint="Possible are: " + "; ".join(POSSIBLE) + ".",
    )
