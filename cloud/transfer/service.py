"""TransferService: the operator brings a device's file, and takes back the answer.

The file is received whole into DATA before anything in it is believed.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import grpc

from cloud.errors import Reason, ServiceError
from cloud.transfer.importer import Importer
from verifield.transfer import MAX_TRANSFER_BYTES
from verifield.v1 import transfer_service_pb2 as pb
from verifield.v1.transfer_service_pb2_grpc import TransferServiceServicer

PIECE_BYTES = 48 * 1024
"""Of a file in one message: below the public port's limit of 64 KiB."""

PIECE_WAIT_S = 60.0
"""An operator's line is never that slow; one that fell silent holds up the next import."""

MIN_FREE_BYTES = 1024**3
"""Left on the disk for the database."""

_FREE_CHECK_BYTES = 16 * 1024 * 1024
"""The disk is asked for its room once for so many bytes."""

Context = grpc.aio.ServicerContext[Any, Any]


class TransferService(TransferServiceServicer):
    """``folder``: where files lie while they are imported."""

    def __init__(self, importer: Importer, folder: Path) -> None:
        self._importer = importer
        self._folder = folder
        self._importing = False

    async def Import(
        self, request_iterator: AsyncIterator[pb.ImportRequest], context: Context
    ) -> AsyncIterator[pb.ImportResponse]:
        if self._importing:
            raise ServiceError(Reason.TRANSFER_BUSY, "Another file is being imported.")
        self._importing = True
        try:
            with (
                tempfile.TemporaryFile(dir=self._folder) as file,
                tempfile.TemporaryFile(dir=self._folder) as answer,
            ):
                await self._receive(request_iterator, file)
                summary = await self._importer.take(file, answer)
                answer.seek(0)
                while piece := await asyncio.to_thread(answer.read, PIECE_BYTES):
                    yield pb.ImportResponse(content=piece)
                yield pb.ImportResponse(summary=summary)
        finally:
            self._importing = False

    async def _receive(self, requests: AsyncIterator[pb.ImportRequest], file: BinaryIO) -> None:
        total = checked = 0
        while (request := await _next_in_time(requests)) is not None:
            total += len(request.content)
            if total > MAX_TRANSFER_BYTES:
                raise ServiceError(
                    Reason.TRANSFER_INVALID,
                    f"A file has at most {MAX_TRANSFER_BYTES} bytes.",
                    {"check": "TOO_LARGE"},
                )
            if total >= checked:
                if shutil.disk_usage(self._folder).free < MIN_FREE_BYTES + _FREE_CHECK_BYTES:
                    raise ServiceError(Reason.TRANSFER_NO_ROOM, "The disk has no room for the file.")
                checked = total + _FREE_CHECK_BYTES
            await asyncio.to_thread(file.write, request.content)


async def _next_in_time(requests: AsyncIterator[pb.ImportRequest]) -> pb.ImportRequest | None:
    try:
        async with asyncio.timeout(PIECE_WAIT_S):
            return await anext(requests, None)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The import brought nothing for too long.") from error
