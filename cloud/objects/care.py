"""What keeps the stores of files whole, without anybody asking for it.

    look     is a store there, and is it ours; what is new to it is entered in the journal
    mend     what a store lacks or has damaged comes from another one; what is to go, goes
    scrub    what a store has is read from time to time, whatever the rows say

The journal is the rows of ``cloud.store.replicas``: each tells of one file at one store. Any number of
servers may work on it; what one has claimed, another leaves alone until the claim runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.objects.files import OF_ONE_FILE, Fault, StoreFault
from cloud.objects.guard import Guard
from cloud.objects.replicas import Replicas
from cloud.sources import Sources, to_us
from cloud.store import replicas as rows
from cloud.store.database import Store
from cloud.store.replicas import BEHIND, ReplicaRow, ReplicaState, StoreRow

MENDED_AT_ONCE = 50
"""Of one claim: files of 16 MiB within a minute or so over a slow line."""

CHECKED_AT_ONCE = 100
ENTERED_AT_ONCE = 1000

CLAIMED_FOR = timedelta(minutes=15)
"""Longer than MENDED_AT_ONCE take where each takes its time limit."""

FIRST_PAUSE = timedelta(seconds=10)
LAST_PAUSE = timedelta(hours=1)
"""Between two tries with a file that cannot be mended: no store has it, or one does not take it."""

LISTED_EVERY = timedelta(hours=24)
"""How often rows are compared with objects: one may have been kept while another server took up a store."""

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Done:
    """What a turn did."""

    looked: int = 0
    mended: int = 0
    damaged: int = 0
    failed: int = 0
    dropped: int = 0

    def add(self, other: Done) -> None:
        """And what another turn did."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Care:
    """Blocks, for threads of the upkeep. ``root_sha256``: of the deployment, whose stores these are."""

    def __init__(self, store: Store, replicas: Replicas, sources: Sources, *, root_sha256: bytes) -> None:
        self._store = store
        self._replicas = replicas
        self._sources = sources
        self._root_sha256 = root_sha256

    def look(self) -> int:
        """See which stores are there; return how many objects were entered for those that are new."""
        return sum(self.look_at(guard) for guard in self._replicas.guards)

    def begin(self) -> None:
        """See which local stores are there, before anything is written to them."""
        for guard in self._replicas.local:
            self._meet(guard)

    def look_at(self, guard: Guard, *, renew: bool = False) -> int:
        """See whether a store is there, take it up where it is new, and enter what it lacks.

        ``renew``: it was emptied, or has another disk: it gets its mark anew, and lacks everything.

        Raises:
            StoreFault: only with ``renew``: it cannot be taken up.
        """
        fault = self._meet(guard, renew=renew)
        if fault is not None and renew:
            raise fault
        return self._enter(guard, self._now_us())  # what is away lacks something all the same

    def mend(self, guard: Guard, *, limit: int = MENDED_AT_ONCE) -> Done:
        """Work off what is due at one store."""
        self.write_findings()
        done = Done()
        if guard.is_aside(writing=True):
            return done
        now_us, until_us = self._now_us(), self._now_us(CLAIMED_FOR)
        claimed = self._store.run(
            lambda connection: rows.claim(
                connection,
                guard.name,
                (*BEHIND, ReplicaState.DROPPED),
                now_us=now_us,
                until_us=until_us,
                limit=limit,
            )
        )
        for number, row in enumerate(claimed):
            done.looked += 1
            try:
                if row.state == ReplicaState.DROPPED:
                    self._drop(guard, row)
                    done.dropped += 1
                else:
                    self._bring(guard, row.sealed_sha256)
                    done.mended += 1
            except StoreFault as error:
                done.failed += 1
                self._tell(guard, error.fault)
                left = [one.sealed_sha256 for one in claimed[number:]]
                self._put_off(guard, left)
                return done
            except ServiceError as error:  # nobody has it, or whoever has it is away
                done.failed += 1
                self._try_later(guard, row, error.reason)
        return done

    def scrub(self, guard: Guard, *, before_us: int, limit: int = CHECKED_AT_ONCE) -> Done:
        """Read files of a store that were not read since ``before_us``, and mend at once what is damaged."""
        done = Done()
        if guard.is_aside():
            return done
        with self._store.reading() as connection:
            found = rows.to_check(connection, guard.name, before_us=before_us, limit=limit)
        well: list[bytes] = []
        for row in found:
            try:
                guard.open(row.sealed_sha256)
                well.append(row.sealed_sha256)
                done.looked += 1
            except StoreFault as error:
                if error.fault not in OF_ONE_FILE:
                    self._tell(guard, error.fault)
                    done.failed += 1
                    break
                done.looked += 1
                done.damaged += 1
                self._found_bad(guard, row.sealed_sha256, error.fault, done)
        now_us = self._now_us()
        self._store.run(lambda connection: rows.found_well(connection, guard.name, well, now_us=now_us))
        return done

    def write_findings(self) -> int:
        """Write what readers found."""
        found = self._replicas.take_findings()
        now_us = self._now_us()

        def write(connection: Connection) -> None:
            for one in found:
                rows.found_bad(connection, one.store, one.digest, one.fault, now_us=now_us)
                if one.mended:
                    rows.found_well(connection, one.store, [one.digest], now_us=now_us)

        if found:
            self._store.run(write)
        return len(found)

    def restore(self, guard: Guard, progress: Progress) -> Done:
        """Bring to a store everything that objects name and it lacks, whatever the rows say."""
        done = Done()
        with self._store.reading() as connection:
            total = rows.count_digests(connection)
        after = b""
        while True:
            with self._store.reading() as connection:
                digests = rows.all_digests(connection, after=after, limit=MENDED_AT_ONCE)
            if not digests:
                return done
            after = digests[-1]
            for digest in digests:
                self._restore_one(guard, digest, done)
                progress(guard.name, done.looked, total)

    def _restore_one(self, guard: Guard, digest: bytes, done: Done) -> None:
        done.looked += 1
        try:
            done.mended += self._bring(guard, digest)
        except StoreFault:
            raise
        except ServiceError:
            done.failed += 1

    def _bring(self, guard: Guard, digest: bytes) -> bool:
        """See to it that a store has a file; True where it had to come from another.

        Raises:
            StoreFault: the store does not take it.
            ServiceError: OBJECT_DAMAGED or STORES_AWAY: no other store gives it.
        """
        brought = False
        try:
            guard.open(digest)
        except StoreFault as error:
            if error.fault not in OF_ONE_FILE:
                raise
            guard.put(self._replicas.source_of(digest, beside=guard.name))
            if sha256(guard.open(digest)).digest() != digest:  # the store answered for it, and reads it back
                raise StoreFault(Fault.BROKEN, "The store does not keep what it takes.") from error
            brought = True
        now_us = self._now_us()
        self._store.run(lambda connection: rows.found_well(connection, guard.name, [digest], now_us=now_us))
        return brought

    def _drop(self, guard: Guard, row: ReplicaRow) -> None:
        digest = row.sealed_sha256
        with self._store.reading() as connection:
            named = rows.named(connection, [digest])
        if not named:
            guard.delete(digest)
        self._store.run(lambda connection: rows.forget(connection, guard.name, [digest]))

    def _found_bad(self, guard: Guard, digest: bytes, fault: Fault, done: Done) -> None:
        now_us = self._now_us()
        known = self._store.run(
            lambda connection: rows.found_bad(connection, guard.name, digest, fault, now_us=now_us)
        )
        if not known or guard.is_aside(writing=True):
            return
        try:
            self._bring(guard, digest)
            done.mended += 1
        except ServiceError as error:
            done.failed += 1
            why = error.fault if isinstance(error, StoreFault) else error.reason
            self._try_later(guard, ReplicaRow(guard.name, digest, ReplicaState.CORRUPT, now_us), why)

    def _meet(self, guard: Guard, *, renew: bool = False) -> StoreFault | None:
        """Admit a store or turn it away, and write down which."""
        try:
            self._admit(guard, renew=renew, now_us=self._now_us())
        except StoreFault as error:
            if guard.description.marked:
                guard.turn_away(error.fault)
            self._store.run(lambda connection: self._know(connection, guard))
            self._tell(guard, error.fault)
            return error
        self._tell(guard, guard.fault)
        return None

    def _admit(self, guard: Guard, *, renew: bool, now_us: int) -> None:
        """Check a store's mark, or give it one where it never had any.

        Raises:
            StoreFault: it is not there, or another's.
        """
        said = guard.description
        with self._store.reading() as connection:
            known = rows.get_store(connection, said.name)
        mark = self._mark_of(guard) if said.marked else None
        found = guard.read_mark()
        if mark is not None and found != mark:
            if found is not None:
                raise StoreFault(Fault.FOREIGN, "The store is that of another service, or another store.")
            if known is not None and known.marked and not renew:
                raise StoreFault(Fault.AWAY, "The store is not mounted, or it was emptied.")
            guard.write_mark(mark)
        elif mark is not None and guard.may_try_to_write():
            guard.write_mark(mark)
        row = StoreRow(said.name, said.role, said.kind, said.provider, said.marked, added_us=now_us)

        def take_up(connection: Connection) -> None:
            rows.add_store(connection, row)
            if renew:
                rows.renew(connection, said.name, now_us=now_us)
                rows.set_listed(connection, said.name, at_us=None)

        if renew or known is None or _differs(known, row):
            self._store.run(take_up)
        guard.admit(mark)

    def _know(self, connection: Connection, guard: Guard) -> None:
        """A store that was never there has a row too: how much it lacks is counted from now on."""
        said = guard.description
        if rows.get_store(connection, said.name) is None:
            row = StoreRow(said.name, said.role, said.kind, said.provider, False, added_us=self._now_us())
            rows.add_store(connection, row)

    def _enter(self, guard: Guard, now_us: int) -> int:
        with self._store.reading() as connection:
            row = rows.get_store(connection, guard.name)
        listed_us = row.listed_us if row else None
        if listed_us is not None and listed_us > self._now_us(-LISTED_EVERY):
            return 0
        entered = 0
        while True:
            some = self._store.run(
                lambda connection: rows.enter_missing(
                    connection, guard.name, now_us=now_us, limit=ENTERED_AT_ONCE
                )
            )
            entered += some
            if some < ENTERED_AT_ONCE:
                break
        self._store.run(lambda connection: rows.set_listed(connection, guard.name, at_us=now_us))
        return entered

    def _tell(self, guard: Guard, fault: Fault | None) -> None:
        now_us = self._now_us()
        self._store.run(lambda connection: rows.told(connection, guard.name, fault or "", now_us=now_us))

    def _put_off(self, guard: Guard, digests: list[bytes]) -> None:
        until_us = self._now_us(FIRST_PAUSE)
        self._store.run(lambda connection: rows.put_off(connection, guard.name, digests, until_us=until_us))

    def _try_later(self, guard: Guard, row: ReplicaRow, why: Fault | Reason) -> None:
        pause = min(FIRST_PAUSE * 2 ** min(row.tries, 20), LAST_PAUSE)
        due_us = self._now_us(pause)
        said = why.value if isinstance(why, Fault) else "NO_SOURCE"
        self._store.run(
            lambda connection: rows.failed(connection, guard.name, row.sealed_sha256, said, due_us=due_us)
        )

    def _mark_of(self, guard: Guard) -> bytes:
        return f"verifield store\n{self._root_sha256.hex()}\n{guard.name}\n".encode()

    def _now_us(self, later: timedelta = timedelta()) -> int:
        return to_us(self._sources.now() + later)


def _differs(known: StoreRow, row: StoreRow) -> bool:
    """Whether the settings say something else than the row."""
    said = (row.role, row.kind, row.provider)
    return (known.role, known.kind, known.provider) != said or (row.marked and not known.marked)
