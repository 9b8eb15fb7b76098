"""Files of persons: sealed, found again only whole, and gone with their person."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.errors import Reason, ServiceError
from cloud.objects.files import ObjectFolder
from cloud.objects.inflow import Inflow
from cloud.objects.store import GRACE, SEALED, ObjectRef, Objects
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.privacy.streams import PIECE_BYTES
from cloud.sources import Sources
from cloud.store import objects as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.sealed import forget_person
from tests.support.samples import jpeg, pdf

PERSON = "018f0000-0000-7000-8000-000000000001"


@dataclass
class Shelf:
    folder: Path
    store: Store
    objects: Objects
    at: datetime

    def now(self) -> datetime:
        return self.at

    def put(self, content: bytes, person: str = PERSON) -> ObjectRef:
        return self.store.run(
            lambda connection: self.objects.put(
                connection, person_id=person, media_type="image/jpeg", content=content
            )
        )

    def open(self, object_id: str) -> bytes:
        with self.store.reading() as connection:
            return self.objects.open(connection, object_id)

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def grow_old(self) -> None:
        """Every file, as if the grace were over."""
        for path in self.files():
            os.utime(path, (0, 0))


@pytest.fixture
def shelf(database_url: str, tmp_path: Path) -> Iterator[Shelf]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    (tmp_path / "keys").mkdir()
    ring = KeyRing.open(tmp_path / "keys", now_us=1, random_bytes=os.urandom)
    made: list[Shelf] = []
    sources = Sources(now=lambda: made[0].at, random_bytes=os.urandom)
    folder = tmp_path / "objects"
    objects = Objects(ObjectFolder(folder, min_free_bytes=0), Persons(ring, sources), sources)
    made.append(Shelf(folder, store, objects, datetime.now(UTC)))
    yield made[0]
    store.close()


def refused(call: object, *arguments: object) -> Reason:
    with pytest.raises(ServiceError) as error:
        call(*arguments)  # type: ignore[operator]
    return error.value.reason


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_what_was_put_is_opened_again_and_not_seen_on_disk(shelf: Shelf, size: int) -> None:
    content = os.urandom(16) * (size // 16) + b"s" * (size % 16)
    ref = shelf.put(content)
    assert (ref.sha256, ref.size) == (sha256(content).digest(), size)
    assert shelf.open(ref.object_id) == content
    [path] = shelf.files()
    sealed = path.read_bytes()
    assert path.name == sha256(sealed).hexdigest()
    assert size < 16 or content[:16] not in sealed
    assert path.stat().st_mode & 0o777 == 0o600
    with shelf.store.reading() as connection:
        assert shelf.objects.find(connection, [ref.object_id]) == {ref.object_id: ref}


def test_one_content_twice_looks_different(shelf: Shelf) -> None:
    shelf.put(b"the same")
    shelf.put(b"the same")
    assert len(shelf.files()) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.data())
def test_a_changed_file_is_noticed(shelf: Shelf, data: st.DataObject) -> None:
    """Cut short, put in another order, changed: also by somebody who gives the file its new name."""
    ref = shelf.put(os.urandom(3 * PIECE_BYTES + 5))
    with shelf.store.reading() as connection:
        row = rows.get_objects(connection, [ref.object_id])[ref.object_id]
    path = shelf.folder / row.sealed_sha256.hex()[:2] / row.sealed_sha256.hex()
    sealed = path.read_bytes()
    piece = PIECE_BYTES + 16
    change = data.draw(st.sampled_from(["flip", "cut", "swap", "whole pieces"]))
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = {
        "flip": sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :],
        "cut": sealed[:at],
        "swap": sealed[:6]
        + sealed[6 + piece : 6 + 2 * piece]
        + sealed[6 : 6 + piece]
        + sealed[6 + 2 * piece :],
        "whole pieces": sealed[: 6 + data.draw(st.integers(0, 3)) * piece],
    }[change]
    path.write_bytes(changed)
    assert refused(shelf.open, ref.object_id) is Reason.OBJECT_DAMAGED
    renamed = shelf.folder / sha256(changed).hexdigest()[:2]
    renamed.mkdir(exist_ok=True)
    path.rename(renamed / sha256(changed).hexdigest())
    with shelf.store.writing() as connection:
        connection.execute(
            SEALED.table.update()
            .where(SEALED.table.c.object_id == ref.object_id)
            .values(sealed_sha256=sha256(changed).digest())
        )
    assert refused(shelf.open, ref.object_id) is Reason.OBJECT_DAMAGED
    with shelf.store.writing() as connection:
        rows.forget_objects(connection, [ref.object_id])


def test_a_row_of_another_object_opens_nothing(shelf: Shelf) -> None:
    first, second = shelf.put(b"first"), shelf.put(b"second")
    with shelf.store.writing() as connection:
        opener = rows.get_objects(connection, [first.object_id])[first.object_id].opener
        connection.execute(
            SEALED.table.update().where(SEALED.table.c.object_id == second.object_id).values(opener=opener)
        )
    assert refused(shelf.open, second.object_id) is Reason.OBJECT_DAMAGED


def test_who_erases_a_person_makes_the_files_unreadable_and_the_sweep_takes_them(shelf: Shelf) -> None:
    gone, kept = shelf.put(b"of one"), shelf.put(b"of another", "018f0000-0000-7000-8000-000000000002")
    shelf.store.run(lambda connection: forget_person(connection, [SEALED], PERSON, now_us=5))
    assert refused(shelf.open, gone.object_id) is Reason.OBJECT_NOT_FOUND
    assert refused(shelf.put, b"again") is Reason.PERSON_ERASED
    assert shelf.objects.sweep(shelf.store) == 1
    assert shelf.open(kept.object_id) == b"of another"
    shelf.grow_old()
    assert shelf.objects.sweep(shelf.store) == 1  # of the put that was refused
    assert len(shelf.files()) == 1
    assert shelf.objects.sweep(shelf.store) == 0


def test_a_file_without_a_row_is_swept_after_the_grace_and_no_other(shelf: Shelf) -> None:
    kept = shelf.put(b"kept")
    shelf.objects.stage(b"never kept", person_id=PERSON, media_type="image/jpeg")
    left = shelf.files()[0].with_name(".half-written")
    left.write_bytes(b"by a kill")
    assert shelf.objects.sweep(shelf.store) == 0
    assert len(shelf.files()) == 3
    shelf.grow_old()
    assert shelf.objects.sweep(shelf.store) == 1
    assert len(shelf.files()) == 1
    assert shelf.open(kept.object_id) == b"kept"


def test_a_dropped_object_is_unreadable_at_once_and_its_file_stays_for_the_grace(shelf: Shelf) -> None:
    ref = shelf.put(b"dropped")
    shelf.grow_old()
    shelf.store.run(lambda connection: shelf.objects.drop(connection, ref.object_id))
    assert refused(shelf.open, ref.object_id) is Reason.OBJECT_NOT_FOUND
    assert shelf.objects.sweep(shelf.store) == 0
    assert len(shelf.files()) == 1
    shelf.at += GRACE + timedelta(seconds=1)
    assert shelf.objects.sweep(shelf.store) == 1
    assert shelf.files() == []


def test_a_transaction_that_is_undone_leaves_no_object(shelf: Shelf) -> None:
    def work(connection: object) -> None:
        shelf.objects.put(connection, person_id=PERSON, media_type="image/png", content=b"x")  # type: ignore[arg-type]
        raise ServiceError(Reason.INTERNAL, "undone")

    assert refused(shelf.store.run, work) is Reason.INTERNAL
    shelf.grow_old()
    assert shelf.objects.sweep(shelf.store) == 1
    assert shelf.files() == []


async def _chunks(content: bytes, *, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


def test_what_is_received_is_limited_and_sniffed(shelf: Shelf) -> None:
    staged = asyncio.run(shelf.objects.receive(_chunks(pdf()), person_id=PERSON))
    ref = shelf.store.run(lambda connection: shelf.objects.keep(connection, staged))
    assert (ref.media_type, shelf.open(ref.object_id)) == ("application/pdf", pdf())
    assert "key" not in repr(staged)
    before = len(shelf.files())
    for content, limit, reason in [
        (pdf(), 100, Reason.OBJECT_TOO_LARGE),
        (b"MZ" + pdf(), 10_000, Reason.OBJECT_TYPE_REFUSED),
    ]:
        with pytest.raises(ServiceError) as error:
            asyncio.run(shelf.objects.receive(_chunks(content), person_id=PERSON, limit=limit))
        assert error.value.reason is reason
    assert len(shelf.files()) == before


def test_a_full_disk_refuses(shelf: Shelf) -> None:
    full = ObjectFolder(shelf.folder, min_free_bytes=2**62)
    assert refused(full.put, jpeg()) is Reason.OBJECT_NO_ROOM


def test_what_is_refused_leaves_no_file_and_what_is_kept_stays(shelf: Shelf) -> None:
    kept, refused_one = (
        asyncio.run(shelf.objects.receive(_chunks(pdf()), person_id=PERSON)) for _ in range(2)
    )
    ref = shelf.store.run(lambda connection: shelf.objects.keep(connection, kept))
    for one in (kept, refused_one):
        shelf.objects.settle(shelf.store, one)
    assert shelf.open(ref.object_id) == pdf()
    assert len(shelf.files()) == 1


def test_the_limit_is_exact_to_the_byte(shelf: Shelf) -> None:
    whole, many = pdf(), 7
    asyncio.run(shelf.objects.receive(_chunks(whole, size=many), person_id=PERSON, limit=len(whole)))
    with pytest.raises(ServiceError) as error:
        asyncio.run(shelf.objects.receive(_chunks(whole, size=many), person_id=PERSON, limit=len(whole) - 1))
    assert error.value.reason is Reason.OBJECT_TOO_LARGE


def test_who_sends_slowly_holds_neither_the_memory_nor_the_places_of_others(shelf: Shelf) -> None:
    async def slow(go_on: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await go_on.wait()
        raise ServiceError(Reason.INTERNAL, "the line broke")

    async def run() -> list[Reason | None]:
        go_on, objects = asyncio.Event(), shelf.objects
        sending = [asyncio.create_task(objects.receive(slow(go_on), person_id=PERSON)) for _ in range(5)]
        await asyncio.sleep(0.05)
        refused = [one.exception() for one in sending if one.done()]
        assert len(refused) == 2  # three at a time
        await objects.receive(_chunks(pdf()), person_id="018f0000-0000-7000-8000-000000000002")
        go_on.set()
        await asyncio.gather(*sending, return_exceptions=True)
        await objects.receive(_chunks(pdf()), person_id=PERSON)  # its places are free again
        return [one.reason if isinstance(one, ServiceError) else None for one in refused]

    assert asyncio.run(run()) == [Reason.OBJECTS_BUSY, Reason.OBJECTS_BUSY]


def test_all_files_together_have_a_limit_in_memory() -> None:
    inflow = Inflow(max_held_bytes=100, max_files_of_one=2)
    with inflow.one("a") as first, inflow.one("b") as second:
        first.add(60)
        with pytest.raises(ServiceError) as error:
            second.add(41)
        assert error.value.reason is Reason.OBJECTS_BUSY
        second.add(40)
    with inflow.one("a") as again:
        again.add(100)
