"""How much may be in work at once: batches wait outside, their senders with them.

A batch is let in by its bytes. Its device has a share, so that one device's backlog leaves room for the
others; those that wait come in in the order in which they came, except past one whose device has its share in
work. What waits is bounded too: beyond that a batch is refused, and the device comes again. gRPC reads the
next request of a stream only when the last one was answered, so what is not read stays on the device.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from cloud.attestations.limits import (
    MAX_DEVICE_WORK_BYTES,
    MAX_WAITING_BYTES,
    MAX_WORK_BATCHES,
    MAX_WORK_BYTES,
)
from cloud.errors import Reason, ServiceError


@dataclass(eq=False, slots=True)
class _Waiting:
    device_id: str
    size: int
    admitted: asyncio.Future[None]


class Window:
    """Counts the bytes of batches between their arrival and their answer. For one event loop."""

    def __init__(
        self,
        *,
        most_bytes: int = MAX_WORK_BYTES,
        most_batches: int = MAX_WORK_BATCHES,
        most_of_device: int = MAX_DEVICE_WORK_BYTES,
        most_waiting: int = MAX_WAITING_BYTES,
    ) -> None:
        self._most_bytes = most_bytes
        self._most_batches = most_batches
        self._most_of_device = most_of_device
        self._most_waiting = most_waiting
        self._of_device: Counter[str] = Counter()
        self._queue: list[_Waiting] = []
        self.batches_in_work = 0
        self.bytes_in_work = 0
        self.bytes_waiting = 0

    async def enter(self, device_id: str, size: int) -> None:
        """Wait until a batch of ``size`` bytes may be worked at; :meth:`leave` must follow.

        Raises:
            ServiceError: too much waits already.
        """
        if not self._queue and self._has_room(size) and self._has_share(device_id, size):
            self._take(device_id, size)
            return
        if self.bytes_waiting + size > self._most_waiting:
            raise ServiceError(Reason.BUSY, "The service has as many batches waiting as it may hold.")
        waiting = _Waiting(device_id, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self.bytes_waiting += size
        self._admit()
        try:
            await waiting.admitted
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
                self.bytes_waiting -= size
                self._admit()
            else:  # let in at the very moment
                self.leave(device_id, size)
            raise

    def leave(self, device_id: str, size: int) -> None:
        """The batch was answered, or came to nothing."""
        self.batches_in_work -= 1
        self.bytes_in_work -= size
        self._of_device[device_id] -= size
        if not self._of_device[device_id]:
            del self._of_device[device_id]
        self._admit()

    def _admit(self) -> None:
        """Let in whom there is room for, the first come first."""
        for waiting in [one for one in self._queue if not one.admitted.cancelled()]:
            if not self._has_room(waiting.size):
                return  # whoever is large must not wait for ever behind small ones
            if not self._has_share(waiting.device_id, waiting.size):
                continue
            self._queue.remove(waiting)
            self.bytes_waiting -= waiting.size
            self._take(waiting.device_id, waiting.size)
            waiting.admitted.set_result(None)

    def _has_room(self, size: int) -> bool:
        """One that is larger than all there is may come in alone."""
        fits = not self.bytes_in_work or self.bytes_in_work + size <= self._most_bytes
        return fits and self.batches_in_work < self._most_batches

    def _has_share(self, device_id: str, size: int) -> bool:
        held = self._of_device[device_id]
        return not held or held + size <= self._most_of_device

    def _take(self, device_id: str, size: int) -> None:
        self.batches_in_work += 1
        self.bytes_in_work += size
        self._of_device[device_id] += size
