"""Checks of documents that anybody may ask for: a few at a time, each within limits, few for one source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509

from cloud.access.rates import Places
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources
from verifield.documents import MAX_DOCUMENT_BYTES, Limits, Verdict, judge_apart
from verifield.errors import VerifieldError

WAITING_PER_CHECK = 4
"""Documents that are taken in beside those that are checked: each waits in memory."""

MAX_OF_ONE_SOURCE = 2
"""Checks of one address or device at once: nobody alone takes all places."""

PIECE_WAIT_S = 20.0
"""A line that is so slow, or fell silent, holds a place that others want."""


@dataclass(frozen=True, slots=True)
class Trust:
    """``root``: of the deployment. ``stamp_roots``: of time-stamping authorities of others."""

    root: x509.Certificate
    stamp_roots: Sequence[x509.Certificate]


class Checks:
    """For one event loop. ``at_once``: processes that check."""

    def __init__(self, trust: Trust, sources: Sources, *, at_once: int, limits: Limits) -> None:
        self._trust = trust
        self._sources = sources
        self._limits = limits
        self._processes = asyncio.Semaphore(at_once)
        self._most = at_once * (1 + WAITING_PER_CHECK)
        self._inside = 0
        self._of_sources = Places(most=MAX_OF_ONE_SOURCE)

    @contextmanager
    def place(self, source: str) -> Iterator[None]:
        """Hold a place for one document, from its first byte to the verdict.

        Raises:
            ServiceError: DOCUMENT_CHECKS_BUSY; RATE_LIMITED: ``source`` has none left.
        """
        if self._inside >= self._most:
            raise ServiceError(
                Reason.DOCUMENT_CHECKS_BUSY, f"{self._most} documents are being checked, which is the most."
            )
        with self._of_sources.take(source):
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1

    async def judge(self, content: bytes, *, revocations: Sequence[bytes]) -> Verdict:
        """The verdict on a document, in a process of its own.

        Raises:
            ServiceError: DOCUMENT_CHECKS_AWAY: no process can be started.
        """
        async with self._processes:
            try:
                return await asyncio.to_thread(
                    judge_apart,
                    content,
                    roots=[self._trust.root],
                    at=self._sources.now(),
                    stamp_roots=self._trust.stamp_roots,
                    revocations=revocations,
                    limits=self._limits,
                )
            except (OSError, VerifieldError) as error:
                raise ServiceError(
                    Reason.DOCUMENT_CHECKS_AWAY, "No process for the check could be started."
                ) from error


async def receive(pieces: AsyncIterator[bytes]) -> bytes:
    """A document that comes in pieces.

    Raises:
        ServiceError: DOCUMENT_SIZE, DOCUMENT_EMPTY, STREAM_IDLE.
    """
    content = bytearray()
    while (piece := await _next_in_time(pieces)) is not None:
        if len(content) + len(piece) > MAX_DOCUMENT_BYTES:
            raise ServiceError(
                Reason.DOCUMENT_SIZE,
                f"A document has at most {MAX_DOCUMENT_BYTES} bytes.",
                {"max_bytes": str(MAX_DOCUMENT_BYTES)},
            )
        content += piece
    if not content:
        raise ServiceError(Reason.DOCUMENT_EMPTY, "No byte of a document came.")
    return bytes(content)


async def _next_in_time(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(PIECE_WAIT_S):
            return await anext(pieces, None)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The document brought nothing for too long.") from error
