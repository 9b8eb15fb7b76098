"""Files on several stores: local ones, which all serve, and others elsewhere, which follow.

Writing     1  all local stores that are not put aside get the file, at the same time
            2  as many as the settings ask for (one at least) have it durably        else OBJECT_NO_ROOM
            3  with the row of the object stands, in one transaction, which stores have it and which lack it
Reading     1  local stores in turn, those that are put aside last, then the others
            2  the first whose bytes have the digest is believed
            3  those that were asked before and had nothing, or something else, get it at once
Dropping    the rows say for each store that the file is to go; those that are away lose it when they are back

What is found out by reading is noted in memory and written by the next turn of the upkeep: a reader may be
within a transaction. What a crash takes of these notes is found again by the scrub.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from cloud.errors import Reason, ServiceError
from cloud.objects.files import OF_ONE_FILE, Backend, Fault, StoreFault
from cloud.objects.guard import Description, Guard, Limits, Role

MAX_FINDINGS = 10_000
"""Notes that wait to be written; what is beyond them is found again."""

LOCAL_TIMEOUT_S = 20.0
"""A disk answers within milliseconds; a file server that fails over takes some seconds."""

MAIN = "main"
"""The store of a service that has one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file, and the stores that have it."""

    digest: bytes
    there: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reader found at a store; ``mended``: and put right."""

    store: str
    digest: bytes
    fault: Fault
    mended: bool


