"""How often, and after which pauses, a transaction that met others is run again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_RUNS = 8
"""Of one transaction. With the pauses below, seven others may be first, one after the other."""

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 1.0
"""The longest pause of a run doubles from the first to this: several servers that met spread out."""

GIVE_UP_S = 15.0
"""After this no further run begins: the caller's own deadline is near, and it can try again itself."""


@dataclass(frozen=True, slots=True)
class Retries:
    """``chance`` gives numbers from 0 to 1, ``clock`` seconds that only go forward."""

    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)
    clock: Callable[[], float] = time.monotonic

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further run (full jitter); ends where it is time to give up."""
        begun = self.clock()
        for run in range(MAX_RUNS - 1):
            if self.clock() - begun >= GIVE_UP_S:
                return
            yield self.chance() * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**run)
