"""Takes a file as a stream: what it is first, then its bytes. For organisations, seals and approvals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, TypeVar

from cloud.api.rules import refuse_field
from cloud.errors import Reason, ServiceError
from cloud.objects.kinds import DOCUMENTS, MediaType
from cloud.objects.store import Objects, Staged

MAX_DOCUMENT_BYTES = 10 * 1024 * 1024
"""Some pages that were scanned in colour. The contract says the same."""

PIECE_WAIT_S = 30.0
"""A line that brings nothing for so long was lost."""

UPLOAD_S = 900.0
"""For a whole file: 12 KB in a second. Who sends byte by byte holds a call no longer."""

PIECE_BYTES = 48 * 1024
"""Of a file in one answer."""

T = TypeVar("T")


class Header(Protocol):
    """What a first message holds."""

    sha256: bytes


async def read_header(requests: AsyncIterator[Any]) -> Any:
    """What the first message says.

    Raises:
        ServiceError: REQUEST_INVALID: it says nothing; STREAM_IDLE.
    """
    first = await _next_in_time(requests)
    if first is None or first.WhichOneof("part") != "header":
        refuse_field("header", rule="upload.header_first", why="comes first")
    return first.header


async def receive(
    objects: Objects,
    requests: AsyncIterator[Any],
    header: Header,
    *,
    person_id: str,
    limit: int = MAX_DOCUMENT_BYTES,
    kinds: frozenset[MediaType] = DOCUMENTS,
) -> Staged:
    """The content, sealed on disk; no row names it yet.

    Raises:
        ServiceError: UPLOAD_DIGEST, REQUEST_INVALID, STREAM_IDLE, or why its content is refused.
    """
    try:
        async with asyncio.timeout(UPLOAD_S):
            staged = await objects.receive(pieces_of(requests), person_id=person_id, limit=limit, kinds=kinds)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload takes too long.") from error
    check_digest(staged.ref.sha256, header)
    return staged


async def collect(requests: AsyncIterator[Any], check: Callable[[bytearray], None]) -> bytes:
    """What follows the header, held whole; ``check`` sees what has come after each piece, and may raise.

    Raises:
        ServiceError: REQUEST_INVALID, STREAM_IDLE, or what ``check`` raises.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_S):
            async for piece in pieces_of(requests):
                content += piece
                check(content)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload takes too long.") from error
    check(content)
    return bytes(content)


async def pieces_of(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """What follows the header.

    Raises:
        ServiceError: REQUEST_INVALID, STREAM_IDLE.
    """
    while (request := await _next_in_time(requests)) is not None:
        if request.WhichOneof("part") != "content":
            refuse_field("content", rule="upload.one_header", why="follows the header")
        yield request.content


def check_digest(digest: bytes, header: Header) -> None:
    """Check that what arrived is what was announced.

    Raises:
        ServiceError: UPLOAD_DIGEST.
    """
    if digest != header.sha256:
        raise ServiceError(Reason.UPLOAD_DIGEST, "The content has another digest.")


def pieces(content: bytes) -> Iterator[bytes]:
    """A content as it travels."""
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]


async def _next_in_time(requests: AsyncIterator[T]) -> T | None:
    try:
        async with asyncio.timeout(PIECE_WAIT_S):
            return await anext(requests, None)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload brought nothing for too long.") from error
