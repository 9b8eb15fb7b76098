"""The one writer of the log in this process: gathers the works of many devices under one commit.

While a group is being committed, further works wait; the next group takes them together. So a commit's price
is shared by as many as came during the last one, and nobody waits for company. Several servers may write one
log: its head row lets one of them in at a time (``cloud.log.group``). Readers see only what is published, and
publishing comes after the commit.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.log.entry import Entry, Place, Waiting, WaitingList, Work
from cloud.log.group import MAX_GROUP_WORKS, Terms
from cloud.log.runner import GroupRunner
from cloud.log.tiles import TileReader
from cloud.log.view import (
    LogInconsistentError,
    LogSigner,
    SignedCheckpoint,
    View,
    inconsistent,
    read_view,
    sign_edge,
)
from cloud.sources import Sources, to_us
from cloud.store import log as rows
from cloud.store.database import Store
from cloud.store.retries import Retries
from cloud.telemetry.metrics import Metrics
from cloud.telemetry.tracing import Tracing
from verifield import merkle
from verifield.merkle import MAX_TREE_SIZE
from verifield.tiles import MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, RightEdge

__all__ = [
    "MAX_TILE_LEVEL",
    "MAX_WAITING",
    "Entry",
    "LogSigner",
    "Place",
    "Sequencer",
    "SignedCheckpoint",
    "tile_end",
]

MAX_WAITING = 512
"""Works: four full groups, so that whoever is let in is answered in a second or two. What they hold in bytes
is bounded where batches are taken in (``cloud.attestations.window``)."""

T = TypeVar("T")


class Sequencer:
    """Extends the log. One instance for each process; its threads end with ``close``."""

    def __init__(
        self,
        store: Store,
        signer: LogSigner,
        sources: Sources,
        *,
        view: View,
        metrics: Metrics | None = None,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing | None = None,
    ) -> None:
        self._metrics = metrics
        self._tracing = tracing or Tracing()
        self._clock = clock
        terms = Terms(signer, clock, lambda: to_us(sources.now()))
        self._runner = GroupRunner(store, terms, retries or Retries(), metrics)
        self._tiles = TileReader(store)
        # One thread: groups follow each other, whatever becomes of their callers.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sequencer")
        self._lock = threading.Lock()  # of all below
        self._waiting = WaitingList(MAX_WAITING)
        self._draining = False
        self._closed = False
        self._fault: LogInconsistentError | None = None
        self._on_fault: Callable[[LogInconsistentError], None] = lambda _: None
        self._view = view

    @classmethod
    def open(
        cls,
        store: Store,
        signer: LogSigner,
        sources: Sources,
        *,
        metrics: Metrics | None = None,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing | None = None,
    ) -> Sequencer:
        """Read the log's end and check it against its last signed checkpoint; sign the empty log at first.

        Raises:
            SetupError: LOG_INCONSISTENT: it was changed, or it is not the log of this key. What lies further
                back is checked by ``cloud.log.verify``.
        """

        def begin(connection: Connection) -> None:
            if rows.get_head(connection) is None:  # else another server was first
                view = sign_edge(connection, RightEdge(), signer, signed_us=to_us(sources.now()))
                rows.add_head(connection, rows.HeadRow(0, view.checkpoint.note))

        def read() -> View | None:
            with store.reading() as connection:  # one view, whatever other servers append meanwhile
                return read_view(connection, signer)

        view = read()
        if view is None:
            store.run(begin)
            view = read()
        if view is None:
            raise inconsistent("what was written first is gone")
        return cls(
            store,
            signer,
            sources,
            view=view,
            metrics=metrics,
            retries=retries,
            clock=clock,
            tracing=tracing,
        )

    @property
    def published(self) -> SignedCheckpoint:
        """The newest checkpoint that this server knows; its leaves are durable."""
        return self._view.checkpoint

    @property
    def fault(self) -> LogInconsistentError | None:
        """Why nothing is appended any more; None while all is well."""
        return self._fault

    def on_fault(self, callback: Callable[[LogInconsistentError], None]) -> None:
        """Call ``callback`` once, from any thread, when ``fault`` is set."""
        self._on_fault = callback

    async def transact(self, work: Work[T], *, key: str) -> T:
        """Run ``work`` in one of the log's next groups, and its seal; return once both are durable.

        ``key``: the device; works of one key run one after the other in the order in which they came, each
        in a group of its own. ``work`` may run several times.

        Raises:
            ServiceError: BUSY, too many wait; STORE_UNAVAILABLE, the service stops or others write too much;
                LOG_INCONSISTENT, nothing is appended any more.
        """
        waiting: Waiting[T] = Waiting(work, key, self._clock(), trace=self._tracing.here())
        with self._lock:
            self._check_open()
            if not self._waiting.add(waiting):
                raise ServiceError(Reason.BUSY, f"{MAX_WAITING} deliveries wait already.")
            self._tell_depth()
            if not self._draining:
                self._draining = True
                self._thread.submit(self._drain)
        return await asyncio.wrap_future(waiting.answer)

    async def settled(self) -> SignedCheckpoint:
        """What is published once the group that runs has ended, with what other servers have committed.

        A row can be read as soon as it is committed, a moment before its checkpoint is published.
        """

        def refresh() -> SignedCheckpoint:
            self._refresh()
            return self.published

        with self._lock:
            if self._closed:
                return self.published
            job = self._thread.submit(refresh)
        return await asyncio.wrap_future(job)

    async def catch_up(self) -> SignedCheckpoint:
        """The newest checkpoint that any server has committed; it is the published one from now on."""
        await asyncio.to_thread(self._refresh)
        return self.published

    def close(self) -> None:
        """Let the group that runs come to its end, and refuse all other works."""
        with self._lock:
            self._closed = True
            left = self._waiting.take_all()
        for waiting in left:
            self._refuse(waiting)
        self._thread.shutdown()

    def inclusion_proof(
        self, index: int, size: int = 0, *, connection: Connection | None = None
    ) -> tuple[int, list[bytes]]:
        """Tree size (the published one for 0) and hashes. Reads the store, with ``connection`` if given.

        Raises:
            ServiceError: outside the published tree, or the store is damaged.
        """
        view = self._view
        size = _check_size(view, size)
        if index >= size:
            raise ServiceError(Reason.LOG_RANGE, f"The tree of {size} has no leaf {index}.")
        with self._guarded():
            return size, merkle.inclusion_proof(index, size, self._tiles.nodes(view, connection))

    def consistency_proof(
        self, first: int, second: int = 0, *, connection: Connection | None = None
    ) -> tuple[int, list[bytes]]:
        """Second tree size (the published one for 0) and hashes. Reads the store, as above.

        Raises:
            ServiceError: outside the published tree, in the wrong order, or the store is damaged.
        """
        view = self._view
        second = _check_size(view, second)
        if first > second:
            raise ServiceError(Reason.LOG_RANGE, f"A tree of {first} is no prefix of a tree of {second}.")
        with self._guarded():
            return second, merkle.consistency_proof(first, second, self._tiles.nodes(view, connection))

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """Hashes of a tile of the published tree (C2SP tlog-tiles); width 0 for a full one. Reads the store.

        Raises:
            ServiceError: the published tree has no such tile, or the store is damaged.
        """
        view = self._view
        if tile_end(level, index, width) > view.size:
            raise ServiceError(Reason.LOG_RANGE, f"The log of {view.size} leaves has no such tile.")
        with self._guarded():
            return self._tiles.tile(view, level, index).nodes(0, 0, width or TILE_WIDTH)

    def _drain(self) -> None:
        """One group, in the sequencer's thread."""
        with self._lock:
            works = [] if self._fault else self._waiting.take_group(MAX_GROUP_WORKS)
            self._tell_depth()
        try:
            if works:
                self._run(works)
        finally:
            with self._lock:
                left = self._waiting.take_all() if self._closed or self._fault else []
                self._draining = len(self._waiting) > 0
                if self._draining:
                    self._thread.submit(self._drain)
            for waiting in left:
                self._refuse(waiting)

    def _run(self, works: list[Waiting[Any]]) -> None:
        begun = self._clock()
        if self._metrics:
            for waiting in works:
                self._metrics.waited(begun - waiting.since)
        outcome = self._runner.commit(works, self._view)
        self._publish(outcome.view)
        if outcome.fault:
            self._stop_for(outcome.fault)
        if self._metrics and outcome.answers:
            seconds = self._clock() - begun
            self._metrics.committed(works=len(outcome.answers), leaves=outcome.leaves, seconds=seconds)
        with self._lock:
            self._waiting.put_back(outcome.again)
        for waiting, answer in outcome.answers:
            if waiting.trace is not None:
                self._tell_trace(waiting, begun, works=len(outcome.answers))
            waiting.answer.set_result(answer)
        for waiting, error in outcome.failed:
            if isinstance(error, LogInconsistentError):
                self._refuse(waiting)
            else:
                waiting.answer.set_exception(error)

    def _tell_trace(self, waiting: Waiting[Any], begun: float, *, works: int) -> None:
        now = self._clock()
        self._tracing.past(
            "log.wait", waiting.trace, began_ago_s=now - waiting.since, ended_ago_s=now - begun
        )
        self._tracing.past("log.commit", waiting.trace, began_ago_s=now - begun, works=works)

    def _refresh(self) -> None:
        """Publish what other servers have committed. From any thread."""
        with self._guarded():
            self._publish(self._runner.catch_up(self._view))

    def _publish(self, view: View) -> None:
        with self._lock:
            if view.size > self._view.size:
                self._view = view
            if self._metrics:
                self._metrics.tree(self._view.size)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever finds that the log was changed from outside ends appending."""
        try:
            yield
        except LogInconsistentError as error:
            self._stop_for(error)
            raise _refusal(error) from error

    def _stop_for(self, fault: LogInconsistentError) -> None:
        with self._lock:
            first = self._fault is None
            self._fault = self._fault or fault
        if first:
            self._on_fault(fault)

    def _check_open(self) -> None:
        if self._fault:
            raise _refusal(self._fault)
        if self._closed:
            raise ServiceError(Reason.STORE_UNAVAILABLE, "The service is stopping.")

    def _refuse(self, waiting: Waiting[Any]) -> None:
        """Answer a work that will not be run."""
        if waiting.begin():
            try:
                self._check_open()
            except ServiceError as error:
                waiting.answer.set_exception(error)

    def _tell_depth(self) -> None:
        if self._metrics:
            self._metrics.queue(len(self._waiting))


def tile_end(level: int, index: int, width: int) -> int:
    """How many leaves a tree has at least that has this tile; more than any tree where none can have it."""
    if level > MAX_TILE_LEVEL or width >= TILE_WIDTH:
        return MAX_TREE_SIZE + 1
    return (index * TILE_WIDTH + (width or TILE_WIDTH)) << (level * TILE_HEIGHT)


def _check_size(view: View, size: int) -> int:
    if size > view.size:
        raise ServiceError(Reason.LOG_RANGE, f"The log has {view.size} leaves, not {size}.")
    return size or view.size


def _refusal(fault: LogInconsistentError) -> ServiceError:
    return ServiceError(Reason.LOG_INCONSISTENT, fault.message)
