"""One camera that comes and goes: every source is watched alike, and opened again when it is back."""

from __future__ import annotations

from collections.abc import Callable

from edge.capture.latest import camera_lost
from edge.capture.watch import FrameWatch, Look
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance, Frame
from edge.ports import Camera, Clock

CAMERA_LOST = "CAMERA_LOST"
CAMERA_FROZEN = "CAMERA_FROZEN"
CAMERA_BLACK = "CAMERA_BLACK"
CAMERA_BUSY = "CAMERA_BUSY"
CAMERA_ENDED = "CAMERA_ENDED"
"""Codes of ``CameraLost``. All but the last may pass: a recording that is over stays over, a camera that
was closed stays closed."""

RETRY_S = 0.25
"""Between two tries to open: a camera that is back is seen at once, a driver is not flooded."""

FROZEN_FOR_GOOD_S = 2.0
"""A camera that is frozen for longer is opened again: most that hang come back by that."""

MAX_WITHHELD = 10_000
"""Frames in one look. A source that gives them faster than time goes by must not hold anybody up for ever."""


class SteadyCamera:
    """Implements ``ports.Camera`` over one that may be lost. ``reopen``: None for what is played once.

    A camera that comes back with another id, or with less assurance, is another camera: it is not taken.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        reopen: Callable[[], Camera] | None,
        clock: Clock,
        wait: Callable[[float], None],
    ) -> None:
        self._camera: Camera | None = camera
        self._camera_id = camera.camera_id
        self._assurance = camera.assurance
        self._reopen = reopen
        self._clock = clock
        self._wait = wait
        self._watch = FrameWatch()
        self._frozen_since: float | None = None
        self._closed = False

    @property
    def camera_id(self) -> str:
        return self._camera_id

    @property
    def assurance(self) -> CameraAssurance:
        return self._assurance

    def read(self, timeout_s: float) -> Frame:
        """See ``ports.Camera``; the error's code is one of those at the top of this file."""
        if self._closed:
            raise _ended()
        deadline = self._now() + timeout_s
        whole = self._camera is not None
        camera = self._camera or self._open_again(deadline)
        for _ in range(MAX_WITHHELD):
            frame = self._read(camera, deadline, whole=whole)
            look = self._watch.judge(frame)
            if look is Look.FRESH:
                self._frozen_since = None
                return frame
            if look is Look.BLACK:
                raise CameraLost(
                    CAMERA_BLACK,
                    "The camera's picture is black.",
                    hint="Uncover the lens, and switch on the light.",
                )
            if look is Look.FROZEN:
                raise self._frozen(frame.captured_at)
            whole = False
            if self._now() >= deadline:
                break
        raise camera_lost("The camera gave no picture that is new.")

    def close(self) -> None:
        """For good: it is not opened again."""
        self._closed = True
        if self._camera is not None:
            self._camera.close()

    def _read(self, camera: Camera, deadline: float, *, whole: bool) -> Frame:
        """``whole``: the camera has all of the look's time. Silence in a part of it proves nothing: one that
        is slow to start would be closed before its first picture, again and again."""
        try:
            return camera.read(max(0.0, deadline - self._now()))
        except CameraLost as lost:
            if lost.code != CAMERA_ENDED and (whole or self._now() < deadline):
                self._let_go()
            raise

    def _frozen(self, now: float) -> CameraLost:
        self._frozen_since = now if self._frozen_since is None else self._frozen_since
        if now - self._frozen_since >= FROZEN_FOR_GOOD_S:
            self._frozen_since = None
            self._let_go()
        return CameraLost(
            CAMERA_FROZEN,
            "The camera gives the same picture again and again.",
            hint="Unplug the camera and plug it in again.",
        )

    def _let_go(self) -> None:
        if self._reopen is not None and self._camera is not None:
            self._camera.close()
            self._camera = None

    def _open_again(self, deadline: float) -> Camera:
        """Try until ``deadline``, and wait until then where there is no hope."""
        while True:
            try:
                camera = self._camera = self._the_same_camera()
            except HardwareError as error:
                left = deadline - self._now()
                if left <= 0:
                    code = CAMERA_BUSY if error.code == CAMERA_BUSY else CAMERA_LOST
                    raise CameraLost(code, error.message, hint=error.hint) from error
                self._wait(min(RETRY_S, left))
            else:
                if self._closed:  # by another thread, which did not see this camera yet
                    self._let_go()
                    raise _ended()
                return camera

    def _the_same_camera(self) -> Camera:
        if self._reopen is None:
            raise AssertionError("what is played once is never let go")
        camera = self._reopen()
        if (camera.camera_id, camera.assurance) == (self._camera_id, self._assurance):
            return camera
        camera.close()
        raise camera_lost("Another camera is plugged in than the one that was lost.")

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _ended() -> CameraLost:
    return CameraLost(CAMERA_ENDED, "The camera was closed.", hint="Open it again.")
