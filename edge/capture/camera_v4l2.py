"""A camera of this machine, through Video4Linux."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.capture.latest import LatestSlot
from edge.errors import HardwareError
from edge.model import CameraAssurance, Frame, Image
from edge.ports import Clock

WIDTH, HEIGHT = 640, 480  # what every USB camera can do at 30 frames per second
CLOSE_TIMEOUT_S = 2.0  # a driver that hangs must not hang the appliance


class VideoSource(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def read(self) -> tuple[bool, Any]: ...

    def release(self) -> None: ...


class HostCamera:
    """Implements ``ports.Camera``: a thread keeps only the newest frame."""

    def __init__(
        self, source: VideoSource, *, camera_id: str, assurance: CameraAssurance, clock: Clock
    ) -> None:
        self._source = source
        self._camera_id = camera_id
        self._assurance = assurance
        self._slot: LatestSlot[tuple[Image, int]] = LatestSlot(clock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    @property
    def camera_id(self) -> str:
        return self._camera_id

    @property
    def assurance(self) -> CameraAssurance:
        return self._assurance

    @property
    def dropped(self) -> int:
        """Frames that nobody had time for."""
        return self._slot.dropped

    def read(self, timeout_s: float) -> Frame:
        """See ``ports.Camera``."""
        (pixels, number), captured_at = self._slot.take(timeout_s)
        return Frame(pixels, captured_at, number)

    def close(self) -> None:
        """Stop the thread, which releases the device."""
        self._stopping.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        number = 0
        try:
            while not self._stopping.is_set():
                there, pixels = self._source.read()
                if not there or pixels is None:
                    self._slot.fail("The camera was unplugged or stopped.")
                    return
                number += 1
                self._slot.put((np.asarray(pixels, dtype=np.uint8), number))
            self._slot.fail("The camera was closed.")
        except cv2.error:
            self._slot.fail("The camera's driver failed.")
        finally:
            self._source.release()


def open_host_camera(device: Path, *, clock: Clock) -> HostCamera:
    """Open ``/dev/videoN`` or a stable link to it.

    Raises:
        HardwareError: NO_CAMERA or CAMERA_DENIED.
    """
    if not device.exists():
        raise HardwareError(
            "NO_CAMERA",
            f"There is no camera at {device}.",
            hint="Plug it in and look under /dev/v4l/by-id, or choose another one.",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise HardwareError(
            "CAMERA_DENIED",
            f"This user may not use {device}.",
            hint="Add the user to the group video and sign in again.",
        )
    source = cv2.VideoCapture(str(device.resolve()), cv2.CAP_V4L2)
    if not source.isOpened():
        source.release()
        raise HardwareError(
            "NO_CAMERA",
            f"{device} is not a camera, or another program uses it.",
            hint="Close the other program, or choose another camera.",
        )
    source.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH)
    source.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT)
    source.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue would be old pictures
    assurance = assurance_of(device.resolve().name, Path("/sys/class/video4linux"))
    return HostCamera(source, camera_id=f"v4l2:{device}", assurance=assurance, clock=clock)


def assurance_of(name: str, video_class: Path) -> CameraAssurance:
    """HOST for a device on a bus; a loopback is made by software, and any program can feed it frames."""
    place = video_class / name
    if not place.exists() or "virtual" in place.resolve().parts:
        return CameraAssurance.SIMULATED
    return CameraAssurance.HOST
