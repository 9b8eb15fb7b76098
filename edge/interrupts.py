"""Stops that must wait: what has to be whole is finished before a signal is obeyed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stops_held_back() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back while the block runs; what came meanwhile is delivered at its end.

    Signals interrupt the main thread alone, so in any other there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: held.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for came in dict.fromkeys(held):
            signal.raise_signal(came)
