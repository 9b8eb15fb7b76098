"""Telling an old copy of the store from the newest one: a mark beside it, and a counter in hardware.

The mark is a small file that names the newest record. It is written after each commit and not synced,
so a power cut may leave it behind the store, never ahead. A mark that is ahead says that the store
lost records that were stored, for example with a damaged write-ahead log.

A hardware counter, where the device has one, also tells a whole folder that was put back:

1. the commit of a record stores the value that the counter will have, one more than it has;
2. the counter is incremented;
3. a cut between the two is made good before the next commit.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from edge.errors import EdgeError, StorageError
from edge.files import PRIVATE_FILE, locked, sync_folder
from edge.outbox.database import Store, integer
from edge.outbox.faults import storage_errors
from edge.outbox.layout import COUNTER_LOCK_SUFFIX, beside
from edge.ports import RollbackCounter
from verifield.chain import ChainHead

_BODY = struct.Struct(">QQ32s")
_CHECK_BYTES = 16


class CounterVerdict(Enum):
    FITS = auto()
    UNFINISHED = auto()  # a cut came between commit and increment
    AHEAD = auto()  # the counter was incremented for records that this store does not have
    BEHIND = auto()  # another counter


def judge_counter(expected: int, counter: int) -> CounterVerdict:
    """Compare what the store expects with what the counter shows."""
    if counter == expected:
        return CounterVerdict.FITS
    if counter == expected - 1:
        return CounterVerdict.UNFINISHED
    return CounterVerdict.AHEAD if counter > expected else CounterVerdict.BEHIND


class HeadMark:
    """The file beside the store that names its newest record."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ChainHead | None:
        """Return what the mark says; None where there is none, or it is torn."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body, check = data[: _BODY.size], data[_BODY.size :]
        if len(body) != _BODY.size or check != _check(body):
            return None
        return ChainHead(*_BODY.unpack(body))

    def write(self, head: ChainHead) -> None:
        """Name ``head``. The record is durable already, so no fault leaves this."""
        body = _BODY.pack(head.epoch, head.seq, head.sha256)
        with suppress(OSError):
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE)
            try:
                os.pwrite(descriptor, body + _check(body), 0)
                if new:
                    os.fsync(descriptor)
                    sync_folder(self._path.parent)
            finally:
                os.close(descriptor)


class CounterGuard:
    """Keeps store and counter together. Every method may raise StorageError, and what the counter raises."""

    def __init__(self, store: Store, counter: RollbackCounter) -> None:
        self._store = store
        self._counter = counter

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold back other processes between the commit of a record and the increment for it."""
        with storage_errors(), locked(beside(self._store.path, COUNTER_LOCK_SUFFIX)):
            yield

    def judge(self) -> CounterVerdict:
        """Compare; a store that never saw the counter fits."""
        expected = self._expected()
        return CounterVerdict.FITS if expected is None else judge_counter(expected, self._counter.read())

    def begin(self, *, reset: bool) -> None:
        """Store what the counter will show after this record; within its transaction (step 1).

        Raises:
            StorageError: STORE_ROLLED_BACK, unless the record is the ``reset`` that says so.
        """
        verdict = self.judge()
        if verdict is CounterVerdict.UNFINISHED:
            self._counter.increment()
        elif verdict is not CounterVerdict.FITS and not reset:
            raise rolled_back()
        self._store.put("counter", expected=self._counter.read() + 1)

    def finish(self) -> None:
        """Increment (step 2). The record is durable already: a fault is left for the next one to mend."""
        with suppress(EdgeError):
            self._counter.increment()

    def _expected(self) -> int | None:
        row = self._store.one("SELECT expected FROM counter")
        return integer(row["expected"]) if row else None


def rolled_back() -> StorageError:
    """STORE_ROLLED_BACK: only a RESET may be stored."""
    return StorageError(
        "STORE_ROLLED_BACK",
        "The store of records is an older copy of itself: the device's counter is ahead of it.",
        hint="Connect the device and run: verifield-edge sync. It begins a new chain that says so.",
    )


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
