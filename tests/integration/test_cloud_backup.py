"""Backups are consistent while records pour in, and what is restored of them holds and goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cloud.backup import aside, create, manifest
from cloud.backup.create import Terms, create_backup, list_names, prune
from cloud.backup.media import is_damaged
from cloud.backup.restore import Check, Restored, restore_backup, verify_backup
from cloud.config import Config
from cloud.errors import SetupError
from cloud.sources import Sources
from tests.support.authority import NOW
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud, next_envelopes, running_cloud
from tests.support.field_office import FieldOffice
from tests.support.postgres import fresh_database
from verifield.certificates import load_roots
from verifield.note import parse_checkpoint
from verifield.v1.attestation_service_pb2 import ListAttestationsRequest
from verifield.v1.sync_service_pb2 import DELIVER_STATUS_ACCEPTED

IDENTITY = X25519PrivateKey.generate()


def quiet(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Place:
    """A service's folder and database, and what to back it up to."""

    base: Path
    data: Path
    database: str | None
    clock: FakeClock = field(default_factory=FakeClock)

    @property
    def backups(self) -> Path:
        return self.base / "backups"

    @property
    def sources(self) -> Sources:
        return Sources(now=self.clock.now, random_bytes=Sources.system().random_bytes)

    @property
    def check(self) -> Check:
        roots = load_roots((self.data / "root.pem").read_bytes())
        return Check(roots, IDENTITY, quiet)

    def running(self) -> AbstractContextManager[RunningCloud]:
        return running_cloud(self.data, clock=self.clock, database=self.database)

    def backup(self, *, sealed: bool = True) -> manifest.Backup:
        config = Config(data=self.data, database=self.database, require_durable_database=False)
        terms = Terms(IDENTITY.public_key() if sealed else None, quiet)
        return create_backup(config, self.backups, terms, self.sources)

    @contextmanager
    def restored(self, backup: Path) -> Iterator[tuple[Place, Restored]]:
        """A second place with what the backup holds; PostgreSQL gives it a new database."""
        data = self.base / "restored"
        if self.database is None:
            done = restore_backup(backup, data, self.check, self.sources)
            yield Place(self.base, data, None, self.clock), done
            return
        with fresh_database() as database:
            done = restore_backup(backup, data, self.check, self.sources, database=database)
            yield Place(self.base, data, database, self.clock), done


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    database = None if database_url.startswith("sqlite") else database_url
    return Place(tmp_path, tmp_path / "data", database)


@pytest.fixture
def small(tmp_path: Path) -> Place:
    """SQLite alone, where the engine makes no difference."""
    return Place(tmp_path, tmp_path / "data", None)


def delivered(cloud: RunningCloud) -> list[tuple[str, int, int]]:
    """Places of all records that the cloud has, in the log's order."""
    found = []
    for page in cloud.operator.pages(
        cloud.operator.attestations.ListAttestations, ListAttestationsRequest(page_size=500)
    ):
        found += [(one.device_id, one.chain_epoch, one.seq) for one in page.attestations]
    return sorted(found)


@contextmanager
def under_load(cloud: RunningCloud, device: CloudDevice) -> Iterator[Callable[[], int]]:
    """Deliver without a pause; the block is told how many records are durable so far."""
    stop, done, fault = threading.Event(), [0], list[BaseException]()

    def pour() -> None:
        try:
            while not stop.is_set():
                batch = next_envelopes(device, 20)
                [answer] = cloud.deliver(device, batch)
                assert {result.status for result in answer.results} == {DELIVER_STATUS_ACCEPTED}
                done[0] += len(batch)
        except BaseException as error:  # handed to the test's thread
            fault.append(error)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield lambda: done[0]
    finally:
        stop.set()
        thread.join(60)
        assert not fault, fault


def wait_for(records: Callable[[], int], least: int) -> int:
    pause = threading.Event()
    for _ in range(3000):
        if records() >= least:
            return records()
        pause.wait(0.01)
    raise AssertionError("nothing is delivered")


