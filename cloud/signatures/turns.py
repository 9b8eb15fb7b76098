"""One signature of a contract is made at a time in a process; others wait, or look again later.

What must hold holds by the database (the contract's revision is compared and swapped): this spares the work
of those who would lose.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: int = 0


class Turns:
    """Any thread may use it; what nobody waits for any more is forgotten."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    @contextmanager
    def one(self, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Be the only one while the block runs; False, without ``wait``, where somebody else is."""
        with self._mutex:
            turn = self._turns.setdefault(key, _Turn())
            turn.wanted += 1
        mine = turn.lock.acquire(blocking=wait)
        try:
            yield mine
        finally:
            if mine:
                turn.lock.release()
            with self._mutex:
                turn.wanted -= 1
                if not turn.wanted:
                    del self._turns[key]


TURNS = Turns()
"""Of this process, whoever makes the signatures: a call, or the job that takes up what was left."""


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


class Line:
    """As :class:`Turns`, for calls of one event loop: who waits holds no thread; the first comes first."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def one(self, key: str) -> AsyncIterator[None]:
        """Be the only call while the block runs."""
        line = self._lines.setdefault(key, _Line())
        line.wanted += 1
        try:
            async with line.lock:
                yield
        finally:
            line.wanted -= 1
            if not line.wanted:
                del self._lines[key]
