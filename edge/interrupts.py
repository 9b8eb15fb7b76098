"""Stops that must wait: what has to be whole is finished before a signal is obeyed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Ctrl-C, the service manager, a terminal that was closed, Ctrl-\\: none of them may cost a record."""


class Stops:
    """The stops of one block. ``handlers``: who was told of them before."""

    def __init__(self, handlers: Mapping[int, Any]) -> None:
        self._handlers = handlers
        self._held: list[int] = []
        self._obeyed = False

    @property
    def held(self) -> tuple[int, ...]:
        """What came and was not obeyed yet, each once."""
        return tuple(dict.fromkeys(self._held))

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Be the handler of the stops while the block runs."""
        handler = self._handlers[number]
        if self._obeyed and callable(handler):
            self._obeyed = False  # one is enough: what it sets off is not cut short by the next
            handler(number, frame)
        else:
            self._held.append(number)

    @contextmanager
    def obeyed(self) -> Iterator[None]:
        """Within the block, let the first stop through to who was told of it before; all others wait."""
        self._obeyed = True
        try:
            came, self._held = self._held, []
            for number in came:
                self.hear(number, None)
            yield
        finally:
            self._obeyed = False


def obey_stops() -> None:
    """Let each of STOPS raise KeyboardInterrupt, but those that whoever started us wants ignored (nohup)."""
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def stops_held_back() -> Iterator[Stops]:
    """Hold STOPS back while the block runs; what came meanwhile is delivered at its end.

    Signals interrupt the main thread alone, so in any other there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Stops({})
        return
    stops = Stops({number: signal.getsignal(number) for number in STOPS})
    before = {number: signal.signal(number, stops.hear) for number in STOPS}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for came in stops.held:
            signal.raise_signal(came)
