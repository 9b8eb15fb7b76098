"""Every call ends: one without a deadline, or with one too far away, gets the longest that is kept."""

from __future__ import annotations

import asyncio

from cloud.access.call import Call, Serve
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

    async def around(self, call: Call, serve: Serve) -> object:
        if call.method in ENDLESS:
            return await serve()
        asked = call.deadline_s
        if asked is not None and asked <= self._max_call_s:
            return await serve()  # gRPC itself cancels the call in time
        call.deadline_s = self._max_call_s
        try:
            async with asyncio.timeout(self._max_call_s) as limit:
                return await serve()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ServiceError(
                Reason.DEADLINE_EXCEEDED,
                f"The call took longer than {self._max_call_s:g} seconds.",
                {"max_call_s": f"{self._max_call_s:g}"},
            ) from error

    def check(self, call: Call, request: object) -> None:
        """Nothing."""
