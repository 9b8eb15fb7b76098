"""The daemon around the pump: whose turn it is, what to wait for, and when the device itself has changed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import CloudError, StorageError
from edge.files import make_private_folder, write_private
from edge.ports import Clock
from edge.sync.events import Called, Event, RenewalDue, Timer, Trouble, Wake
from edge.sync.machine import State
from edge.sync.pump import Pump
from edge.sync.receipts import LogInconsistent
from edge.sync.taking import Parts
from edge.sync.turns import Turns
from verifield.chain import ChainHead

POLL_S = 1.0
"""How long a new record may wait to be noticed; looking costs one read of one row."""

HANG_UP_S = 0.5
"""How soon after a stop a call under way is broken off: a silent link would hold it to its deadline."""

RENEWAL_CHECK_S = 60.0
"""How often the certificates' age is looked at; their life is days."""


@dataclass(frozen=True, slots=True)
class SyncDevice:
    """A device that is open for delivery. ``renewal_due``: half of its certificates' life is over."""

    parts: Parts
    renewal_due: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class SyncSetting:
    """``open_device`` opens who the device is now; ``stamp`` changes when that does: a renewed or a
    replaced identity. ``on_trouble`` is told of each new trouble, and what goes on aside, once. ``on_turn``
    is called whenever the loop turns, with where it stands: who watches it knows that it does not hang.
    """

    open_device: Callable[[], AbstractContextManager[SyncDevice]]
    stamp: Callable[[], object]
    turns: Turns
    clock: Clock
    jitter: Callable[[], float]
    on_trouble: Callable[[State, Trouble], None]
    on_turn: Callable[[State, Trouble | None], None] = lambda _state, _trouble: None


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run did. ``trouble``: why it halted; None when everything is confirmed."""

    delivered: int
    confirmed: int
    trouble: Trouble | None
    media: int = 0


@dataclass(slots=True)
class _Totals:
    delivered: int = 0
    confirmed: int = 0
    media: int = 0

    def add(self, pump: Pump) -> None:
        self.delivered += pump.delivered
        self.confirmed += pump.receipts.confirmed
        self.media += pump.media.uploaded


def run(
    setting: SyncSetting, *, stop: threading.Event, once: bool = False, accept_log: bool = False
) -> SyncReport:
    """Deliver until ``stop`` is set; with ``once``, until everything is confirmed or delivery halts.

    Without ``once``, trouble with the cloud, or with the disk, never ends it. Whoever sets ``stop`` gets
    what was done by then. ``accept_log``: believe the log as it is now, for a person who has asked why
    it does not continue the one seen before.

    Raises:
        CloudError: only with ``once``: the cloud is away (CLOUD_AWAY) or fails in a way that may pass.
        StorageError: the outbox cannot be opened; with ``once`` also where it refuses later.
        SetupError: the identity or its keys are not usable.
    """
    daemon = _Daemon(setting, stop, once)
    with daemon.calls_end_with_stop():
        while not daemon.serve(accept_log=accept_log):
            accept_log = False
    if once:
        setting.turns.call()  # a daemon that halted looks again
    return daemon.report()


def keep_evidence(folder: Path) -> Callable[[LogInconsistent], None]:
    """Return how both notes of a log that contradicts itself are kept in ``folder``, once for each pair."""

    def keep(error: LogInconsistent) -> None:
        notes = {"code": error.code, "seen": error.seen, "shown": error.shown}
        data = json.dumps(notes, ensure_ascii=False, indent=2).encode() + b"\n"
        make_private_folder(folder)
        path = folder / f"log-evidence-{hashlib.sha256(data).hexdigest()[:16]}.json"
        if not path.exists():
            write_private(path, data)

    return keep


@dataclass(frozen=True, slots=True)
class _Seen:
    """How things stood before a round: what differs behind it has come since."""

    head: ChainHead | None
    call: int


@dataclass(slots=True)
class _Daemon:
    setting: SyncSetting
    stop: threading.Event
    once: bool
    totals: _Totals = field(default_factory=_Totals)
    pump: Pump | None = None
    trouble: Trouble | None = None
    said: tuple[Trouble | None, Trouble | None] = (None, None)

    def serve(self, *, accept_log: bool) -> bool:
        """Work as who the device is now; False where that has changed, and there is more to do."""
        stamp = self.setting.stamp()
        with self.setting.open_device() as device:
            pump = Pump(device.parts, self.setting.clock, self.setting.jitter, accept_log)
            self.pump = pump
            try:
                return self._work(pump, device, stamp)
            finally:
                self.trouble = pump.machine.trouble
                self.totals.add(pump)
                pump.close()
                self.pump = None

    def report(self) -> SyncReport:
        """What was done.

        Raises:
            CloudError: see ``run``.
        """
        return SyncReport(self.totals.delivered, self.totals.confirmed, self.trouble, self.totals.media)

    @contextmanager
    def calls_end_with_stop(self) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(HANG_UP_S):
                pump = self.pump
                if self.stop.is_set() and pump is not None:
                    pump.hang_up()  # again and again: a call may have begun since

        thread = threading.Thread(target=watch, name="hang-up", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _work(self, pump: Pump, device: SyncDevice, stamp: object) -> bool:
        event: Event | None = Called() if self.once else Wake()
        if device.renewal_due():
            event = RenewalDue()
        while event is not None:
            seen = _Seen(_head(pump), self.setting.turns.last_call())
            self._round(pump, event)
            if self.stop.is_set():
                return True
            if self.once:
                self._raise_what_may_pass(pump)
                return True
            if self.setting.stamp() != stamp:
                return False
            event = self._wait(pump, device, stamp, seen)
        return self.stop.is_set()

    def _round(self, pump: Pump, event: Event) -> None:
        """Handle ``event`` and what comes of it, until there is time to wait."""
        following: Event | None = event
        with self.setting.turns.turn(self.stop, waits=lambda: self._turned(pump)) as ours:
            while ours and following is not None and not self.stop.is_set():
                following = pump.handle(following)
                self._tell(pump)
                self._turned(pump)

    def _turned(self, pump: Pump) -> None:
        self.setting.on_turn(pump.machine.state, pump.machine.trouble)

    def _tell(self, pump: Pump) -> None:
        machine = pump.machine
        now = (machine.trouble, machine.aside)
        for trouble, said in zip(now, self.said, strict=True):
            if trouble is not None and trouble != said:
                self.setting.on_trouble(machine.state, trouble)
        self.said = now

    def _wait(self, pump: Pump, device: SyncDevice, stamp: object, seen: _Seen) -> Event | None:
        """Sleep until there is something to do; None when told to stop, or when the device has changed."""
        next_renewal_check = 0.0
        while not self.stop.is_set():
            machine, now = pump.machine, pump.now()
            self._turned(pump)
            if now >= machine.until:
                return Timer()
            if self.setting.turns.last_call() != seen.call:
                return Called()
            if self.setting.stamp() != stamp:
                return None
            if now >= next_renewal_check:
                next_renewal_check = now + RENEWAL_CHECK_S
                if machine.may_renew(now) and device.renewal_due():
                    return RenewalDue()
            if _new_records(pump, seen):
                return Wake()
            self.stop.wait(min(POLL_S, machine.until - now))
        return None

    def _raise_what_may_pass(self, pump: Pump) -> None:
        trouble = pump.machine.trouble
        if pump.machine.state is not State.WAITING or trouble is None:
            return
        if pump.storage_error is not None and pump.storage_error.code == trouble.code:
            raise pump.storage_error
        raise CloudError(
            trouble.code,
            trouble.message,
            hint="Nothing is lost: the records are kept and delivered at the next contact.",
        )


def _new_records(pump: Pump, seen: _Seen) -> bool:
    """Whether records have come: in WAITING since the round that failed, and not before its first delay."""
    machine = pump.machine
    if machine.state is State.WAITING:
        return pump.now() >= machine.earliest and _head(pump) != seen.head
    try:
        return machine.state is State.IDLE and pump.parts.backlog.first_pending() is not None
    except StorageError:
        return False  # the next round says what is wrong


def _head(pump: Pump) -> ChainHead | None:
    try:
        return pump.parts.backlog.head()
    except StorageError:
        return None