def test_a_backup_under_load_holds_all_that_was_durable_and_goes_on(place: Place) -> None:
    with place.running() as cloud:
        device = cloud.enroll()
        with under_load(cloud, device) as durable:
            before = wait_for(durable, 60)
            backup = place.backup()
            after = wait_for(durable, before + 60)
        everything = delivered(cloud)
        assert len(everything) >= after
    found, _state = verify_backup(backup.folder, place.check)
    size = parse_checkpoint(found.manifest.checkpoint).size
    assert before <= size < after
    with place.restored(backup.folder) as (again, checked):
        assert checked.holds
        assert checked.log.tree_size == checked.log.records == size
        assert checked.audit.end.seq == backup.manifest.audit_seq >= 1
        with again.running() as cloud:
            assert delivered(cloud) == everything[:size]
            assert cloud.head(device).seq == size


def test_devices_go_on_with_a_restored_service_and_nothing_is_lost_or_doubled(place: Place) -> None:
    with place.running() as cloud:
        offices = [FieldOffice.open(cloud, place.base / name) for name in ("one", "two")]
        deliver_all(offices, records=2)
        backup = place.backup()
        # After the backup: the service will forget these, the devices have them still.
        deliver_all(offices, records=2)
        everything = delivered(cloud)
        assert len(everything) == 2 * (1 + 2 + 2)
    with place.restored(backup.folder) as (again, checked), again.running() as cloud:
        assert checked.holds
        assert len(delivered(cloud)) == 2 * (1 + 2)
        troubles = set()
        for office in reversed(offices):
            office.cloud = cloud
            office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
            office.verify()
            trouble = office.sync().trouble
            troubles.add(trouble.code if trouble else "")
            assert office.sync(accept_log=True).trouble is None
            assert office.all_settled()
        # In another order than the devices have seen: they stop until a person believes the log as it is.
        assert "LOG_INCONSISTENT" in troubles
        new = {(office.device_id, 1, 6) for office in offices}
        assert delivered(cloud) == sorted([*everything, *new])  # none lost, none twice


def deliver_all(offices: Sequence[FieldOffice], *, records: int) -> None:
    """One office after the other."""
    for office in offices:
        office.verify(records)
        assert office.sync().trouble is None
        assert office.all_settled()


def test_devices_notice_nothing_of_a_restore_that_lost_nothing(place: Place) -> None:
    with place.running() as cloud:
        office = FieldOffice.open(cloud, place.base / "device")
        office.verify(3)
        assert office.sync().trouble is None
        backup = place.backup()
    with place.restored(backup.folder) as (again, _checked), again.running() as cloud:
        office.cloud = cloud
        office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
        office.verify(1)
        assert office.sync().trouble is None
        assert office.all_settled()
        assert delivered(cloud) == [(office.device_id, 1, seq) for seq in range(1, 6)]


@pytest.fixture
def filled(small: Place) -> Place:
    """A service that stands, with a device, records and audit events."""
    with small.running() as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 5))
    return small


def test_a_sealed_backup_shows_nothing_and_opens_with_its_key_alone(filled: Place) -> None:
    backup = filled.backup()
    content = b"".join(path.read_bytes() for path in backup.folder.rglob("*") if path.is_file())
    assert b"SQLite format" not in content
    assert b"PRIVATE KEY" not in content
    assert (filled.data / "operator.token").read_bytes().strip() not in content
    nobody = Check(filled.check.roots, None, quiet)
    verify_backup(backup.folder, nobody)  # digests need no key
    with pytest.raises(SetupError) as caught:
        restore_backup(backup.folder, filled.base / "restored", nobody, filled.sources)
    assert caught.value.code == "BACKUP_IDENTITY"
    other = Check(filled.check.roots, X25519PrivateKey.generate(), quiet)
    with pytest.raises(SetupError) as caught:
        restore_backup(backup.folder, filled.base / "restored", other, filled.sources)
    assert caught.value.code == "BACKUP_IDENTITY"
    assert not (filled.base / "restored").exists()


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", ["MANIFEST", "FILES", "database", "keys"])
def test_any_changed_file_is_found(filled: Place, name: str, sealed: bool) -> None:
    backup = filled.backup(sealed=sealed)
    path = backup.folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    for damage in (
        content[:-1],
        content + b"\0",
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        None,
    ):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(SetupError) as caught:
            verify_backup(backup.folder, filled.check)
        assert caught.value.code in {"BACKUP_DAMAGED", "BACKUP_FOREIGN", "BACKUP_UNREADABLE"}
        with pytest.raises(SetupError):
            restore_backup(backup.folder, filled.base / "restored", filled.check, filled.sources)
        assert not (filled.base / "restored").exists()
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    verify_backup(backup.folder, filled.check)


