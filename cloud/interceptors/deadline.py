"""Every call ends: one without a deadline, or with one too far away, gets the longest that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cloud.access.call import Call
from cloud.errors import Reason, ServiceError

ENDLESS = frozenset(
    {
        # As long as a device has something to say; it bounds the silence between two batches.
        "/verifield.v1.SyncService/Deliver",
        # Files of several GB; it bounds the silence between two pieces.
        "/verifield.v1.TransferService/Import",
        # Made to be left open.
        "/grpc.health.v1.Health/Watch",
    }
)
"""Methods with limits of their own."""


class DeadlineLayer:
    """What a thread has begun when the time is up it ends by itself: a change may still be made."""

    def __init__(self, max_call_s: float) -> None:
        self._max_call_s = max_call_s

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self._ended(call)

    def check(self, call: Call, request: object) -> None:
        """Nothing."""

    @asynccontextmanager
    async def _ended(self, call: Call) -> AsyncIterator[None]:
        if call.method in ENDLESS:
            yield
            return
        asked = call.deadline_s
        if asked is not None and asked <= self._max_call_s:
            yield  # gRPC itself cancels the call in time
            return
        call.deadline_s = self._max_call_s
        try:
            async with asyncio.timeout(self._max_call_s) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ServiceError(
                Reason.DEADLINE_EXCEEDED,
                f"The call took longer than {self._max_call_s:g} seconds.",
                {"max_call_s": f"{self._max_call_s:g}"},
            ) from error
