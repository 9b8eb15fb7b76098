"""Recorded cameras: a video file or a folder of pictures, played at the speed of life."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge.capture.latest import camera_lost
from edge.capture.pictures import SUFFIXES, read_picture
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance, Frame, Image
from edge.ports import Clock

PICTURES_PER_SECOND = 10.0  # of a folder
FALLBACK_RATE = 30.0  # of a video that does not say


class Reel(Protocol):
    """Recorded pictures in order."""

    @property
    def rate(self) -> float:
        """Pictures per second."""

    def skip(self) -> bool:
        """Pass over one; False at the end."""

    def next(self) -> Image | None:
        """The next one; None at the end."""

    def close(self) -> None: ...


class RecordedCamera:
    """Implements ``ports.Camera``. Time runs from the first read; pictures whose time is past are dropped."""

    def __init__(self, reel: Reel, *, camera_id: str, clock: Clock, wait: Callable[[float], None]) -> None:
        self._reel = reel
        self._camera_id = camera_id
        self._clock = clock
        self._wait = wait
        self._started: float | None = None
        self._position = 0
        self._dropped = 0

    @property
    def camera_id(self) -> str:
        return self._camera_id

    @property
    def assurance(self) -> CameraAssurance:
        """Anyone can make a file."""
        return CameraAssurance.SIMULATED

    @property
    def dropped(self) -> int:
        """Pictures whose time had passed."""
        return self._dropped

    def read(self, timeout_s: float) -> Frame:
        """See ``ports.Camera``; a recording that is over raises CameraLost with code CAMERA_ENDED."""
        now = self._clock.monotonic_ns() / 1e9
        if self._started is None:
            self._started = now
        due = int((now - self._started) * self._reel.rate)
        early = self._started + self._position / self._reel.rate - now
        if early > timeout_s:
            raise camera_lost("The recording has no picture in time.")
        if early > 0:
            self._wait(early)
        while self._position < due:
            if not self._reel.skip():
                raise _ended()
            self._position += 1
            self._dropped += 1
        pixels = self._reel.next()
        if pixels is None:
            raise _ended()
        self._position += 1
        captured_at = self._started + (self._position - 1) / self._reel.rate
        return Frame(pixels, captured_at, self._position)

    def close(self) -> None:
        self._reel.close()


def _ended() -> CameraLost:
    return CameraLost("CAMERA_ENDED", "The recording is over.", hint="Use a longer one, or a camera.")


class VideoReel:
    """The pictures of a video file."""

    def __init__(self, source: cv2.VideoCapture) -> None:
        self._source = source
        self._rate = source.get(cv2.CAP_PROP_FPS) or FALLBACK_RATE

    @property
    def rate(self) -> float:
        return self._rate

    def skip(self) -> bool:
        return self._source.grab()

    def next(self) -> Image | None:
        there, pixels = self._source.read()
        return np.asarray(pixels, dtype=np.uint8) if there else None

    def close(self) -> None:
        self._source.release()


class FolderReel:
    """The pictures of a folder by name; each is read when its time has come."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = deque(paths)

    @property
    def rate(self) -> float:
        return PICTURES_PER_SECOND

    def skip(self) -> bool:
        if not self._paths:
            return False
        self._paths.popleft()
        return True

    def next(self) -> Image | None:
        return read_picture(self._paths.popleft()) if self._paths else None

    def close(self) -> None:
        self._paths.clear()


def open_video(path: Path, *, clock: Clock, wait: Callable[[float], None] = time.sleep) -> RecordedCamera:
    """Play a video file.

    Raises:
        HardwareError: NO_CAMERA.
    """
    source = cv2.VideoCapture(str(path)) if path.is_file() else None
    if source is None or not source.isOpened():
        raise _not_there(path, "a video file that can be read")
    return RecordedCamera(VideoReel(source), camera_id=f"video:{path.name}", clock=clock, wait=wait)


def open_folder(path: Path, *, clock: Clock, wait: Callable[[float], None] = time.sleep) -> RecordedCamera:
    """Play a folder of pictures in the order of their names.

    Raises:
        HardwareError: NO_CAMERA.
    """
    names = sorted(path.iterdir()) if path.is_dir() else []
    paths = [item for item in names if item.suffix.lower() in SUFFIXES]
    if not paths:
        raise _not_there(path, "a folder with pictures")
    return RecordedCamera(FolderReel(paths), camera_id=f"folder:{path.name}", clock=clock, wait=wait)


def _not_there(path: Path, what: str) -> HardwareError:
    return HardwareError("NO_CAMERA", f"{path} is not {what}.", hint="Check the path.")