class Replicas:
    """Any thread may use it. ``copies``: how many local stores must have a file; 0: those that are up."""

    def __init__(self, guards: Sequence[Guard], *, copies: int = 0) -> None:
        self.guards = tuple(guards)
        self._copies = copies
        self._turns = itertools.count()
        self._findings: deque[Finding] = deque(maxlen=MAX_FINDINGS)
        self._mutex = threading.Lock()

    @classmethod
    def single(cls, backend: Backend) -> Replicas:
        """One store, which is taken as it is."""
        described = Description(MAIN, Role.LOCAL, marked=False)
        return cls([Guard(described, backend, Limits(LOCAL_TIMEOUT_S))])

    @property
    def local(self) -> tuple[Guard, ...]:
        return tuple(guard for guard in self.guards if guard.is_local)

    @property
    def copies(self) -> int:
        """How many local stores must have a file before it counts as kept."""
        return max(1, self._copies)

    def find(self, name: str) -> Guard | None:
        """The store of that name."""
        return next((guard for guard in self.guards if guard.name == name), None)

    def put(self, sealed: bytes) -> bytes:
        """As :meth:`ObjectFiles.put`."""
        return self.place(sealed).digest

    def place(self, sealed: bytes) -> Placed:
        """Keep a file on the local stores, durably.

        Raises:
            ServiceError: OBJECT_NO_ROOM: too few of them took it, and none of them has it.
        """
        ready, aside = _split(self.local, writing=True)
        there: list[Guard] = []
        fault: StoreFault | None = None
        for group in (ready, aside):
            if len(there) >= self.copies:
                break
            taken, error = _put_all(group, sealed)
            there += taken
            fault = error or fault
        if len(there) < self.copies:
            for guard in there:
                _try_delete(guard, sha256(sealed).digest())
            raise ServiceError(
                Reason.OBJECT_NO_ROOM, "Too few stores can keep the file at present."
            ) from fault
        return Placed(sha256(sealed).digest(), frozenset(guard.name for guard in there))

    def open(self, digest: bytes) -> bytes:
        """As :meth:`ObjectFiles.open`.

        Raises:
            ServiceError: OBJECT_DAMAGED: no store has it. STORES_AWAY: one that does not answer may have it.
        """
        bad: list[tuple[Guard, Fault]] = []
        away = self._has_turned_away()
        for guard in self._in_turn():
            try:
                sealed = guard.open(digest)
            except StoreFault as error:
                if error.fault in OF_ONE_FILE:
                    bad.append((guard, error.fault))
                else:
                    away = True
                continue
            for other, fault in bad:
                self._mend(other, sealed, Finding(other.name, digest, fault, mended=False))
            return sealed
        self._note(Finding(guard.name, digest, fault, mended=False) for guard, fault in bad)
        if away:
            raise ServiceError(Reason.STORES_AWAY, "The stores that may have the file do not answer.")
        raise ServiceError(Reason.OBJECT_DAMAGED, "The file is not what was put there, on any store.")

    def source_of(self, digest: bytes, *, beside: str) -> bytes:
        """What another store than ``beside`` has of a file, for mending.

        Raises:
            ServiceError: as :meth:`open`.
        """
        away = self._has_turned_away()
        for guard in self._in_turn():
            if guard.name == beside:
                continue
            try:
                return guard.open(digest)
            except StoreFault as error:
                away = away or error.fault not in OF_ONE_FILE
        if away:
            raise ServiceError(Reason.STORES_AWAY, "The stores that may have the file do not answer.")
        raise ServiceError(Reason.OBJECT_DAMAGED, "No other store has the file.")

    def confirm(self, digest: bytes) -> bytes:
        """Read a file back from every local store that answers, and return it.

        Raises:
            ServiceError: OBJECT_DAMAGED or STORES_AWAY: fewer stores than need be have it as it was put.
        """
        good: list[Guard] = []
        bad: list[tuple[Guard, Fault]] = []
        sealed = b""
        for guard in self.local:
            if not guard.admitted:
                continue
            try:
                sealed = guard.open(digest)
                good.append(guard)
            except StoreFault as error:
                bad.append((guard, error.fault))
        if good:
            for guard, fault in bad:
                if fault in OF_ONE_FILE and self._mend(
                    guard, sealed, Finding(guard.name, digest, fault, mended=False)
                ):
                    good.append(guard)
        if len(good) >= self.copies:
            return sealed
        if self._has_turned_away() or any(fault not in OF_ONE_FILE for _, fault in bad):
            raise ServiceError(Reason.STORES_AWAY, "Too few stores answer to confirm the file.")
        raise ServiceError(Reason.OBJECT_DAMAGED, "The file is not what was put there.")

    def delete(self, digest: bytes) -> None:
        """Let go of it at all local stores that are up; those that are away are seen to by the upkeep."""
        for guard in self.local:
            _try_delete(guard, digest)

    def list_before(self, before_us: int) -> Iterator[bytes]:
        """As :meth:`ObjectFiles.list_before`, of all local stores that are up."""
        for guard in self.local:
            if guard.is_aside():
                continue
            with suppress(StoreFault, OSError):  # it went away meanwhile: the next sweep goes on
                yield from guard.list_before(before_us)

    def take_findings(self) -> list[Finding]:
        """What readers found since the last time."""
        with self._mutex:
            found = list(self._findings)
            self._findings.clear()
        return found

    def _has_turned_away(self) -> bool:
        return any(not guard.admitted for guard in self.guards)

    def _in_turn(self) -> list[Guard]:
        """Local stores in turn, so that all of them serve; those that are put aside at the end."""
        local = self.local
        start = next(self._turns) % len(local) if local else 0
        ready, aside = _split(local[start:] + local[:start])
        far, far_aside = _split([guard for guard in self.guards if not guard.is_local])
        return [*ready, *far, *aside, *far_aside]

    def _mend(self, guard: Guard, sealed: bytes, finding: Finding) -> bool:
        mended = False
        if not guard.is_aside(writing=True):
            try:
                guard.put(sealed)
                mended = True
            except StoreFault:
                pass  # the row says what is to be done
        self._note([Finding(finding.store, finding.digest, finding.fault, mended)])
        return mended

    def _note(self, findings: Collection[Finding] | Iterator[Finding]) -> None:
        with self._mutex:
            self._findings.extend(findings)


def _split(guards: Sequence[Guard], *, writing: bool = False) -> tuple[list[Guard], list[Guard]]:
    """Those that are ready, and those that are put aside; whoever was not admitted is left out."""
    ready: list[Guard] = []
    aside: list[Guard] = []
    for guard in guards:
        if guard.admitted:
            (aside if guard.is_aside(writing=writing) else ready).append(guard)
    return ready, aside


def _put_all(guards: Sequence[Guard], sealed: bytes) -> tuple[list[Guard], StoreFault | None]:
    """Put at all of them at the same time; those that have it, and what the last other one said."""
    there: list[Guard] = []
    last: StoreFault | None = None
    begun = []
    for guard in guards:
        try:
            begun.append((guard, guard.begin_put(sealed)))
        except StoreFault as error:
            last = error
    for guard, pending in begun:
        try:
            pending.result()
            there.append(guard)
        except StoreFault as error:
            last = error
    return there, last


def _try_delete(guard: Guard, digest: bytes) -> bool:
    if guard.is_aside(writing=True):
        return False
    try:
        guard.delete(digest)
    except StoreFault:
        return False
    return True
