"""A network camera that speaks RTSP (RFC 2326), through OpenCV's FFmpeg."""

from __future__ import annotations

from urllib.parse import urlsplit

import cv2

from edge.capture.camera_v4l2 import HostCamera
from edge.errors import HardwareError
from edge.model import CameraAssurance
from edge.ports import Clock

SILENCE_TIMEOUT_MS = 2000
"""Without an answer or a picture for this long the stream is dead (a camera's loss shows within 2 s)."""


def open_rtsp(url: str, *, clock: Clock) -> HostCamera:
    """Connect to ``rtsp://[user:password@]host[:port]/path``. Anyone on the way can send pictures: SIMULATED.

    Raises:
        HardwareError: NO_CAMERA.
    """
    camera_id = _without_credentials(url)
    limits = (
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, SILENCE_TIMEOUT_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, SILENCE_TIMEOUT_MS),
    )
    source = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not source.isOpened():
        source.release()
        raise _no_camera(f"{camera_id} does not stream pictures")
    return HostCamera(source, camera_id=camera_id, assurance=CameraAssurance.SIMULATED, clock=clock)


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _no_camera("The address of the stream cannot be understood") from error
    if not (host and url.isascii() and url.isprintable()):
        raise _no_camera("The address of the stream names no host, or has characters that it cannot have")
    return f"rtsp://{host}{f':{port}' if port else ''}{parts.path}"


def _no_camera(what: str) -> HardwareError:
    return HardwareError(
        "NO_CAMERA",
        f"{what}.",
        hint="Check the address, name and password, and that the camera is switched on.",
    )
