"""Moving windows in memory for the library ``limits``: bounded, without threads, on a clock that is given.

The library's own memory storage starts a timer thread with every hit and keeps every key that it ever saw
for a while; here callers choose the keys (addresses), so the number of them is limited.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from limits.storage import MovingWindowSupport, Storage

MAX_KEYS = 16_384
"""More than the devices of one server (ten thousand), 13 MB. Then the one that was quiet longest is
forgotten: whoever has more addresses than this is not stopped by a limit for each address."""


class Windows(Storage, MovingWindowSupport):
    """When what was taken, by key; all for windows of one length. Not for several threads."""

    def __init__(self, clock: Callable[[], float], *, max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self._clock = clock
        self._max_keys = max_keys
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take ``amount`` of ``limit`` within ``expiry`` seconds, or nothing."""
        taken = self._within(key, expiry)
        if len(taken) + amount > limit:
            return False
        taken.extend([self._clock()] * amount)
        self._taken[key] = taken
        self._forget(expiry)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """When the window begins, and how much was taken in it."""
        taken = self._within(key, expiry)
        return (taken[0] if taken else self._clock()), len(taken)

    def _within(self, key: str, expiry: int) -> deque[float]:
        taken = self._taken.get(key)
        if taken is None:
            return deque()
        self._taken.move_to_end(key)  # who is refused is not quiet either
        begin = self._clock() - expiry
        while taken and taken[0] <= begin:
            taken.popleft()
        return taken

    def _forget(self, expiry: int) -> None:
        """Drop what no longer counts, from the one that was quiet longest on, and that one if it must be."""
        begin = self._clock() - expiry
        while self._taken:
            taken = next(iter(self._taken.values()))
            if taken and taken[-1] > begin and len(self._taken) <= self._max_keys:
                return
            self._taken.popitem(last=False)

    # The rest of the library's interface is for windows of other kinds.

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        count = len(self._taken)
        self._taken.clear()
        return count

    def clear(self, key: str) -> None:
        self._taken.pop(key, None)
