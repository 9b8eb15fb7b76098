"""SyncService: takes a device's backlog over mutual TLS, and hands down what the device should know.

Each batch is verified in a thread, judged and written in the log's next transaction, and answered
once it is durable, with a receipt through the newest record of the unbroken chain.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.attestations.deliverer import Deliverer, to_ranges
from cloud.attestations.intake import known_device, missing_places
from cloud.devices.peer import device_of_peer
from cloud.errors import Reason, ServiceError
from cloud.feed.pull import Feed
from cloud.media.intake import MediaIntake
from cloud.sources import Sources, to_us
from cloud.store import devices
from cloud.store.database import Store
from verifield.chain import ChainHead
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceServicer

MAX_STREAMS_PER_DEVICE = 8
"""A device uses one; the others are for those that broke and were not noticed yet: in the 210 s that this
takes (cloud.server) a device gives up a call every 30 s. Each may hold a batch in memory, and all devices
share the port's calls."""

BATCH_WAIT_S = 1800.0
"""How long a stream may stay silent. A full batch over a link of 2 KiB/s takes 17 minutes."""

MEDIA_THREADS = 2
"""Files are written in threads that records need too, and records come first."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class SyncService(SyncServiceServicer):
    def __init__(
        self, store: Store, deliverer: Deliverer, feed: Feed, media: MediaIntake, sources: Sources
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._feed = feed
        self._media = media
        self._sources = sources
        self._streams: Counter[str] = Counter()
        self._media_calls = asyncio.Semaphore(MEDIA_THREADS)

    async def Deliver(
        self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context
    ) -> AsyncIterator[pb.DeliverResponse]:
        chain: tuple[bytes, ...] = ()
        identity = context.auth_context()  # once: a connection may be reset while the stream is served
        with self._one_more_stream(device_of_peer(identity, now=self._sources.now())):
            async for request in _in_time(request_iterator):
                device_id = device_of_peer(identity, now=self._sources.now())
                chain = tuple(request.certificates) or chain
                yield await self._deliverer.deliver(request, device_id=device_id, certificates=chain)

    async def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:
        def read(connection: Connection, device: devices.DeviceRow) -> pb.GetHeadResponse:
            head = ChainHead(device.chain_epoch, device.seq, device.head_sha256)
            newest, missing = missing_places(connection, device.device_id, head)
            return pb.GetHeadResponse(
                chain_epoch=head.epoch,
                seq=head.seq,
                head_sha256=head.sha256,
                newest_seq=newest,
                missing=to_ranges(missing),
            )

        return await self._answer(self._caller(context), read)

    async def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:
        def read(connection: Connection, device: devices.DeviceRow) -> pb.PullResponse:
            return self._feed.pull(connection, device, cursor=request.cursor, page_size=request.page_size)

        return await self._answer(self._caller(context), read, revoked_too=True)

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.GetMediaResponse:
        device_id = await self._admitted(context)
        async with self._media_calls:
            found = await asyncio.to_thread(self._media.find, device_id, request.sha256)
        return pb.GetMediaResponse(complete=found.complete, chunks=found.chunks)

    async def PutMediaChunk(
        self, request: pb.PutMediaChunkRequest, context: Context
    ) -> pb.PutMediaChunkResponse:
        device_id = await self._admitted(context)
        async with self._media_calls:
            complete = await asyncio.to_thread(self._media.put, device_id, request)
        return pb.PutMediaChunkResponse(complete=complete)

    def _caller(self, context: Context) -> str:
        return device_of_peer(context.auth_context(), now=self._sources.now())

    async def _admitted(self, context: Context) -> str:
        return await self._answer(self._caller(context), lambda _, device: device.device_id)

    async def _answer(
        self,
        device_id: str,
        read: Callable[[Connection, devices.DeviceRow], T],
        *,
        revoked_too: bool = False,
    ) -> T:
        """Answer a device from one view of the store, and keep the time of the contact."""

        def run() -> T:
            now_us = to_us(self._sources.now())
            with self._store.reading() as connection:
                device = known_device(connection, device_id, revoked_too=revoked_too)
                answer = read(connection, device)
            if devices.needs_touch(device, now_us=now_us):
                with self._store.writing() as connection:
                    devices.touch(connection, device_id, now_us=now_us)
            return answer

        return await asyncio.to_thread(run)

    @contextmanager
    def _one_more_stream(self, device_id: str) -> Iterator[None]:
        if self._streams[device_id] >= MAX_STREAMS_PER_DEVICE:
            raise ServiceError(
                Reason.TOO_MANY_STREAMS, f"This device has {MAX_STREAMS_PER_DEVICE} streams open already."
            )
        self._streams[device_id] += 1
        try:
            yield
        finally:
            self._streams[device_id] -= 1
            if not self._streams[device_id]:
                del self._streams[device_id]


async def _in_time(requests: AsyncIterator[pb.DeliverRequest]) -> AsyncIterator[pb.DeliverRequest]:
    """The requests of a stream, each within BATCH_WAIT_S."""
    while True:
        try:
            async with asyncio.timeout(BATCH_WAIT_S):
                request = await anext(requests, None)
        except TimeoutError as error:
            raise ServiceError(Reason.STREAM_IDLE, "The stream brought nothing for too long.") from error
        if request is None:
            return
        yield request
