"""Who verifies batches: processes beside the service, or a thread of it where there is one core.

Checking a P-256 signature takes some 55 us in which the interpreter's lock is held, so threads do not help
each other. A process that dies takes nothing with it: its batches were not answered, and are verified again,
each by itself, so that one batch which kills whoever verifies it stops no other device.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cloud.attestations.verifying import Job, Verified, verify_batch
from cloud.attestations.worker import LENGTH, encode_frame, parse_answer
from cloud.errors import Reason, ServiceError

JOBS_AT_ONCE = 2
"""For each process: one that it verifies, and one that is there when it has done so."""

VERIFY_TIMEOUT_S = 60.0
"""For the jobs of one process: a full batch takes 30 ms, eight signatures on each record 0.2 s, and a machine
that swaps more. A process that takes longer hangs."""

READ_AHEAD_BYTES = 4 * 1024 * 1024
"""Answers are read whole: one has half a megabyte at most, unless all of a full batch names many files."""

MAX_PROCESSES = 64

WORKER = (sys.executable, "-m", "cloud.attestations.worker")
"""The command of a process, to which the number of its socket is added."""


class Verifiers(Protocol):
    """Computes :func:`verify_batch` outside of the event loop."""

    async def verify(self, job: Job) -> Verified:
        """Return what is genuine of a batch.

        Raises:
            ServiceError: its refusal, or VERIFIER_UNAVAILABLE: nobody could verify it.
        """

    async def close(self) -> None:
        """Let go of what was started; what was not answered raises VERIFIER_UNAVAILABLE."""


def open_verifiers(processes: int | None, *, root: x509.Certificate) -> Verifiers:
    """As many processes as there are cores for None; a thread for 0."""
    count = default_processes() if processes is None else processes
    return VerifierProcesses(count, root=root) if count else VerifierThread(root=root)


def default_processes() -> int:
    """One for each core that this process may use; none where there is only one."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, MAX_PROCESSES) if cores > 1 else 0


class VerifierThread:
    """One batch after the other in a thread."""

    def __init__(self, *, root: x509.Certificate) -> None:
        self._root = root
        self._turn = asyncio.Semaphore(1)

    async def verify(self, job: Job) -> Verified:
        async with self._turn:
            return await asyncio.to_thread(verify_batch, job, root=self._root)

    async def close(self) -> None:
        """Nothing was started."""


class VerifierProcesses:
    """Processes that are started when they are needed, and again when they died."""

    def __init__(
        self, count: int, *, root: x509.Certificate, on_death: Callable[[], None] = lambda: None
    ) -> None:
        self._root = root.public_bytes(Encoding.DER)
        self._on_death = on_death
        self._places = asyncio.Semaphore(count * JOBS_AT_ONCE)
        self._starting = asyncio.Lock()
        self._alone = asyncio.Lock()
        self._workers: list[_Worker | None] = [None] * count
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [one.pid for one in self._workers if one is not None and not one.dead]

    @property
    def jobs(self) -> int:
        """How many batches processes were asked for and have not answered."""
        return sum(one.jobs for one in self._workers if one is not None)

    async def verify(self, job: Job) -> Verified:
        frame = encode_frame(pickle.dumps(tuple(job)))
        try:
            async with self._places:
                answer = await (await self._idlest()).ask(frame)
        except _Died:
            answer = await self._again(frame)
        return parse_answer(answer, job)

    async def close(self) -> None:
        self._closed = True
        for worker in self._workers:
            if worker is not None:
                await worker.stop()

    async def _again(self, frame: bytes) -> bytes:
        """Verify in a process of its own what some process did not live to answer: one batch at a time."""
        async with self._alone:
            try:
                self._on_death()
                worker = await self._start()
                try:
                    return await worker.ask(frame)
                finally:
                    await worker.stop()
            except _Died as error:
                raise ServiceError(
                    Reason.VERIFIER_UNAVAILABLE, "The batch could not be verified; nothing of it was taken."
                ) from error

    async def _idlest(self) -> _Worker:
        running = [one for one in self._workers if one is not None and not one.dead]
        idle = min(running, key=lambda one: one.jobs, default=None)
        if idle is not None and (idle.jobs == 0 or len(running) == len(self._workers)):
            return idle
        async with self._starting:
            for place, worker in enumerate(self._workers):
                if worker is None or worker.dead:
                    if worker is not None:
                        await worker.stop()
                    self._workers[place] = started = await self._start()
                    return started
        return await self._idlest()

    async def _start(self) -> _Worker:
        if self._closed:
            raise _Died
        return await _Worker.start(self._root)


class _Died(Exception):
    """The process ended, or was ended, before it answered."""


class _Worker:
    """One process; it answers in the order of the jobs."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._process = process
        self._reader, self._writer = streams
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._reading = asyncio.create_task(self._read())
        self.dead = False

    @classmethod
    async def start(cls, root: bytes) -> _Worker:
        """Start a process.

        Raises:
            _Died: the system refuses.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.to_thread(
                    subprocess.Popen,
                    [*WORKER, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # signals of a terminal are for the service
                )
        except OSError as error:
            ours.close()
            raise _Died from error
        streams = await asyncio.open_connection(sock=ours, limit=READ_AHEAD_BYTES)
        streams[1].write(encode_frame(root))
        return cls(process, streams)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def jobs(self) -> int:
        return len(self._asked)

    async def ask(self, frame: bytes) -> bytes:
        """Send a job, and wait for its answer.

        Raises:
            _Died: there will be none.
        """
        if self.dead:
            raise _Died
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._writer.write(frame)
        try:
            async with asyncio.timeout(VERIFY_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            self._end()
            raise _Died from error

    async def stop(self) -> None:
        """End the process, and with it what it was asked."""
        self._end()
        await self._reading
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    async def _read(self) -> None:
        try:
            while True:
                [size] = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                answer = await self._reader.readexactly(size)
                future = self._asked.popleft()
                if not future.done():
                    future.set_result(answer)
        except (asyncio.IncompleteReadError, OSError, IndexError):
            self._end()

    def _end(self) -> None:
        self.dead = True
        self._process.kill()
        for future in self._asked:
            if not future.done():
                future.set_exception(_Died())
        self._asked.clear()
