"""Several processes on one device, one of them delivering at a time.

A lock file says whose turn it is, held only while there is something to say to the cloud. A second file
is touched to wake a daemon that waits: files work across users, containers and restarts.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.files import PRIVATE_FILE, make_private_folder

RETRY_S = 0.2
"""How soon a turn that another process has is asked for again."""


@dataclass(frozen=True, slots=True)
class Turns:
    """``folder``: where both files lie."""

    folder: Path

    @contextmanager
    def turn(self, stop: threading.Event, *, waits: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Wait for the turn and hold it for the block; yields False where ``stop`` was set first.

        ``waits`` is called each time that it is still somebody else's.
        """
        make_private_folder(self.folder)
        descriptor = os.open(self.folder / "sync.lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            yield self._wait(descriptor, stop, waits)
        finally:
            os.close(descriptor)

    def call(self) -> None:
        """Wake whoever watches."""
        make_private_folder(self.folder)
        path = self.folder / "sync.wake"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE)
        os.close(descriptor)
        os.utime(path)

    def last_call(self) -> int:
        """When somebody last called, in nanoseconds; 0 for never. Compare it with an earlier look."""
        try:
            return (self.folder / "sync.wake").stat().st_mtime_ns
        except OSError:
            return 0

    @staticmethod
    def _wait(descriptor: int, stop: threading.Event, waits: Callable[[], None]) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits()
                if stop.wait(RETRY_S):
                    return False
            else:
                return not stop.is_set()
