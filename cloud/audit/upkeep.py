"""What the audit chain needs while a service runs: notes are written, and heads signed when one is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from cloud.audit.heads import HeadSigner
from cloud.audit.trail import Trail

HEAD_CHECK_S = 900.0
"""Between two looks whether a head is due: a day is kept to a hundredth, also across sleeps and faults."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One for each server."""

    trail: Trail
    signer: HeadSigner


@asynccontextmanager
async def kept_up(audit: Audit, log: FilteringBoundLogger) -> AsyncIterator[None]:
    """Do it beside the block, which ends when nobody is served any more; then write what is left."""
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(audit.trail.run(stop, log)),
        asyncio.create_task(_sign_heads(audit.signer, stop, log)),
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _sign_heads(signer: HeadSigner, stop: asyncio.Event, log: FilteringBoundLogger) -> None:
    while not stop.is_set():
        try:
            if await asyncio.to_thread(signer.is_due) and (signed := await signer.sign()):
                log.info("audit_head", log_index=signed.log_index)
        except Exception as error:  # the database is away, or the log waits for a person: try again later
            log.warning("audit_head", error=type(error).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), HEAD_CHECK_S)
