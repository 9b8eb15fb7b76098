"""Several stores of files over a database, with a clock that a test moves, and faults that it puts in.

with open_storage(url, tmp_path, mirrors=("second",)) as storage:
    ref = storage.put(b"content")
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud.objects.care import Care, Done
from cloud.objects.files import Backend, Fault, ObjectFolder, StoreFault
from cloud.objects.guard import Description, Guard, Limits, Role
from cloud.objects.replicas import MAIN, Replicas
from cloud.objects.store import ObjectRef, Objects
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from cloud.store import objects as object_rows
from cloud.store import replicas as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.replicas import ReplicaState

PERSON = "018f0000-0000-7000-8000-000000000001"
ROOT = b"\x01" * 32
KEEP_BACKUPS = timedelta(days=30)


class Faulty:
    """A store in front of another one that does what a test says: each call, or every put, has a fault."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.fault: Fault | None = None
        self.put_fault: Fault | None = None
        self.hang: threading.Event | None = None
        self.opened: list[bytes] = []
        self.puts: list[bytes] = []

    def put(self, sealed: bytes) -> bytes:
        self._check()
        if self.put_fault:
            raise StoreFault(self.put_fault, "injected")
        digest = self.inner.put(sealed)
        self.puts.append(digest)
        return digest

    def open(self, digest: bytes) -> bytes:
        self._check()
        self.opened.append(digest)
        return self.inner.open(digest)

    def delete(self, digest: bytes) -> None:
        self._check()
        self.inner.delete(digest)

    def list_before(self, before_us: int) -> Iterator[bytes]:
        self._check()
        return self.inner.list_before(before_us)

    def read_mark(self) -> bytes | None:
        self._check()
        return self.inner.read_mark()

    def write_mark(self, mark: bytes) -> None:
        self._check()
        self.inner.write_mark(mark)

    def expect(self, mark: bytes) -> None:
        self.inner.expect(mark)

    def _check(self) -> None:
        if self.hang is not None:
            self.hang.wait()
        if self.fault:
            raise StoreFault(self.fault, "injected")


@dataclass
class Storage:
    folder: Path
    store: Store
    objects: Objects
    replicas: Replicas
    care: Care
    backends: dict[str, Faulty]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 1000.0

    def guard(self, name: str) -> Guard:
        found = self.replicas.find(name)
        assert found is not None
        return found

    def put(self, content: bytes, person: str = PERSON) -> ObjectRef:
        staged = self.objects.stage(content, person_id=person, media_type="application/pdf")
        return self.store.run(lambda connection: self.objects.keep(connection, staged))

    def open(self, ref: ObjectRef) -> bytes:
        with self.store.reading() as connection:
            return self.objects.open(connection, ref.object_id)

    def confirm(self, ref: ObjectRef) -> ObjectRef:
        with self.store.reading() as connection:
            return self.objects.confirm(connection, ref.object_id)

    def drop(self, ref: ObjectRef) -> None:
        self.store.run(lambda connection: self.objects.drop(connection, ref.object_id))

    def digest(self, ref: ObjectRef) -> bytes:
        with self.store.reading() as connection:
            row = object_rows.get_objects(connection, [ref.object_id])[ref.object_id]
            return bytes(row.sealed_sha256)

    def path(self, store: str, ref: ObjectRef) -> Path:
        name = self.digest(ref).hex()
        return self.folder / store / name[:2] / name

    def states(self, ref: ObjectRef) -> dict[str, ReplicaState]:
        with self.store.reading() as connection:
            found = rows.states_of(connection, self.digest(ref))
        return {name: ReplicaState(state) for name, state in found.items()}

    def pass_time(self, time: timedelta = timedelta(minutes=30)) -> None:
        """Also for stores that are put aside."""
        self.at += time
        self.seconds += time.total_seconds()

    def look(self) -> int:
        return self.care.look()

    def mend(self, *names: str) -> Done:
        """Everything that is due, at these stores or at all."""
        done = Done()
        for guard in self.replicas.guards:
            while not names or guard.name in names:
                turn = self.care.mend(guard)
                done.add(turn)
                if turn.failed or not turn.looked:
                    break
        return done

    def scrub(self, name: str) -> Done:
        before_us = int((self.at + timedelta(seconds=1)).timestamp() * 1e6)
        return self.care.scrub(self.guard(name), before_us=before_us)


@contextmanager
def open_storage(
    url: str,
    folder: Path,
    *,
    mirrors: Sequence[str] = (),
    remotes: dict[str, tuple[Role, str, Backend]] | None = None,
    copies: int = 0,
    root: bytes = ROOT,
    timeouts: dict[str, float] | None = None,
    start: bool = True,
) -> Iterator[Storage]:
    """``remotes``: role, provider and store by name. ``start``: all stores are looked at, and entered."""
    store = Store.open(url, StoreOptions(require_durable=False))
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    ring = KeyRing.open(folder / "keys", now_us=1, random_bytes=os.urandom)
    made: list[Storage] = []
    sources = Sources(now=lambda: made[0].at, random_bytes=os.urandom)
    backends = {name: Faulty(ObjectFolder(folder / name, min_free_bytes=0)) for name in (MAIN, *mirrors)}
    described = {name: Description(name, Role.LOCAL, marked=bool(mirrors)) for name in backends}
    for name, (role, provider, backend) in (remotes or {}).items():
        backends[name] = Faulty(backend)
        described[name] = Description(name, role, "s3", provider)
    guards = [
        Guard(
            described[name],
            backend,
            Limits((timeouts or {}).get(name, 20.0)),
            clock=lambda: made[0].seconds,
        )
        for name, backend in backends.items()
    ]
    replicas = Replicas(guards, copies=copies)
    objects = Objects(replicas, Persons(ring, sources), sources, backup_grace=KEEP_BACKUPS)
    care = Care(store, replicas, sources, root_sha256=root)
    made.append(Storage(folder, store, objects, replicas, care, backends))
    try:
        if start:
            care.begin()
            care.look()
        yield made[0]
    finally:
        for backend in backends.values():
            if backend.hang is not None:
                backend.hang.set()
        store.close()