def test_a_backup_of_another_deployment_is_refused(filled: Place, tmp_path: Path) -> None:
    backup = filled.backup()
    other = Place(tmp_path / "other", tmp_path / "other" / "data", None)
    with other.running():
        pass
    with pytest.raises(SetupError) as caught:
        verify_backup(backup.folder, other.check)
    assert caught.value.code == "BACKUP_FOREIGN"


def test_nothing_is_overwritten(filled: Place) -> None:
    backup = filled.backup()
    before = sorted(path.name for path in filled.data.iterdir())
    with pytest.raises(SetupError) as caught:
        restore_backup(backup.folder, filled.data, filled.check, filled.sources)
    assert caught.value.code == "RESTORE_NOT_EMPTY"
    assert sorted(path.name for path in filled.data.iterdir()) == before
    (filled.base / "empty").mkdir()
    shutil.copytree(filled.data / "keys", filled.base / ".empty.restoring-killed")
    assert restore_backup(backup.folder, filled.base / "empty", filled.check, filled.sources).holds
    assert not list(filled.base.glob(".empty*"))


def test_a_database_that_was_changed_before_its_backup_is_restored_nowhere(filled: Place) -> None:
    with closing(sqlite3.connect(filled.data / "verifield.db")) as raw:
        raw.execute("UPDATE audit_events SET caller = 'user/other'")
        raw.commit()
    backup = filled.backup()
    done = restore_backup(backup.folder, filled.base / "restored", filled.check, filled.sources)
    assert not done.holds
    assert not done.audit.holds
    assert done.log.sound
    assert not (filled.base / "restored").exists()
    assert not list(filled.base.glob(".restored*"))


def test_media_are_shared_by_backups_and_come_back(filled: Place) -> None:
    content = b"an encrypted picture"
    digest = sha256(content).hexdigest()
    folder = filled.data / "media" / "device-1"
    (folder / "parts" / digest).mkdir(parents=True)
    (folder / "parts" / digest / "0").write_bytes(b"on its way")
    (folder / digest).write_bytes(content)
    first, second = filled.backup(), filled.backup()
    one, two = (backup.folder / "media" / "device-1" / digest for backup in (first, second))
    assert one.stat().st_ino == two.stat().st_ino != (folder / digest).stat().st_ino
    assert restore_backup(second.folder, filled.base / "restored", filled.check, filled.sources).holds
    assert (filled.base / "restored" / "media" / "device-1" / digest).read_bytes() == content
    assert not (filled.base / "restored" / "media" / "device-1" / "parts").exists()
    two.unlink()
    two.write_bytes(content[::-1])
    with pytest.raises(SetupError):
        verify_backup(second.folder, filled.check)
    verify_backup(first.folder, filled.check)


def put_medium(place: Place, content: bytes) -> Path:
    folder = place.data / "media" / "device-1"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / sha256(content).hexdigest()
    path.write_bytes(content)
    return path


def test_a_medium_that_is_damaged_at_the_service_does_not_take_the_backup_with_it(filled: Place) -> None:
    damaged, sound = put_medium(filled, b"one"), put_medium(filled, b"another")
    damaged.write_bytes(b"0ne")
    backup = filled.backup()
    [entry] = [entry for entry in backup.files if is_damaged(entry)]
    assert entry.path.endswith(damaged.name)
    verify_backup(backup.folder, filled.check)
    done = restore_backup(backup.folder, filled.base / "restored", filled.check, filled.sources)
    assert (done.holds, done.lost_media) == (True, ())
    media = filled.base / "restored" / "media" / "device-1"
    assert {path.read_bytes() for path in media.iterdir()} == {b"0ne", sound.read_bytes()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in media.iterdir()} == {0o600}
    # Once it is whole again at the service, the next backup has it whole.
    damaged.write_bytes(b"one")
    again = filled.backup()
    assert not any(map(is_damaged, again.files))
    assert (again.folder / entry.path).read_bytes() == b"one"


