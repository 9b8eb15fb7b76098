"""One piece of work, shared by the thread that asks for it and helpers that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

P = TypeVar("P")


def share(helpers: Executor, work: Callable[[P], object], parts: Sequence[P]) -> None:
    """Call ``work`` with the first part here, and with the others in helpers; all are done, or never begun.

    Work that is taken from a common store, as all of it here, is whole also where a helper was woken too
    late to begin. Nobody is still at work when this returns or raises.
    """
    helping = [helpers.submit(work, part) for part in parts[1:]]
    try:
        work(parts[0])
    finally:
        for one in helping:
            if not one.cancel():
                one.result()
