"""Files on several stores: one that is away, full, slow or damaged costs nobody a file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cloud.errors import Reason, ServiceError
from cloud.objects.files import Fault, ObjectFolder, StoreFault
from cloud.objects.guard import Description, Guard, Limits, Role
from cloud.objects.replicas import MAIN
from cloud.objects.store import GRACE, ObjectRef
from cloud.store.replicas import ReplicaState, claim, count_digests
from tests.support.databases import in_file
from tests.support.storage import KEEP_BACKUPS, PERSON, Storage, open_storage

ROOT = Path(__file__).resolve().parents[2]
SECOND = "second"
OK, LAGGING, CORRUPT, REPAIRED = (
    ReplicaState.OK,
    ReplicaState.LAGGING,
    ReplicaState.CORRUPT,
    ReplicaState.REPAIRED,
)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Storage]:
    """Two local stores, over SQLite."""
    with open_storage(in_file(tmp_path / "db"), tmp_path, mirrors=[SECOND]) as storage:
        yield storage


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Storage]:
    """The same over both engines."""
    with open_storage(database_url, tmp_path, mirrors=[SECOND]) as storage:
        yield storage


def refused(call: Callable[..., object], *arguments: object) -> Reason:
    with pytest.raises(ServiceError) as error:
        call(*arguments)
    return error.value.reason


def unmount(storage: Storage, name: str) -> None:
    """Its disk is away: the empty folder of the mount point is what is left."""
    (storage.folder / name).rename(storage.folder / f"{name}-disk")
    (storage.folder / name).mkdir()


def mount(storage: Storage, name: str) -> None:
    (storage.folder / name).rmdir()
    (storage.folder / f"{name}-disk").rename(storage.folder / name)


def files(storage: Storage, name: str) -> list[Path]:
    return [path for path in (storage.folder / name).rglob("*") if path.is_file() and path.name != ".store"]


def test_both_stores_have_every_file_and_both_serve(two: Storage) -> None:
    refs = [two.put(os.urandom(3000)) for _ in range(4)]
    assert all(two.states(ref) == {MAIN: OK, SECOND: OK} for ref in refs)
    for ref in refs:
        assert two.path(MAIN, ref).read_bytes() == two.path(SECOND, ref).read_bytes()
        two.open(ref)
    assert len(two.backends[MAIN].opened) == len(two.backends[SECOND].opened) == 2


@pytest.mark.req("R141")
def test_a_store_that_dies_under_load_costs_nothing_and_is_repaired_by_its_journal(both: Storage) -> None:
    """Threads write and read all the time; the disk goes away in the middle, and comes back."""
    before = [(both.put(content), content) for content in (os.urandom(2000) for _ in range(10))]
    kept: list[tuple[ObjectRef, bytes]] = []
    faults: list[BaseException] = []
    half = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            for turn in range(8):
                if turn == 3:
                    half.wait(60)  # the disk goes between this and the next one
                    half.wait(60)
                content = os.urandom(1000) + bytes([number, turn])
                kept.append((both.put(content), content))
                assert both.open(kept[-1][0]) == content
                ref, old = before[(number * 8 + turn) % len(before)]
                assert both.open(ref) == old
        except BaseException as error:
            faults.append(error)
            half.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    half.wait(60)
    unmount(both, SECOND)
    half.wait(60)
    for thread in threads:
        thread.join(120)
    assert not faults
    assert len(kept) == 24
    assert files(both, SECOND) == []  # nothing went into the mount point
    behind = [ref for ref, _ in kept if both.states(ref)[SECOND] == LAGGING]
    assert len(behind) >= 15
    both.look()
    assert not both.guard(SECOND).admitted
    mount(both, SECOND)
    both.pass_time()
    both.look()
    both.backends[SECOND].opened.clear()
    done = both.mend(SECOND)
    assert (done.mended, done.failed) == (len(behind), 0)
    # The journal told what was lacking: no other file was looked at.
    assert set(both.backends[SECOND].opened) == {both.digest(ref) for ref in behind}
    for ref, content in before + kept:
        assert both.states(ref) == {MAIN: OK, SECOND: OK}
        assert both.path(SECOND, ref).read_bytes() == both.path(MAIN, ref).read_bytes()
        assert both.open(ref) == content
    unmount(both, MAIN)  # and now the other one, whose files the repaired store has
    both.pass_time()
    assert [both.open(ref) for ref, _ in kept] == [content for _, content in kept]
    ref = both.put(b"written to the repaired one alone")
    assert both.states(ref) == {MAIN: LAGGING, SECOND: OK}


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.READ_ONLY, Fault.AWAY, Fault.DENIED, Fault.BROKEN])
def test_a_store_that_takes_nothing_is_put_aside_and_made_good_later(two: Storage, fault: Fault) -> None:
    old = two.put(b"old")
    backend = two.backends[SECOND]
    if fault in (Fault.FULL, Fault.READ_ONLY):
        backend.put_fault = fault
    else:
        backend.fault = fault
    first, second = two.put(b"first"), two.put(b"second")
    assert two.states(first)[SECOND] == two.states(second)[SECOND] == LAGGING
    assert two.guard(SECOND).fault is fault
    assert two.guard(SECOND).is_aside(writing=True)
    # What it has can be read where it only cannot be written.
    assert two.guard(SECOND).is_aside() is (fault not in (Fault.FULL, Fault.READ_ONLY))
    assert [two.open(ref) for ref in (old, first, second)] == [b"old", b"first", b"second"]
    assert two.mend(SECOND).looked == 0  # it is left alone
    backend.fault = backend.put_fault = None
    two.pass_time()
    two.look()
    assert two.guard(SECOND).fault is None
    assert two.mend(SECOND).mended == 2
    assert two.states(first) == two.states(second) == {MAIN: OK, SECOND: OK}


def test_what_fails_again_waits_longer_and_is_not_forgotten(two: Storage) -> None:
    two.backends[SECOND].put_fault = Fault.FULL
    ref = two.put(b"content")
    for _ in range(3):
        two.pass_time()
        assert two.mend(SECOND).failed == 1
        assert two.mend(SECOND).looked == 0
    two.backends[SECOND].put_fault = None
    two.pass_time()
    assert two.mend(SECOND).mended == 1
    assert two.states(ref)[SECOND] == OK


@pytest.mark.parametrize(
    ("number", "fault"),
    [(28, Fault.FULL), (30, Fault.READ_ONLY), (13, Fault.DENIED), (116, Fault.AWAY), (5, Fault.BROKEN)],
)
def test_what_the_disk_says_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: Fault
) -> None:
    folder = ObjectFolder(tmp_path / "objects", min_free_bytes=0)
    folder.put(b"there is a folder")

    def fails(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreFault) as error:
        folder.put(b"content")
    assert (error.value.fault, error.value.reason) == (fault, Reason.OBJECT_NO_ROOM)
    monkeypatch.undo()
    assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 1


def test_a_store_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    timeouts = {SECOND: 0.02}
    url = in_file(tmp_path / "db")
    with open_storage(url, tmp_path, mirrors=[SECOND], timeouts=timeouts) as storage:
        backend = storage.backends[SECOND]
        for _ in range(20):  # on a machine that is busy, 20 ms may pass without a fault of the store
            storage.pass_time()
            storage.look()
            if storage.guard(SECOND).admitted:
                break
        backend.hang = threading.Event()
        storage.pass_time()
        refs = [storage.put(bytes([number]) * 100) for number in range(20)]
        assert all(storage.states(ref) == {MAIN: OK, SECOND: LAGGING} for ref in refs)
        assert storage.open(refs[7]) == b"\x07" * 100
        assert storage.guard(SECOND).fault is Fault.SLOW
        for _ in range(40):  # more calls that hang than the store may have: the next ones are not begun
            storage.pass_time()
            storage.put(b"x")
        assert sum(thread.name == f"store-{SECOND}" for thread in threading.enumerate()) <= 16


def test_stores_that_hang_at_once_take_the_time_of_one() -> None:
    """Each has its limit from the moment on at which it was asked, not from that at which it is its turn."""
    released, waits = threading.Event(), []

    def hangs(_sealed: bytes) -> None:
        released.wait(60.0)

    class Answers:
        def get(self, *, timeout: float) -> None:
            waits.append(timeout)
            raise Empty

    def guard(name: str) -> Guard:
        backend: Any = SimpleNamespace(put=hangs)
        return Guard(Description(name, Role.LOCAL, marked=False), backend, Limits(timeout_s=0.3))

    first, second = (guard(name).begin_put(b"content") for name in (MAIN, SECOND))
    second.answers = Answers()  # type: ignore[assignment]
    for pending in (first, second):
        with pytest.raises(StoreFault) as error:
            pending.result()
        assert error.value.fault is Fault.SLOW
    released.set()
    [left] = waits
    assert left < 0.3


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("damage", [_flip, _cut, Path.unlink])
def test_a_damaged_copy_is_mended_by_its_reader(two: Storage, damage: Callable[[Path], None]) -> None:
    ref = two.put(os.urandom(5000))
    content = two.open(ref)
    for name in (MAIN, SECOND):
        damage(two.path(name, ref))
        for _ in range(2):  # one of them begins with the damaged store
            assert two.open(ref) == content
        assert sha256(two.path(name, ref).read_bytes()).digest() == two.digest(ref)
        two.care.write_findings()
        assert two.states(ref)[name] == REPAIRED


def test_damage_everywhere_is_told_and_never_handed_out(two: Storage) -> None:
    ref = two.put(os.urandom(5000))
    for name in (MAIN, SECOND):
        _flip(two.path(name, ref))
    assert refused(two.open, ref) is Reason.OBJECT_DAMAGED
    assert refused(two.confirm, ref) is Reason.OBJECT_DAMAGED
    two.care.write_findings()
    assert two.states(ref) == {MAIN: CORRUPT, SECOND: CORRUPT}
    assert two.mend().failed == 2


def test_where_a_store_is_away_nobody_says_that_the_file_is_lost(two: Storage) -> None:
    ref = two.put(b"content")
    _flip(two.path(MAIN, ref))
    two.backends[SECOND].fault = Fault.AWAY
    assert refused(two.open, ref) is Reason.STORES_AWAY
    two.look()  # it is turned away
    assert not two.guard(SECOND).admitted
    assert refused(two.open, ref) is Reason.STORES_AWAY


def test_a_scrub_finds_what_nobody_reads_and_mends_it(both: Storage) -> None:
    refs = [both.put(os.urandom(2000)) for _ in range(5)]
    _flip(both.path(SECOND, refs[1]))
    _cut(both.path(SECOND, refs[3]))
    done = both.scrub(SECOND)
    assert (done.looked, done.damaged, done.mended) == (5, 2, 2)
    assert [both.states(ref)[SECOND] for ref in refs] == [OK, REPAIRED, OK, REPAIRED, OK]
    both.pass_time()
    done = both.scrub(SECOND)
    assert (done.looked, done.damaged) == (5, 0)
    with both.store.reading() as connection:
        assert {both.path(SECOND, ref).stat().st_size for ref in refs} == {
            both.path(MAIN, ref).stat().st_size for ref in refs
        }
        assert connection


def test_as_many_copies_as_are_asked_for_or_nothing(tmp_path: Path) -> None:
    with open_storage(in_file(tmp_path / "db"), tmp_path, mirrors=[SECOND], copies=2) as storage:
        ref = storage.put(b"on both")
        assert storage.confirm(ref) == ref
        storage.backends[SECOND].put_fault = Fault.FULL
        assert refused(storage.put, b"on one alone") is Reason.OBJECT_NO_ROOM
        assert len(files(storage, MAIN)) == len(files(storage, SECOND)) == 1
        _flip(storage.path(SECOND, ref))
        storage.pass_time()
        assert refused(storage.confirm, ref) is Reason.OBJECT_DAMAGED  # and it cannot be mended
        storage.backends[SECOND].put_fault = None
        storage.pass_time()
        assert storage.confirm(ref) == ref


def test_confirming_reads_every_copy_back(two: Storage) -> None:
    content = os.urandom(4000)
    ref = two.put(content)
    for backend in two.backends.values():
        backend.opened.clear()
    confirmed = two.confirm(ref)
    assert (confirmed, confirmed.sha256) == (ref, sha256(content).digest())
    assert [len(backend.opened) for backend in two.backends.values()] == [1, 1]
    _flip(two.path(MAIN, ref))
    assert two.confirm(ref) == ref  # mended from the other one
    assert sha256(two.path(MAIN, ref).read_bytes()).digest() == two.digest(ref)


def test_confirming_works_within_the_transaction_that_keeps_it(both: Storage) -> None:
    staged = both.objects.stage(b"final", person_id=PERSON, media_type="application/pdf")

    def work(connection: object) -> ObjectRef:
        ref = both.objects.keep(connection, staged)  # type: ignore[arg-type]
        return both.objects.confirm(connection, ref.object_id)  # type: ignore[arg-type]

    assert both.store.run(work).sha256 == sha256(b"final").digest()


def test_what_was_dropped_goes_from_a_store_that_was_away_too(both: Storage) -> None:
    ref, kept = both.put(b"dropped"), both.put(b"kept")
    unmount(both, SECOND)
    both.look()
    both.drop(ref)
    assert both.objects.sweep(both.store) == 0  # a backup that is made now still copies it
    both.pass_time(GRACE + timedelta(seconds=1))
    assert both.objects.sweep(both.store) == 1
    assert len(files(both, MAIN)) == 1
    mount(both, SECOND)
    both.pass_time()
    both.look()
    assert len(files(both, SECOND)) == 2
    both.mend()
    assert len(files(both, SECOND)) == 1
    assert both.open(kept) == b"kept"


def test_a_store_for_backups_keeps_what_was_dropped_for_its_time(tmp_path: Path) -> None:
    far = ObjectFolder(tmp_path / "far", min_free_bytes=0)
    remotes = {"far": (Role.BACKUP, "Elsewhere", far)}
    with open_storage(in_file(tmp_path / "db"), tmp_path, remotes=remotes) as storage:
        ref = storage.put(b"content")
        assert storage.states(ref) == {MAIN: OK, "far": LAGGING}
        storage.mend()
        assert storage.states(ref) == {MAIN: OK, "far": OK}
        digest = storage.digest(ref)
        storage.drop(ref)
        storage.pass_time(GRACE + timedelta(seconds=1))
        storage.objects.sweep(storage.store)
        storage.mend()
        assert files(storage, MAIN) == []
        assert far.open(digest)
        storage.pass_time(KEEP_BACKUPS)
        storage.mend()
        with pytest.raises(StoreFault):
            far.open(digest)


def test_an_emptied_store_is_away_until_somebody_says_that_it_is_new(two: Storage) -> None:
    refs = [two.put(os.urandom(100)) for _ in range(3)]
    for path in sorted((two.folder / SECOND).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    two.pass_time()
    two.look()
    assert (two.guard(SECOND).admitted, two.guard(SECOND).fault) == (False, Fault.AWAY)
    assert two.open(refs[0])
    two.care.look_at(two.guard(SECOND), renew=True)
    assert two.mend(SECOND).mended == 3
    assert all(two.states(ref) == {MAIN: OK, SECOND: OK} for ref in refs)


def test_the_store_of_another_service_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with open_storage(in_file(tmp_path / "one"), tmp_path, mirrors=[SECOND]) as storage:
        storage.put(b"of the first service")
    url = in_file(tmp_path / "other")
    with open_storage(url, tmp_path, mirrors=[SECOND], root=b"\x02" * 32) as storage:
        assert [guard.fault for guard in storage.replicas.guards] == [Fault.FOREIGN, Fault.FOREIGN]
        assert refused(storage.put, b"content") is Reason.OBJECT_NO_ROOM
        storage.pass_time(timedelta(days=1000))
        storage.objects.sweep(storage.store)
        assert len(files(storage, MAIN)) == len(files(storage, SECOND)) == 1


def test_a_store_that_is_new_gets_what_was_there_before(tmp_path: Path) -> None:
    url = in_file(tmp_path / "db")
    with open_storage(url, tmp_path) as storage:
        refs = [storage.put(bytes([number]) * 50) for number in range(4)]
    with open_storage(url, tmp_path, mirrors=[SECOND]) as storage:
        assert storage.states(refs[0]) == {MAIN: OK, SECOND: LAGGING}
        assert storage.mend(SECOND).mended == 4
        _flip(storage.path(MAIN, refs[2]))
        assert [storage.open(ref) for ref in refs] == [bytes([number]) * 50 for number in range(4)]


def test_objects_from_before_there_were_stores_are_entered(database_url: str, tmp_path: Path) -> None:
    with open_storage(database_url, tmp_path, start=False) as storage:
        ref = storage.put(b"from before")
        assert storage.states(ref) == {}
        assert storage.look() == 1
        assert storage.states(ref) == {MAIN: LAGGING}  # nobody has looked
        storage.mend()
        assert storage.states(ref) == {MAIN: OK}
        assert storage.look() == 0


def test_what_one_server_has_claimed_another_leaves_alone(both: Storage) -> None:
    both.backends[SECOND].put_fault = Fault.FULL
    for number in range(5):
        both.put(bytes([number]))
    both.pass_time()
    now_us = int(both.at.timestamp() * 1e6)

    def claimed(limit: int, *, later_us: int = 0) -> set[bytes]:
        found = both.store.run(
            lambda connection: claim(
                connection,
                SECOND,
                (LAGGING, CORRUPT),
                now_us=now_us + later_us,
                until_us=now_us + 1000,
                limit=limit,
            )
        )
        return {row.sealed_sha256 for row in found}

    first, second = claimed(3), claimed(9)
    assert (len(first), len(second), first & second) == (3, 2, set())
    assert claimed(9) == set()
    assert claimed(9, later_us=1000) == first | second  # the server fell over


def test_while_reads_cannot_be_noted_nothing_is_opened(two: Storage) -> None:
    class Trail:
        noted: ClassVar[list[tuple[str, str, str]]] = []
        works = True

        def record_read(self, *, action: str, subject: str, caller: str, request_id: str) -> None:
            if not self.works:
                raise ServiceError(Reason.STORE_UNAVAILABLE, "not now")
            self.noted.append((action, subject, caller))

    ref, trail = two.put(b"content"), Trail()
    two.objects._reads = trail
    assert Context().run(two.open, ref) == b"content"  # as a job does, which is nobody's call
    assert trail.noted == [("objects.read", f"objects/{ref.object_id}", "service")]
    trail.works = False
    for backend in two.backends.values():
        backend.opened.clear()
    assert refused(two.open, ref) is Reason.STORE_UNAVAILABLE
    assert not any(backend.opened for backend in two.backends.values())
    assert two.confirm(ref) == ref  # which shows it to nobody
    two.drop(ref)
    assert refused(two.open, ref) is Reason.OBJECT_NOT_FOUND


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.storage import open_storage

url, folder, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
done = [0]

def dies(name):
    kept = getattr(os, name)
    def call(*arguments, **more):
        done[0] += 1
        if done[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept(*arguments, **more)
    return call

with open_storage(url, folder, mirrors=["second"]) as storage:
    for name in ("fsync", "replace", "fchmod"):
        setattr(os, name, dies(name))
    replace = Path.replace
    def moved(self, target):
        done[0] += 1
        if done[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)
    Path.replace = moved
    storage.put(b"half" * 20000)
print(done[0])
"""


def test_a_process_that_is_killed_while_it_writes_leaves_a_file_or_none(tmp_path: Path) -> None:
    url = in_file(tmp_path / "db")
    with open_storage(url, tmp_path, mirrors=[SECOND]) as storage:
        kept = storage.put(b"kept")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    for step in (1, 2, 4, 6, 8):
        command = [sys.executable, "-c", _KILLED, url, str(tmp_path), str(step)]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        assert ended.returncode == -9, ended.stderr
    with open_storage(url, tmp_path, mirrors=[SECOND]) as storage:
        assert storage.open(kept) == b"kept"
        with storage.store.reading() as connection:
            assert count_digests(connection) == 1
        for name in (MAIN, SECOND):
            for path in files(storage, name):
                os.utime(path, (0, 0))
        storage.objects.sweep(storage.store)
        assert [len(files(storage, name)) for name in (MAIN, SECOND)] == [1, 1]
        assert storage.put(b"and on it goes")
