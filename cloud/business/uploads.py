"""Takes a document as a stream: what it is first, then its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from cloud.api.rules import refuse_field
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects, Staged
from verifield.v1 import business_service_pb2 as pb

MAX_DOCUMENT_BYTES = 10 * 1024 * 1024
"""Some pages that were scanned in colour. The contract says the same."""

PIECE_WAIT_S = 30.0
"""A line that brings nothing for so long was lost."""

UPLOAD_S = 900.0
"""For a whole document: 12 KB in a second. Who sends byte by byte holds a call no longer."""

Requests = AsyncIterator[pb.UploadBusinessDocumentRequest]


async def read_header(requests: Requests) -> pb.BusinessDocumentHeader:
    """What the first message says.

    Raises:
        ServiceError: REQUEST_INVALID: it says nothing; STREAM_IDLE.
    """
    first = await _next_in_time(requests)
    if first is None or first.WhichOneof("part") != "header":
        refuse_field("header", rule="upload.header_first", why="comes first")
    return first.header


async def receive(
    objects: Objects, requests: Requests, header: pb.BusinessDocumentHeader, *, person_id: str
) -> Staged:
    """The content, sealed on disk; no row names it yet.

    Raises:
        ServiceError: BUSINESS_DOCUMENT_DIGEST, REQUEST_INVALID, STREAM_IDLE, or why its content is refused.
    """
    try:
        async with asyncio.timeout(UPLOAD_S):
            staged = await objects.receive(_pieces(requests), person_id=person_id, limit=MAX_DOCUMENT_BYTES)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload takes too long.") from error
    if staged.ref.sha256 != header.sha256:
        raise ServiceError(Reason.BUSINESS_DOCUMENT_DIGEST, "The content has another digest.")
    return staged


async def _pieces(requests: Requests) -> AsyncIterator[bytes]:
    while (request := await _next_in_time(requests)) is not None:
        if request.WhichOneof("part") != "content":
            refuse_field("content", rule="upload.one_header", why="follows the header")
        yield request.content


async def _next_in_time(requests: Requests) -> pb.UploadBusinessDocumentRequest | None:
    try:
        async with asyncio.timeout(PIECE_WAIT_S):
            return await anext(requests, None)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload brought nothing for too long.") from error
