"""The key ring at a start: made once, and never another one in its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud.errors import SetupError
from cloud.privacy.ring import RING_FILE, KeyRing
from cloud.store import persons
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import person_keys


@dataclass
class Place:
    """A database, and the folder with the ring that belongs to it."""

    store: Store
    keys: Path

    @property
    def file(self) -> Path:
        return self.keys / RING_FILE

    def start(self) -> KeyRing:
        with self.store.reading() as connection:
            return persons.open_ring(connection, self.keys, now_us=1, random_bytes=os.urandom)

    def refused(self) -> SetupError:
        with pytest.raises(SetupError) as caught:
            self.start()
        assert RING_FILE in f"{caught.value.message} {caught.value.hint}"
        return caught.value

    def add(self, ring: KeyRing, *person_ids: str) -> None:
        with self.store.writing() as connection:
            for person_id in person_ids:
                persons.add_person(connection, ring, person_id, now_us=1, random_bytes=os.urandom)


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "keys").mkdir()
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield Place(store, tmp_path / "keys")
    store.close()


def test_a_lost_ring_is_not_replaced_where_it_has_work(place: Place) -> None:
    """Else one person could register twice, and who registered meanwhile would be lost with its return."""
    first = place.start()
    place.add(first, "person-1")
    kept = place.file.read_bytes()
    place.file.unlink()
    assert place.refused().code == "KEYS_UNUSABLE"
    assert not place.file.exists()
    place.file.write_bytes(kept)
    assert place.start().current() == first.current()


def test_a_ring_is_made_where_it_has_no_work_left(place: Place) -> None:
    first = place.start()
    place.add(first, "person-1")
    with place.store.writing() as connection:
        persons.destroy_key(connection, "person-1", now_us=2)
    old = first.current()
    place.file.unlink()
    assert place.start().current() != old


def test_another_ring_with_the_same_versions_stops_the_start(place: Place) -> None:
    place.add(place.start(), "person-1")
    place.file.unlink()
    KeyRing.open(place.keys, now_us=1, random_bytes=os.urandom)
    assert place.refused().code == "RING_VERSION_LOST"


def test_each_version_is_proved(place: Place) -> None:
    ring = place.start()
    place.add(ring, "person-1")
    before = place.file.read_bytes()
    ring.rotate("seal", now_us=2, random_bytes=os.urandom)
    place.add(ring, "person-2")
    place.start()
    place.file.write_bytes(before)
    KeyRing.load(place.keys).rotate("seal", now_us=3, random_bytes=os.urandom)
    assert place.refused().code == "RING_VERSION_LOST"


def test_a_damaged_row_says_nothing_of_the_ring(place: Place) -> None:
    place.add(place.start(), "person-1", "person-2")
    with place.store.writing() as connection:
        row = update(person_keys).where(person_keys.c.person_id == "person-1")
        connection.execute(row.values(wrapped=b"changed from outside"))
    place.start()
