"""Latest frame wins: what a camera's thread hands to whoever judges frames."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

from edge.errors import CameraLost
from edge.ports import Clock

MAX_AGE_S = 0.5  # an older picture says nothing about who is there now

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds one picture with its time. A newer one drops it, which is counted; taking it empties the slot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._held: tuple[T, float] | None = None
        self._failure = ""
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many pictures nobody took while they were fresh."""
        with self._changed:
            return self._dropped

    def put(self, picture: T) -> None:
        """Offer a picture that arrived now."""
        with self._changed:
            self._dropped += self._held is not None
            self._held = (picture, self._now())
            self._changed.notify_all()

    def fail(self, sentence: str) -> None:
        """Say why there will be no more pictures; one that was not taken is stale and goes."""
        with self._changed:
            self._failure = self._failure or sentence
            self._held = None
            self._changed.notify_all()

    def take(self, timeout_s: float) -> tuple[T, float]:
        """Wait for a fresh picture and take it, with its time in monotonic seconds.

        Raises:
            CameraLost: none came in time, or the source failed.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._failure:
                    raise camera_lost(self._failure)
                held, self._held = self._held, None
                if held is not None:
                    if self._now() - held[1] <= MAX_AGE_S:
                        return held
                    self._dropped += 1
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise camera_lost("The camera gave no picture in time.")
                self._changed.wait(remaining)

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def camera_lost(sentence: str) -> CameraLost:
    """The error of a camera that was open and gives no fresh frames."""
    return CameraLost("CAMERA_LOST", sentence, hint="Check the camera's cable and that nothing else uses it.")
