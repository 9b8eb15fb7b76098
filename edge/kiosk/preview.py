"""The live preview: each frame that the session reads is also offered to a thread that makes small JPEGs.

Nothing of it reaches a disk, and nothing waits for it: who is slow misses pictures. The person sees what is
judged, when it is judged, and no camera is opened twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

from edge.model import CameraAssurance, Frame, Image
from edge.ports import Camera

WIDTH = 480  # pixels: large enough to find oneself, small enough for a core that has better things to do
JPEG_QUALITY = 70
REST_S = 0.8  # without a frame: the camera has done its part, or is lost, which its prompt says
PICTURES_PER_S = 20.0  # more than anybody sees on a page


def encode_preview(pixels: Image) -> bytes:
    """A JPEG at most WIDTH pixels wide, as the camera sees it: the page mirrors it."""
    height, width = pixels.shape[:2]
    if width > WIDTH:
        small = cv2.resize(pixels, (WIDTH, height * WIDTH // width), interpolation=cv2.INTER_LINEAR)
        pixels = small.astype(np.uint8, copy=False)
    return cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


class Preview:
    """The thread. ``give``: takes each JPEG; ``rest``: is told when none comes for a while, and when one
    comes again. Both are called on that thread."""

    def __init__(
        self,
        give: Callable[[bytes], None],
        *,
        rest: Callable[[bool], None] = lambda _resting: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give = give
        self._rest = rest
        self._now = now
        self._resting = False
        self._changed = threading.Condition()
        self._frame: Image | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="preview", daemon=True)
        self._thread.start()

    def offer(self, pixels: Image) -> None:
        """Show this, unless a newer one comes first."""
        with self._changed:
            self._frame = pixels
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread; the picture at hand is not shown any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                came = self._changed.wait_for(
                    lambda: self._closed or self._frame is not None, None if self._resting else REST_S
                )
                frame, self._frame = self._frame, None
                if self._closed:
                    return
            if came is self._resting:
                self._resting = not came
                self._rest(self._resting)
            if frame is None:
                continue
            started = self._now()
            self._give(encode_preview(frame))
            with self._changed:  # no faster than anybody can see
                left = started + 1 / PICTURES_PER_S - self._now()
                if self._changed.wait_for(lambda: self._closed, max(0.0, left)):
                    return


class PreviewCamera:
    """Implements ``ports.Camera`` over another: what it reads is shown."""

    def __init__(
        self,
        camera: Camera,
        give: Callable[[bytes], None],
        *,
        rest: Callable[[bool], None] = lambda _resting: None,
    ) -> None:
        self._camera = camera
        self._preview = Preview(give, rest=rest)

    @property
    def camera_id(self) -> str:
        return self._camera.camera_id

    @property
    def assurance(self) -> CameraAssurance:
        return self._camera.assurance

    def read(self, timeout_s: float) -> Frame:
        frame = self._camera.read(timeout_s)
        self._preview.offer(frame.pixels)
        return frame

    def close(self) -> None:
        try:
            self._camera.close()
        finally:
            self._preview.close()