def test_a_medium_that_is_damaged_among_the_backups_is_left_out_and_told_of(filled: Place) -> None:
    rotten, sound = put_medium(filled, b"one"), put_medium(filled, b"another")
    backup = filled.backup()
    name = f"media/device-1/{rotten.name}"
    (backup.folder / name).write_bytes(b"0ne")
    with pytest.raises(SetupError) as caught:
        verify_backup(backup.folder, filled.check)
    assert caught.value.code == "BACKUP_DAMAGED"
    done = restore_backup(backup.folder, filled.base / "restored", filled.check, filled.sources)
    assert (done.holds, done.lost_media) == (True, (name,))
    [left] = (filled.base / "restored" / "media" / "device-1").iterdir()
    assert left.name == sound.name
    # Where it was taken away, the next backup copies it anew.
    (backup.folder / name).unlink()
    verify_backup(filled.backup().folder, filled.check)


def test_what_does_not_belong_among_the_media_stays_out(filled: Place) -> None:
    """A backup that lists it could never be opened."""
    path = put_medium(filled, b"one")
    path.with_name("notes.txt").write_bytes(b"by a person")
    (filled.data / "media" / "lost+found").mkdir()
    (filled.data / "media" / "lost+found" / path.name).write_bytes(b"one")
    backup, _ = verify_backup(filled.backup().folder, filled.check)
    assert [entry.path for entry in backup.files][2:] == [f"media/device-1/{path.name}"]


def test_where_there_are_no_hard_links_media_are_copied(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_medium(filled, b"one")
    filled.backup()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    verify_backup(filled.backup().folder, filled.check)


def test_a_backup_leaves_room_to_the_service_and_nothing_beside_its_database(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = filled.data / ".verifield-backup-killed"
    shutil.copytree(filled.data / "keys", left)
    size = (filled.data / "verifield.db").stat().st_size
    wal = filled.data / "verifield.db-wal"
    size += wal.stat().st_size if wal.exists() else 0
    for missing in (1, 0):
        free = size + aside.ROOM_LEFT_BYTES - missing
        usage = shutil._ntuple_diskusage(2 * free, free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, usage=usage: usage)
        if missing:
            with pytest.raises(SetupError) as caught:
                filled.backup()
            assert caught.value.code == "BACKUP_FAILED"
        else:
            filled.backup()
    assert not list(filled.data.glob(".verifield-backup-*"))


def test_the_backup_that_was_just_made_stays_whatever_the_clock_says(filled: Place) -> None:
    old = filled.backup().folder.name
    filled.clock.offset -= timedelta(days=400)
    made = filled.backup().folder.name
    assert list_names(filled.backups) == [made, old]
    assert prune(filled.backups, 1, made=made) == []
    assert prune(filled.backups, 1) == [made]


def test_a_database_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "50% #1", None)
    with place.running() as cloud:
        cloud.join_token()
    verify_backup(place.backup().folder, place.check)


def test_backups_are_listed_by_age_and_the_oldest_go_first(filled: Place) -> None:
    names = []
    for _ in range(3):
        names.append(filled.backup().folder.name)
        filled.clock.offset += timedelta(minutes=1)
    assert list_names(filled.backups) == names
    assert prune(filled.backups, 2) == names[:1]
    assert prune(filled.backups, 0) == names[1:2]  # the newest always stays
    assert list_names(filled.backups) == names[2:]


def test_names_ascend_with_time_also_within_a_second() -> None:
    """Else --keep deletes another one than the oldest."""
    times = [NOW + timedelta(microseconds=step) for step in (0, 1, 15, 16, 65536, 999_999, 1_000_000)]
    names = [manifest.backup_name(at, bytes([255 - number, 0])) for number, at in enumerate(times)]
    assert names == sorted(names)
    assert len({len(name) for name in names}) == 1


def test_a_backup_that_broke_off_leaves_none_and_is_cleaned_away(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(create, "dumping", None)
        patched.setattr(manifest, "sign_manifest", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(SetupError) as caught:
            filled.backup()
    assert caught.value.code == "BACKUP_FAILED"
    assert "No space" in caught.value.message
    assert list_names(filled.backups) == []
    shutil.copytree(filled.data, filled.backups / ".unfinished-killed")
    filled.backup()
    assert [path.name for path in filled.backups.glob(".unfinished*")] == []


def test_there_must_be_something_to_back_up(tmp_path: Path) -> None:
    empty = Place(tmp_path, tmp_path / "nothing", None)
    with pytest.raises(SetupError) as caught:
        empty.backup()
    assert caught.value.code == "NOTHING_TO_BACK_UP"
    assert not (tmp_path / "nothing").exists()
