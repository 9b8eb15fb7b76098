"""A camera of this machine, through Video4Linux."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.capture.latest import LatestSlot
from edge.capture.video_devices import (
    VIDEO_CLASS,
    UsbIdentity,
    VideoDevice,
    choose_by_serial,
    find_again,
    find_in_place,
    is_virtual,
    list_video_devices,
    parse_serial,
    read_video_device,
    stable_identity,
)
from edge.errors import HardwareError
from edge.model import CameraAssurance, Frame, Image
from edge.ports import Clock

WIDTH, HEIGHT = 640, 480  # what every USB camera can do at 30 frames per second
CLOSE_TIMEOUT_S = 2.0  # a driver that hangs must not hang the appliance

_REQBUFS = 0xC0145608  # _IOWR('V', 8, struct v4l2_requestbuffers): linux/videodev2.h
_REQUEST_ONE = struct.pack("=IIIIB3x", 1, 1, 1, 0, 0)  # one buffer, of video capture, to be mapped


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


def open_v4l2(device: Path) -> VideoSource | None:
    """Open a device for pictures; None where it gives none."""
    source = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
    if not source.isOpened():
        source.release()
        return None
    source.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH)
    source.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT)
    source.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue would be old pictures
    return source


def is_busy(device: Path, *, ioctl: Callable[[int, int, bytes], object] = fcntl.ioctl) -> bool:
    """Whether another program has the camera: its driver then refuses buffers with EBUSY (VIDIOC_REQBUFS)."""
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return error.errno == errno.EBUSY
    try:
        ioctl(handle, _REQBUFS, _REQUEST_ONE)
    except OSError as error:
        return error.errno == errno.EBUSY
    finally:
        os.close(handle)  # gives a buffer that was granted back
    return False


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a machine keeps its cameras, and how one is opened and asked whether somebody else has it."""

    devices: Path = Path("/dev")
    video_class: Path = VIDEO_CLASS
    open_source: Callable[[Path], VideoSource | None] = open_v4l2
    is_busy: Callable[[Path], bool] = is_busy


@dataclass(frozen=True, slots=True)
class _Known:
    """A camera as it was when it was first opened: nothing that is plugged in later changes what it is.

    ``identity``: None where only its place told it from the others.
    """

    device: VideoDevice
    identity: UsbIdentity | None
    name: str


class HostCameras:
    """Opens one camera of this machine, again and again: once known, wherever it is plugged in then.

    ``address``: an index, a path, or ``serial=XYZ``.
    """

    def __init__(self, address: str, *, clock: Clock, machine: Machine) -> None:
        self._address = address
        self._clock = clock
        self._machine = machine
        self._known: _Known | None = None

    def open(self) -> HostCamera:
        """Open the camera.

        Raises:
            HardwareError: NO_CAMERA, CAMERA_DENIED, CAMERA_BUSY or CAMERA_AMBIGUOUS.
        """
        machine = self._machine
        listed = list_video_devices(machine.video_class)
        device = self._first_place(listed) if self._known is None else self._place_again(listed, self._known)
        _check_usable(device)
        node = device.resolve().name
        known = self._known or self._get_to_know(listed, device)
        source = machine.open_source(device.resolve())
        if source is None:
            raise _busy(device) if machine.is_busy(device.resolve()) else _no_picture(device)
        self._known = known
        return HostCamera(
            source,
            camera_id=f"v4l2:{known.name}",
            assurance=assurance_of(node, machine.video_class),
            clock=self._clock,
        )

    def _first_place(self, listed: Sequence[VideoDevice]) -> Path:
        devices, address = self._machine.devices, self._address
        if (serial := parse_serial(address)) is not None:
            return devices / choose_by_serial(listed, serial).node
        return devices / f"video{address}" if address.isdigit() else Path(address)

    def _place_again(self, listed: Sequence[VideoDevice], known: _Known) -> Path:
        """Where it was, which tells it from a twin too; elsewhere only where nothing else could be meant."""
        its_node = read_video_device(self._machine.video_class / known.device.node)  # may not be a listed one
        again = find_in_place([its_node, *listed], known.device)
        if again is None and known.identity is not None:
            again = find_again(listed, known.identity)
        if again is None:
            raise _not_there(f"the camera that was opened as {known.name}")
        return self._machine.devices / again.node

    def _get_to_know(self, listed: Sequence[VideoDevice], device: Path) -> _Known:
        node = device.resolve().name
        identity = stable_identity(listed, node)
        found = read_video_device(self._machine.video_class / node)
        return _Known(found, identity, str(identity or device))


def assurance_of(name: str, video_class: Path) -> CameraAssurance:
    """HOST for a device on a bus; a loopback is made by software, and any program can feed it frames."""
    place = video_class / name
    if not place.exists() or is_virtual(place):
        return CameraAssurance.SIMULATED
    return CameraAssurance.HOST


def _check_usable(device: Path) -> None:
    if not device.exists():
        raise _not_there(f"a camera at {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise HardwareError(
            "CAMERA_DENIED",
            f"This user may not use {device}.",
            hint="Add the user to the group video and sign in again.",
        )


def _not_there(what: str) -> HardwareError:
    return HardwareError(
        "NO_CAMERA",
        f"There is not {what}.",
        hint="Plug it in and look under /dev/v4l/by-id, or choose another one.",
    )


def _busy(device: Path) -> HardwareError:
    return HardwareError(
        "CAMERA_BUSY",
        f"Another program uses the camera {device}.",
        hint="Close the other program.",
    )


def _no_picture(device: Path) -> HardwareError:
    return HardwareError(
        "NO_CAMERA", f"{device} is not a camera that gives pictures.", hint="Choose another camera."
    )
