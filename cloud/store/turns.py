"""Lets threads in one after the other, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is handed over to whoever has waited longest.

    SQLite lets waiting writers try again now and then. Where one writer follows itself without a pause, as
    the log does under load, another finds no moment to get in before its time is over.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn, and hold it while the block runs. A thread must not take a second one."""
        with self._mutex:
            gate = threading.Lock() if self._taken else None
            if gate is not None:
                gate.acquire()
                self._waiting.append(gate)
            self._taken = True
        if gate is not None:
            gate.acquire()  # until the one before lets go
        try:
            yield
        finally:
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._taken = False
