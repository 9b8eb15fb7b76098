"""What is being received now, in the memory of one server: nobody fills it, however slow they send."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cloud.errors import Reason, ServiceError

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Of all files that are half here: sixteen of the largest. Who sends slowly holds little of it."""

MAX_FILES_OF_ONE = 3
"""Of one person at a time: a page that sends several pictures at once."""


class Inflow:
    """Any thread may use it."""

    def __init__(
        self, *, max_held_bytes: int = MAX_HELD_BYTES, max_files_of_one: int = MAX_FILES_OF_ONE
    ) -> None:
        self._max_held_bytes = max_held_bytes
        self._max_files_of_one = max_files_of_one
        self._mutex = threading.Lock()
        self._held_bytes = 0
        self._files: Counter[str] = Counter()

    @contextmanager
    def one(self, person_id: str) -> Iterator[Held]:
        """Receive one file of a person while the block runs.

        Raises:
            ServiceError: OBJECTS_BUSY: this person sends as many as allowed.
        """
        held = Held(self)
        with self._mutex:
            if self._files[person_id] >= self._max_files_of_one:
                raise ServiceError(
                    Reason.OBJECTS_BUSY, "Several files of this account are being received already."
                )
            self._files[person_id] += 1
        try:
            yield held
        finally:
            with self._mutex:
                self._held_bytes -= held.count
                self._files[person_id] -= 1
                self._files += Counter()  # without those who send nothing any more

    def add(self, count: int) -> None:
        """Hold as many bytes more.

        Raises:
            ServiceError: OBJECTS_BUSY: there is no room.
        """
        with self._mutex:
            if self._held_bytes + count > self._max_held_bytes:
                raise ServiceError(Reason.OBJECTS_BUSY, "Too many files are being received.")
            self._held_bytes += count


class Held:
    """How many bytes of one file are here."""

    def __init__(self, inflow: Inflow) -> None:
        self._inflow = inflow
        self.count = 0

    def add(self, count: int) -> None:
        """As many more.

        Raises:
            ServiceError: OBJECTS_BUSY.
        """
        self._inflow.add(count)
        self.count += count
