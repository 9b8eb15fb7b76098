"""The health service (grpc.health.v1) of one port.

The library's own has no ``List``, and its watchers go on when the end has begun: they would hold up every
stop for as long as running calls may take.
"""

# ruff: noqa: N802 (names of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthServicer

SERVING: int = pb.HealthCheckResponse.SERVING
NOT_SERVING: int = pb.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: int = pb.HealthCheckResponse.SERVICE_UNKNOWN

Context = grpc.aio.ServicerContext[Any, Any]


class Health(HealthServicer):  # type: ignore[misc] # the library has no types
    """For one event loop."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._ending = False
        self._changed = asyncio.Condition()

    async def set(self, name: str, status: int) -> None:
        """Tell of a service (full name; empty: all of them), until the end begins."""
        async with self._changed:
            self._told[name] = NOT_SERVING if self._ending else status
            self._changed.notify_all()

    async def end(self) -> None:
        """From now on nothing is served any more, whatever else is said; who watches is told, and let go."""
        async with self._changed:
            self._ending = True
            self._told = dict.fromkeys(self._told, NOT_SERVING)
            self._changed.notify_all()

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> pb.HealthCheckResponse:
        """How one service is now; NOT_FOUND for one that is not here."""
        status = self._told.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return pb.HealthCheckResponse(status=status)

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> None:
        """How one service is, and each change."""
        told = None
        while True:
            status = self._status(request.service)
            if status != told:
                await context.write(pb.HealthCheckResponse(status=status))
                told = status
            async with self._changed:
                if self._status(request.service) != told:  # it changed while that was sent
                    continue
                if self._ending:
                    return
                await self._changed.wait()

    async def List(self, _request: pb.HealthListRequest, _context: Context) -> pb.HealthListResponse:
        """All services at once."""
        statuses = {name: pb.HealthCheckResponse(status=status) for name, status in self._told.items()}
        return pb.HealthListResponse(statuses=statuses)

    def _status(self, name: str) -> int:
        return self._told.get(name, SERVICE_UNKNOWN)
