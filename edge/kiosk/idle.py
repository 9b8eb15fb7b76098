"""A screen that nobody touches: who works here is warned, then signed out, and what is shown of anybody goes.

A touch is a page that is loaded, what it posts, and its word on the stream that somebody presses, types or
scrolls. A session under way counts as touched: its people stand before the camera, and it ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from edge.errors import EdgeError
from edge.kiosk.people import present, sign_out
from edge.kiosk.server import Kiosk
from edge.kiosk.state import Stage
from edge.operators.machine import IDLE_LIMIT_NS

IDLE_S = IDLE_LIMIT_NS / 1e9
"""As the operators' own: a person who walked away leaves nothing on the screen for longer."""

WARNING_S = 30.0
"""How long before the end the pages say so (WCAG 2.2, 2.2.1: at least 20 seconds to touch anything)."""

TOUCH_EVERY_S = 10.0
"""The pages say touches every 15 seconds at most; what comes faster is ignored, for each asks the office."""

_log = logging.getLogger(__name__)


class IdleClock:
    """Looked at again and again on the event loop, which the touches come to as well."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._work: asyncio.Task[None] | None = None
        kiosk.hub.on_touch = self.hear

    def look(self) -> None:
        """Warn, or end it, when it is time."""
        kiosk, view = self._kiosk, self._kiosk.hub.view
        if view.busy:
            kiosk.touch()
        left_s = IDLE_S - kiosk.idle_s
        kiosk.hub.tell(ends=0 < left_s <= WARNING_S)
        if left_s <= 0 and (kiosk.operator is not None or view.stage is not Stage.NONE):
            self._do(self._end)

    def hear(self, flow: str) -> None:
        """The page that has the controls, and shows ``flow``, was touched."""
        if self._kiosk.idle_s >= TOUCH_EVERY_S:
            self._do(partial(self._go_on, flow))

    async def _go_on(self, flow: str) -> None:
        await present(self._kiosk)
        self.look()
        for touch in self._kiosk.on_touch:  # after the operator's: no visit outlives who began it
            touch(flow)

    async def _end(self) -> None:
        try:
            await sign_out(self._kiosk)
        finally:
            self._kiosk.hub.put_away()

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One thing at a time: what comes meanwhile comes again."""
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._try(work))

    async def _try(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except EdgeError as error:
            _log.info("a touch, or its absence, was not taken: %s", error.code)
