"""One store of several: how long it may take, how much is asked of it at once, and when it is left alone.

A store that fails is put aside for a while, and then asked again by one caller alone. One that cannot take
anything new is still read. What hangs in a store holds up nobody for longer than its time limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from cloud.objects.files import OF_ONE_FILE, OF_WRITING, Backend, Fault, StoreFault

T = TypeVar("T")

MAX_AT_ONCE = 16
"""Calls of one store under way, those that hang included: each has a thread."""

ASIDE_S = 15.0
"""How long a store that failed is left alone: short enough to see that it is back, long enough not to hang
on it with every call."""


class Role(IntEnum):
    """What a store is for. Numbers equal those of verifield.v1.StoreRole."""

    LOCAL = 1  # serves reads and writes
    OFFSITE = 2  # follows, at another place
    BACKUP = 3  # follows, and keeps for some time what was dropped


@dataclass(frozen=True, slots=True)
class Limits:
    """``timeout_s``: of one call. ``aside_s``: how long it is left alone once it failed."""

    timeout_s: float
    aside_s: float = ASIDE_S
    at_once: int = MAX_AT_ONCE


@dataclass(frozen=True, slots=True)
class Description:
    """``provider``: who runs it, as the settings say; empty for a store of the house."""

    name: str
    role: Role
    kind: str = "folder"
    provider: str = ""
    marked: bool = True
    """Whether its mark is asked for before anything is written there."""


class Guard:
    """Any thread may use it. ``clock``: monotonic seconds."""

    def __init__(
        self,
        description: Description,
        backend: Backend,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.description = description
        self.backend = backend
        self.admitted = not description.marked
        self.fault: Fault | None = None
        self._limits = limits
        self._clock = clock
        self._slots = threading.BoundedSemaphore(limits.at_once)
        self._mutex = threading.Lock()
        self._aside = {"read": float("-inf"), "write": float("-inf")}

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def is_local(self) -> bool:
        return self.description.role is Role.LOCAL

    def is_aside(self, *, writing: bool = False) -> bool:
        """Whether it is left alone at present; who gets a no after a while is the one who tries again."""
        if not self.admitted:
            return True
        now = self._clock()
        with self._mutex:
            until = self._aside["write" if writing else "read"]
            if now < until:
                return True
            if until > float("-inf"):  # one caller finds out, the others still go elsewhere
                self._aside["write" if writing else "read"] = now + self._limits.timeout_s
            return False

    def may_try_to_write(self) -> bool:
        """Whether it did not take something, and has been left alone for long enough since."""
        with self._mutex:
            return float("-inf") < self._aside["write"] <= self._clock()

    def put(self, sealed: bytes) -> bytes:
        """As the backend's."""
        return self.begin_put(sealed).result()

    def begin_put(self, sealed: bytes) -> Pending[bytes]:
        """Put while the caller goes on."""
        return self._begin(lambda: self.backend.put(sealed), writing=True)

    def open(self, digest: bytes) -> bytes:
        """As the backend's."""
        return self._begin(lambda: self.backend.open(digest)).result()

    def delete(self, digest: bytes) -> None:
        """As the backend's."""
        self._begin(lambda: self.backend.delete(digest), writing=True).result()

    def read_mark(self) -> bytes | None:
        """As the backend's; it may be asked for before the store is admitted."""
        return self._begin(self.backend.read_mark).result()

    def write_mark(self, mark: bytes) -> None:
        """As the backend's."""
        self._begin(lambda: self.backend.write_mark(mark), writing=True).result()

    def list_before(self, before_us: int) -> Iterator[bytes]:
        """As the backend's, without a time limit: a store has as many files as it has."""
        return self.backend.list_before(before_us)

    def admit(self, mark: bytes | None) -> None:
        """From now on it is used."""
        if mark is not None:
            self.backend.expect(mark)
        self.admitted = True

    def turn_away(self, fault: Fault) -> None:
        """It is not used until it is admitted again."""
        self.admitted, self.fault = False, fault

    def failed(self, fault: Fault, *, writing: bool) -> None:
        """Leave it alone for a while."""
        self.fault = fault
        until = self._clock() + self._limits.aside_s
        with self._mutex:
            self._aside["write"] = until
            if not (writing and fault in OF_WRITING):
                self._aside["read"] = until

    def answered(self, *, writing: bool) -> None:
        """It works."""
        with self._mutex:
            self._aside["read"] = float("-inf")
            if writing:
                self._aside["write"] = float("-inf")
            if writing or self.fault not in OF_WRITING:
                self.fault = None

    def _begin(self, work: Callable[[], T], *, writing: bool = False) -> Pending[T]:
        until = time.monotonic() + self._limits.timeout_s
        if not self._slots.acquire(timeout=self._limits.timeout_s):
            self.failed(Fault.SLOW, writing=writing)
            raise StoreFault(Fault.SLOW, "The store is busy with calls that do not end.")
        pending = Pending[T](self, until, writing=writing)

        def run() -> None:
            try:
                pending.answers.put((work(), None))
            except BaseException as error:
                pending.answers.put((None, error))
            finally:
                self._slots.release()

        # Not of a pool: its threads are waited for when the process ends, and this one may hang.
        try:
            threading.Thread(target=run, daemon=True, name=f"store-{self.name}").start()
        except RuntimeError as error:  # the machine has no more threads to give
            self._slots.release()
            raise StoreFault(Fault.SLOW, "The store cannot be asked at present.") from error
        return pending


class Pending(Generic[T]):
    """A call that is under way. ``until``: when its time is over, waiting for its turn included."""

    def __init__(self, guard: Guard, until: float, *, writing: bool) -> None:
        self.answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._guard = guard
        self._until = until
        self._writing = writing

    def result(self) -> T:
        """What came of it.

        Raises:
            StoreFault: what went wrong; SLOW: it did not end in time, and may end later.
        """
        try:
            answer, error = self.answers.get(timeout=max(0.0, self._until - time.monotonic()))
        except Empty:
            self._guard.failed(Fault.SLOW, writing=self._writing)
            raise StoreFault(Fault.SLOW, "The store did not answer in time.") from None
        if isinstance(error, StoreFault):
            if error.fault in OF_ONE_FILE:
                self._guard.answered(writing=False)
            else:
                self._guard.failed(error.fault, writing=self._writing)
            raise error
        if error is not None:
            self._guard.failed(Fault.BROKEN, writing=self._writing)
            raise StoreFault(Fault.BROKEN, "The store failed.") from error
        self._guard.answered(writing=self._writing)
        return answer  # type: ignore[return-value]  # without an error there is an answer
