"""The deliveries that are open: how many there may be, and who gives way.

Whoever dawdles holds memory and a place: one that sends slowly, and one that does not read its answer. While
there are places, a stream may wait for its device for half an hour. When all are taken, the one that has
waited longest gives way to a new one, if it has waited for longer than patience lasts; so slow clients,
however many, push out each other and not those who have something to deliver.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from cloud.attestations.limits import MAX_STREAMS, STREAM_PATIENCE_S
from cloud.errors import Reason, ServiceError

MAX_STREAMS_PER_DEVICE = 8
"""A device uses one; the others are for those that broke and were not noticed yet: in the 210 s that this
takes (cloud.server) a device gives up a call every 30 s. Each may hold a batch in memory, and all devices
share the port's calls."""

BATCH_WAIT_S = 1800.0
"""How long a stream may stay silent. A full batch over a link of 2 KiB/s takes 17 minutes."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class Stream:
    """One open delivery. ``since``: when it began to wait for its device, None while the service works."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wait: asyncio.Timeout | None = None
        self._gives_way = False
        self.since: float | None = clock()

    async def next(self, incoming: AsyncIterator[T]) -> T | None:
        """Read the next request; None at the end.

        Raises:
            ServiceError: the device was silent for too long, or others needed the place.
        """
        try:
            return await self._patiently(anext(incoming))
        except StopAsyncIteration:
            return None

    async def write(self, context: Context, answer: object) -> None:
        """Send an answer, which waits while the device does not read what was sent before.

        Raises:
            ServiceError: as above. It waits behind that answer, so the device learns of it if it ever reads.
        """
        await self._patiently(context.write(answer))

    def give_way(self) -> None:
        """End the stream's waiting."""
        self._gives_way = True
        self._heed()

    async def _patiently(self, device: Awaitable[T]) -> T:
        """Wait for the device, for BATCH_WAIT_S or until others need the place."""
        self.since = self._clock()
        try:
            async with asyncio.timeout(BATCH_WAIT_S) as self._wait:
                self._heed()
                return await device
        except TimeoutError as error:
            if self._gives_way:
                raise ServiceError(
                    Reason.BUSY, "Others needed the place of this stream, on which nothing moved for long."
                ) from error
            raise ServiceError(Reason.STREAM_IDLE, "On this stream nothing moved for too long.") from error
        finally:
            self.since = self._wait = None

    def _heed(self) -> None:
        if self._gives_way and self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())


class Streams:
    """The open deliveries of all devices. ``clock``: seconds, never set back. For one event loop."""

    def __init__(self, clock: Callable[[], float], *, most: int = MAX_STREAMS) -> None:
        self._clock = clock
        self._most = most
        self._open: set[Stream] = set()
        self._of_device: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, device_id: str) -> Iterator[Stream]:
        """Hold a place until the block ends.

        Raises:
            ServiceError: the device has too many streams, or there is no place and nobody gives way.
        """
        if self._of_device[device_id] >= MAX_STREAMS_PER_DEVICE:
            raise ServiceError(
                Reason.TOO_MANY_STREAMS, f"This device has {MAX_STREAMS_PER_DEVICE} streams open already."
            )
        if len(self._open) >= self._most:
            self._make_room()
        stream = Stream(self._clock)
        self._open.add(stream)
        self._of_device[device_id] += 1
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._of_device[device_id] -= 1
            if not self._of_device[device_id]:
                del self._of_device[device_id]

    def _make_room(self) -> None:
        waiting = [(one.since, number, one) for number, one in enumerate(self._open) if one.since is not None]
        since, _, slowest = min(waiting, default=(self._clock(), 0, None))
        if slowest is None or self._clock() - since < STREAM_PATIENCE_S:
            raise ServiceError(Reason.BUSY, f"The service has {self._most} deliveries open already.")
        self._open.discard(slowest)  # its place is free at once; its device still counts it until it ends
        slowest.give_way()
