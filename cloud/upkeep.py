"""What a room does by itself while the service runs: deadlines that pass, messages that wait, daily work.

Each job looks for what is due and does it in transactions of its own, so that any number of servers may
run the same jobs: what one has done, another does not find. A fault is told and tried again at the next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Job:
    """``run``: does what is due now and returns how much that was; called in a thread, never twice at once.

    ``every_s``: pause between two runs. Where a run did ``full`` or more, the next one follows at once.
    """

    name: str
    run: Callable[[], int]
    every_s: float
    full: int = 1_000_000


@asynccontextmanager
async def jobs_running(jobs: Iterable[Job], log: FilteringBoundLogger) -> AsyncIterator[None]:
    """Run the jobs beside the block; when it ends, let those that run come to their end.

    Each job has a thread of its own: one that waits for a server elsewhere keeps no call, and no other job,
    from running.
    """
    stop, jobs = asyncio.Event(), tuple(jobs)
    threads = ThreadPoolExecutor(max_workers=len(jobs) or 1, thread_name_prefix="upkeep")
    tasks = [asyncio.create_task(_run(job, stop, log, threads), name=job.name) for job in jobs]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        threads.shutdown()


async def _run(job: Job, stop: asyncio.Event, log: FilteringBoundLogger, threads: Executor) -> None:
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        done = 0
        try:
            done = await loop.run_in_executor(threads, job.run)
            if done:
                log.info("upkeep", task=job.name, count=done)
        except Exception as error:  # the database is away, or one job has a fault: the others go on
            log.warning("upkeep", task=job.name, error=type(error).__name__)
        if done < job.full:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), job.every_s)
