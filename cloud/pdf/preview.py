"""Pages as pictures, made by separate processes with little room: a broken document kills one of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from cloud.pdf.intake import MAX_BYTES, MAX_PAGES, Document, Page, Why, refusal
from cloud.pdf.worker import ANSWER, REQUEST, Ask, Went

LEAST_WIDTH, MOST_WIDTH = 32, 3000
"""Pixels."""

MOST_WAITING = 64
TIME_S = 60.0
"""For one request, on a busy machine; the processor's time is limited to much less."""

_MOST_ANSWER = 64 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]


class NoPreview(StrEnum):
    LIMIT = "LIMIT"  # more memory, time or pixels than one page may take
    DAMAGED = "DAMAGED"
    NO_PAGE = "NO_PAGE"
    BUSY = "BUSY"  # too many wait already


_SENTENCES = {
    NoPreview.LIMIT: "a page takes more memory or time than one may",
    NoPreview.DAMAGED: "a page cannot be shown",
    NoPreview.NO_PAGE: "the document has no such page",
    NoPreview.BUSY: "too many pages are being made at this moment",
}
_WHY = {
    Went.LIMIT: NoPreview.LIMIT,
    Went.DAMAGED: NoPreview.DAMAGED,
    Went.REFUSED: NoPreview.DAMAGED,
    Went.NO_PAGE: NoPreview.NO_PAGE,
}


class PreviewFailed(Exception):
    """``why``: stable; the message says it in a sentence."""

    def __init__(self, why: NoPreview) -> None:
        super().__init__(_SENTENCES[why])
        self.why = why


class _Ended(Exception):
    """A worker ended, or took too long, before it answered."""


class _Worker:
    """A process, and the document that it was given."""

    def __init__(self, process: Process) -> None:
        self.digest = b""
        self.process = process

    async def asked(
        self, ask: Ask, content: bytes, digest: bytes, number: int, width: int
    ) -> tuple[Went, bytes]:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise _Ended
        sent = b"" if self.digest else content
        self.digest = digest
        try:
            async with asyncio.timeout(TIME_S):
                stdin.write(REQUEST.pack(ask, number, width, len(sent)) + sent)
                await stdin.drain()
                went, length = ANSWER.unpack(await stdout.readexactly(ANSWER.size))
                if length > _MOST_ANSWER:
                    raise _Ended
                return Went(went), await stdout.readexactly(length)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise _Ended from error

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()


class Previews:
    """Several calls at once, from one event loop."""

    def __init__(self, *, workers: int = 2) -> None:
        self._turns = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []  # the longest idle first
        self._workers = workers
        self._alive = 0
        self._waiting = 0
        self._closed = False

    async def check(self, content: bytes) -> Document:
        """``check_document`` in a limited process: for what comes from outside.

        Raises:
            PdfRefused: also where it takes more memory or time than it may.
            PreviewFailed: BUSY.
        """
        if not 0 < len(content) <= MAX_BYTES:
            raise refusal(Why.SIZE if content else Why.DAMAGED)
        digest = hashlib.sha256(content).digest()
        try:
            went, answer = await self._asked(Ask.CHECK, content, digest, 0, 0)
        except _Ended as error:
            raise refusal(Why.DAMAGED) from error
        if went is Went.REFUSED:
            raise refusal(Why(answer.decode("ascii")))
        if went is not Went.OK:
            raise refusal(Why.DAMAGED)
        return Document(tuple(Page(width, height) for width, height in json.loads(answer)), digest)

    async def page(self, content: bytes, number: int, *, width_px: int) -> bytes:
        """A page, from 1, as PNG, ``width_px`` wide.

        Raises:
            PreviewFailed
        """
        if not LEAST_WIDTH <= width_px <= MOST_WIDTH:
            raise ValueError(f"a picture is {LEAST_WIDTH} to {MOST_WIDTH} pixels wide")
        if not 1 <= number <= MAX_PAGES:
            raise PreviewFailed(NoPreview.NO_PAGE)
        digest = hashlib.sha256(content).digest()
        try:
            went, answer = await self._asked(Ask.PAGE, content, digest, number, width_px)
        except _Ended as error:
            raise PreviewFailed(NoPreview.LIMIT) from error
        if went is not Went.OK:
            raise PreviewFailed(_WHY[went])
        return answer

    async def close(self) -> None:
        """End all workers; to be called once, when no call is under way."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def _asked(
        self, ask: Ask, content: bytes, digest: bytes, number: int, width: int
    ) -> tuple[Went, bytes]:
        async with self._worker(digest) as worker:
            return await worker.asked(ask, content, digest, number, width)

    @asynccontextmanager
    async def _worker(self, digest: bytes) -> AsyncIterator[_Worker]:
        """One that knows this document, or none; it is ended where anything goes wrong with it."""
        if self._closed or self._waiting >= MOST_WAITING:
            raise PreviewFailed(NoPreview.BUSY)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            worker = await self._found(digest)
            try:
                yield worker
            except BaseException:
                self._alive -= 1
                await asyncio.shield(worker.end())
                raise
            self._idle.append(worker)
        finally:
            self._turns.release()

    async def _found(self, digest: bytes) -> _Worker:
        for worker in reversed(self._idle):
            if worker.digest == digest and worker.process.returncode is None:
                self._idle.remove(worker)
                return worker
        if self._alive >= self._workers and self._idle:
            self._alive -= 1
            await self._idle.pop(0).end()
        self._alive += 1
        try:
            return _Worker(await _started())
        except BaseException:
            self._alive -= 1
            raise


async def _started() -> Process:
    """Nothing of this process's surroundings is handed on, least of all its settings."""
    known = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cloud.pdf.worker",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        cwd=_ROOT,
        env=known | {"LANG": "C.UTF-8"},
        start_new_session=True,
    )
