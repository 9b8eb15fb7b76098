"""SyncService: takes a device's backlog over mutual TLS, and hands down what the device should know.

Each batch is verified in a process of its own, judged and written in one of the log's next groups, and
answered once it is durable, with a receipt through the newest record of the unbroken chain. The next one of
a stream is read only then: what is not read stays on the device.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.attestations.deliverer import Deliverer, to_ranges
from cloud.attestations.intake import known_device, missing_places
from cloud.attestations.streams import Streams
from cloud.devices.peer import device_of_peer
from cloud.feed.pull import Feed
from cloud.media.intake import MediaIntake
from cloud.sources import Sources, to_us
from cloud.store import devices
from cloud.store.database import Store
from verifield.chain import ChainHead
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceServicer

MEDIA_THREADS = 2
"""Files are written in threads that records need too, and records come first."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class SyncService(SyncServiceServicer):
    def __init__(
        self,
        store: Store,
        deliverer: Deliverer,
        feed: Feed,
        media: MediaIntake,
        sources: Sources,
        *,
        streams: Streams | None = None,
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._feed = feed
        self._media = media
        self._sources = sources
        self._streams = streams or Streams(time.monotonic)
        self._media_calls = asyncio.Semaphore(MEDIA_THREADS)

    async def Deliver(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context
    ) -> None:
        """Answers are written here, not yielded: so that who does not read them can be made to give way."""
        chain: tuple[bytes, ...] = ()
        identity = CALL.get().auth  # read when the call began: a connection may be reset meanwhile
        with self._streams.opened(device_of_peer(identity, now=self._sources.now())) as stream:
            while (request := await stream.next(request_iterator)) is not None:
                device_id = device_of_peer(identity, now=self._sources.now())
                chain = tuple(request.certificates) or chain
                answer = await self._deliverer.deliver(request, device_id=device_id, certificates=chain)
                await stream.write(context, answer)

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

        return await self._answer(self._caller(), read)

    async def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:
        def read(connection: Connection, device: devices.DeviceRow) -> pb.PullResponse:
            return self._feed.pull(connection, device, cursor=request.cursor, page_size=request.page_size)

        return await self._answer(self._caller(), read, revoked_too=True)

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.GetMediaResponse:
        device_id = await self._admitted()
        async with self._media_calls:
            found = await asyncio.to_thread(self._media.find, device_id, request.sha256)
        return pb.GetMediaResponse(complete=found.complete, chunks=found.chunks)

    async def PutMediaChunk(
        self, request: pb.PutMediaChunkRequest, context: Context
    ) -> pb.PutMediaChunkResponse:
        device_id = await self._admitted()
        async with self._media_calls:
            complete = await asyncio.to_thread(self._media.put, device_id, request)
        return pb.PutMediaChunkResponse(complete=complete)

    def _caller(self) -> str:
        return device_of_peer(CALL.get().auth, now=self._sources.now())

    async def _admitted(self) -> str:
        return await self._answer(self._caller(), lambda _, device: device.device_id)

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
