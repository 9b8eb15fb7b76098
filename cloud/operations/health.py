"""Says in the health service whether this server can do its work: not only that it runs.

A load balancer takes a server out whose database is away, and brings it back by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from cloud.store.database import Store

INTERVAL_S = 5.0
"""A server is taken out and brought back within a few seconds, and a look costs the database nothing."""

PATIENCE_S = 3.0
"""How long a database may take to answer: it is away for whoever waits longer."""


class Serving(Protocol):
    """A port whose health can be told."""

    async def set_serving(self, serving: bool) -> None: ...


class HealthWatch:
    """Looks again and again; ``able`` raises or answers False where the server cannot do its work."""

    def __init__(self, able: Callable[[], bool]) -> None:
        self._able = able
        self._look: asyncio.Task[bool] | None = None

    async def run(self, *ports: Serving) -> None:
        """Look every INTERVAL_S until cancelled."""
        while True:
            serving = await self.look()
            for port in ports:
                await port.set_serving(serving)
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> bool:
        """Look once, for at most PATIENCE_S; an earlier look that hangs still is not joined by another."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(asyncio.to_thread(self._able))
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._look), PATIENCE_S)
        return False


def database_answers(store: Store) -> bool:
    """Ask the database for nothing.

    Raises:
        SQLAlchemyError: it is away.
    """
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))
    return True
