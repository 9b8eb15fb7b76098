"""Files of persons are in a backup, come back with it, and what is missing of them is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud.backup import media
from cloud.backup.create import Terms, create_backup
from cloud.backup.restore import Check, Restored, restore_backup, verify_backup
from cloud.config import Config
from cloud.errors import Reason, ServiceError, SetupError
from cloud.objects.files import ObjectFolder
from cloud.objects.store import SEALED, ObjectRef, Objects
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from cloud.store.database import Store, StoreOptions
from cloud.store.objects import get_objects
from cloud.store.sealed import forget_person
from tests.support.cloud import running_cloud
from tests.support.postgres import fresh_database
from verifield.certificates import load_roots

PERSON = "018f0000-0000-7000-8000-000000000001"
SOURCES = Sources.system()


def quiet(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Place:
    data: Path
    url: str | None

    @property
    def config(self) -> Config:
        return Config(data=self.data, database=self.url, require_durable_database=False)

    @contextmanager
    def opened(self) -> Iterator[tuple[Store, Objects]]:
        config = self.config
        store = Store.open(config.database_url, StoreOptions(require_durable=False))
        ring = KeyRing.open(self.data / "keys", now_us=1, random_bytes=SOURCES.random_bytes)
        files = ObjectFolder(config.objects_folder, min_free_bytes=0)
        try:
            yield store, Objects(files, Persons(ring, SOURCES), SOURCES)
        finally:
            store.close()

    def put(self, *contents: bytes) -> list[ObjectRef]:
        with self.opened() as (store, objects):
            return [
                store.run(
                    lambda connection, content=content: objects.put(
                        connection, person_id=PERSON, media_type="image/png", content=content
                    )
                )
                for content in contents
            ]

    def check(self) -> Check:
        return Check(load_roots((self.data / "root.pem").read_bytes()), None, quiet)

    def backup(self, folder: Path) -> Path:
        return create_backup(self.config, folder, Terms(None, quiet), SOURCES).folder


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    made = Place(tmp_path / "data", None if database_url.startswith("sqlite") else database_url)
    with running_cloud(made.data, database=made.url):
        pass
    return made


@contextmanager
def restored(place: Place, backup: Path, data: Path) -> Iterator[tuple[Place, Restored]]:
    if place.url is None:
        yield Place(data, None), restore_backup(backup, data, place.check(), SOURCES)
        return
    with fresh_database() as url:
        yield Place(data, url), restore_backup(backup, data, place.check(), SOURCES, database=url)


def test_objects_come_back_with_a_restore(place: Place, tmp_path: Path) -> None:
    refs = place.put(b"a picture", b"x" * 200_000)
    first = place.backup(tmp_path / "backups")
    verify_backup(first, place.check())
    second = place.backup(tmp_path / "backups")
    [one] = [path for path in (first / "objects").rglob("*") if path.is_file()][:1]
    assert (second / one.relative_to(first)).stat().st_ino == one.stat().st_ino  # shared, not copied
    with restored(place, second, tmp_path / "restored") as (back, done):
        assert (done.holds, done.lost_media) == (True, ())
        with back.opened() as (store, objects), store.reading() as connection:
            contents = [objects.open(connection, ref.object_id) for ref in refs]
    assert contents == [b"a picture", b"x" * 200_000]


def test_a_changed_object_is_found_and_left_out_of_a_restore(place: Place, tmp_path: Path) -> None:
    good, bad = place.put(b"good", b"bad")
    backup = place.backup(tmp_path / "backups")
    with place.opened() as (store, _), store.reading() as connection:
        name = get_objects(connection, [bad.object_id])[bad.object_id].sealed_sha256.hex()
    path = backup / "objects" / name[:2] / name
    path.write_bytes(b"changed")
    with pytest.raises(SetupError) as damaged:
        verify_backup(backup, place.check())
    assert damaged.value.code == "BACKUP_DAMAGED"
    with restored(place, backup, tmp_path / "restored") as (back, done):
        assert done.lost_media == (f"objects/{name[:2]}/{name}",)
        with back.opened() as (store, objects), store.reading() as connection:
            assert objects.open(connection, good.object_id) == b"good"
            with pytest.raises(ServiceError) as gone:
                objects.open(connection, bad.object_id)
    assert gone.value.reason is Reason.OBJECT_DAMAGED


def test_an_object_that_was_lost_before_the_backup_is_told_of(place: Place, tmp_path: Path) -> None:
    place.put(b"lost")
    [path] = [one for one in (place.data / "objects").rglob("*") if one.is_file()]
    path.unlink()
    backup = place.backup(tmp_path / "backups")
    with restored(place, backup, tmp_path / "restored") as (_, done):
        assert done.lost_media == (f"objects/{path.parent.name}/{path.name}",)


def test_who_was_erased_is_not_missed(place: Place, tmp_path: Path) -> None:
    place.put(b"of somebody")
    with place.opened() as (store, objects):
        store.run(lambda connection: forget_person(connection, [SEALED], PERSON, now_us=5))
        assert objects.sweep(store) == 1
    backup = place.backup(tmp_path / "backups")
    with restored(place, backup, tmp_path / "restored") as (_, done):
        assert (done.holds, done.lost_media) == (True, ())


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_that_is_swept_while_the_backup_is_made_does_not_end_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    kept, gone = place.put(b"kept", b"gone")
    if shared:
        place.backup(tmp_path / "backups")
    with place.opened() as (store, _), store.reading() as connection:
        name = get_objects(connection, [gone.object_id])[gone.object_id].sealed_sha256.hex()
    path = place.data / "objects" / name[:2] / name
    original = media._share if shared else media._copy

    def late(source: Path, *arguments: object, **more: object) -> object:
        if source == path:
            path.unlink()
        return original(source, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(media, "_share" if shared else "_copy", late)
    backup = place.backup(tmp_path / "backups")
    with restored(place, backup, tmp_path / "restored") as (back, done):
        assert done.holds
        assert done.lost_media == (f"objects/{name[:2]}/{name}",)
        with back.opened() as (store, objects), store.reading() as connection:
            assert objects.open(connection, kept.object_id) == b"kept"
