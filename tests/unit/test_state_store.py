"""What the device knows: opened with care, changed all or nothing, personal data sealed."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.answers import EarlierRecord
from edge.attest.clock import bounded_now
from edge.contact import BY_HAND, Arrival, Contact
from edge.errors import StorageError
from edge.model import DocumentType, PeripheralKind, Role
from edge.peripherals import PeripheralChange, judge_peripheral
from edge.sqlite import StoreName, storage_errors
from edge.state import schema
from edge.state.database import DATA_KEY_SUFFIX
from edge.state.records import Credentials, ItemKind, ManualEntry, OperatorRecord
from edge.state.schema import STEPS
from edge.state.store import MAX_EARLIER, StateStore
from tests.support.authority import NOW, Authority
from tests.support.known import BOOT, DEVICE_ID, KnownDevice
from tests.support.tasks import account_item, account_task, task_id
from verifield.v1.attestation_pb2 import TIME_QUALITY_BOUNDED

OTHER_BOOT = "22222222-0000-4000-8000-000000000000"
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, authority)
    yield known
    known.state.close()


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def code_of(path: Path, device: KnownDevice, *, device_id: str = DEVICE_ID) -> str:
    with pytest.raises(StorageError) as error:
        StateStore.open(path, device_id=device_id, key_store=device.key_store)
    return error.value.code


def test_files_are_for_the_owner_alone_and_every_commit_is_synced(device: KnownDevice) -> None:
    device.pull(account_item("a"))
    files = list(device.path.parent.iterdir())
    assert len(files) == 5  # database, WAL, shared memory, data key, lock
    for path in [*files, device.path.parent]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    connection = device.state._db._db.conn
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_store_of_another_device_or_a_newer_version_is_refused(device: KnownDevice) -> None:
    assert code_of(device.path, device, device_id="device-2") == "STATE_OTHER_DEVICE"
    connection = raw(device.path)
    names = [row[0] for row in connection.execute("SELECT name FROM _sqlite_migrations")]
    assert names == [step.__name__ for step in STEPS]
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('state', 'm999', 'x')"
    )
    connection.close()
    assert code_of(device.path, device) == "STATE_NEWER"


@pytest.mark.req("E056")
def test_a_store_of_the_version_before_is_brought_forward(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited in a form that nobody knows is dropped, and the cursor with it: it comes again."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", STEPS[:1])
        old = KnownDevice(tmp_path, authority)
        old.state.note_peripheral(PeripheralKind.CAMERA, "v4l2:0")
        old.state.close()
    connection = raw(old.path)
    connection.execute("INSERT INTO down_items VALUES ('ACCOUNT', 'a', x'00'), ('REVOCATIONS', 'r', x'01')")
    connection.execute("INSERT INTO pull VALUES (1, '1.1.1.1.0000000000000000')")
    connection.close()
    old.restart()
    try:
        assert old.state.pull_cursor() == ""
        assert old.state.count(ItemKind.ACCOUNT) == 0
        assert [one.content for one in old.state.items(ItemKind.REVOCATIONS)] == [b"\x01"]
        assert old.state.peripheral(PeripheralKind.CAMERA) == "v4l2:0"
        assert old.pull(account_item("a")).stored == 1
    finally:
        old.state.close()


def test_a_pin_is_there_until_it_is_taken_away(device: KnownDevice) -> None:
    assert device.state.pinned(PeripheralKind.READER) == ""
    device.state.pin(PeripheralKind.READER, "05.03-1")
    device.restart()
    assert device.state.pinned(PeripheralKind.READER) == "05.03-1"
    assert device.state.pinned(PeripheralKind.CAMERA) == ""
    device.state.pin(PeripheralKind.READER, "")
    assert device.state.pinned(PeripheralKind.READER) == ""


def test_a_damaged_file_is_told_apart(device: KnownDevice, tmp_path: Path) -> None:
    other = tmp_path / "other" / "state.sqlite"
    other.parent.mkdir()
    other.write_bytes(b"no database at all, but long enough to have a header" * 40)
    assert code_of(other, device) == "STATE_CORRUPT"


@pytest.mark.parametrize(
    ("number", "code"),
    [(28, "X_FULL"), (30, "X_READONLY"), (13, "X_READONLY"), (5, "X_IO")],  # ENOSPC, EROFS, EACCES, EIO
)
def test_faults_of_the_disk_have_stable_codes(number: int, code: str) -> None:
    with pytest.raises(StorageError) as error, storage_errors(StoreName("X", "The store")):
        raise OSError(number, "words of the system")
    assert error.value.code == code
    assert error.value.hint


def test_a_bug_in_our_sql_stays_a_bug(device: KnownDevice) -> None:
    with pytest.raises(sqlite3.OperationalError):
        device.state._db.all("SELECT nothing FROM nowhere")


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE contact SET server_time = 'noon'", StateStore.contact),
        ("UPDATE contact SET server_time = x'00'", StateStore.contact),
        ("UPDATE earlier SET at = '9'", lambda state: state.earlier("p")),
        ("UPDATE earlier SET outcome = CAST(x'ff' AS TEXT)", lambda state: state.earlier("p")),
        ("UPDATE pull SET cursor = CAST(x'ff' AS TEXT)", StateStore.pull_cursor),
    ],
)
def test_values_that_nobody_wrote_are_damage(
    device: KnownDevice, change: str, read: Callable[[StateStore], object]
) -> None:
    device.pull()
    device.state.note_earlier("p", EarlierRecord("id-1", "VERIFIED", NOW))
    read(device.state)
    connection = raw(device.path)
    connection.execute(change)
    connection.close()
    with pytest.raises(StorageError) as error:
        read(device.state)
    assert error.value.code == "STATE_CORRUPT"
    assert error.value.hint


def test_a_changed_row_makes_nobody_a_supervisor(device: KnownDevice) -> None:
    device.state.operators.add(OperatorRecord("op-1", Role.CLERK, Credentials("Ana")))
    connection = raw(device.path)
    connection.execute("UPDATE operators SET role = 'supervisor'")
    connection.close()
    with pytest.raises(StorageError) as error:
        device.state.operators.all()
    assert error.value.code == "DATA_KEY_WRONG"


def test_people_are_on_the_disk_only_sealed(device: KnownDevice) -> None:
    handed_down = account_item("a")
    device.pull(handed_down)
    person = account_task("a").person
    pseudonym = device.state.pseudonym(DocumentType.RESIDENT_ID, "990000199001019990")
    device.state.note_earlier(pseudonym, EarlierRecord("id-1", "VERIFIED", NOW))
    device.state.close()
    for path in device.path.parent.iterdir():
        for told in (person.masked_name.encode(), person.number_digest, b"acct-1", b"990000199001019990"):
            assert told not in path.read_bytes()
    device.state = device.open()
    item = device.state.item(ItemKind.ACCOUNT, task_id("a"))
    assert item is not None
    assert item.content == handed_down.content
    assert "试" not in repr(item)


def test_a_sealed_item_opens_only_in_its_place(device: KnownDevice) -> None:
    device.pull(account_item("a"), account_item("b"))
    connection = raw(device.path)
    connection.execute(
        "UPDATE down_items SET content = (SELECT content FROM down_items WHERE item_id = ?) "
        "WHERE item_id = ?",
        (task_id("a"), task_id("b")),
    )
    connection.close()
    assert device.state.item(ItemKind.ACCOUNT, task_id("a")) is not None
    with pytest.raises(StorageError) as error:
        device.state.item(ItemKind.ACCOUNT, task_id("b"))
    assert error.value.code == "DATA_KEY_WRONG"


def test_a_store_without_its_data_key_makes_no_new_one(device: KnownDevice) -> None:
    device.pull(account_item("a"))
    device.state.close()
    key = device.path.with_name(device.path.name + DATA_KEY_SUFFIX)
    wrapped = key.read_bytes()
    key.unlink()
    device.state = device.open()  # what is no personal data can still be read
    assert device.state.pull_cursor() == "c1"
    with pytest.raises(StorageError) as error:
        device.state.items(ItemKind.ACCOUNT)
    assert error.value.code == "DATA_KEY_MISSING"
    assert not key.exists()
    key.write_bytes(wrapped)
    key.chmod(0o644)
    with pytest.raises(StorageError) as error:
        device.state.items(ItemKind.ACCOUNT)
    assert error.value.code == "DATA_KEY_PERMISSIONS"


def test_the_key_lies_wrapped(device: KnownDevice) -> None:
    device.state.pseudonym(DocumentType.RESIDENT_ID, "1")
    key = device.state._db.vault._key
    assert len(key) == 32
    for path in device.folder.rglob("*"):
        assert not path.is_file() or key not in path.read_bytes()


def test_a_document_has_one_name_on_one_device_only(tmp_path: Path, authority: Authority) -> None:
    names = set()
    for folder in ("one", "two"):
        device = KnownDevice(tmp_path / folder, authority)
        name = device.state.pseudonym(DocumentType.RESIDENT_ID, "990000199001019990")
        device.restart()
        assert device.state.pseudonym(DocumentType.RESIDENT_ID, "990000199001019990") == name
        assert device.state.pseudonym(DocumentType.HKMT_PERMIT, "990000199001019990") != name
        device.state.close()
        names.add(name)
    assert len(names) == 2


def test_earlier_records_come_newest_first_and_are_forgotten_in_time(device: KnownDevice) -> None:
    for number in range(MAX_EARLIER + 1):
        at = NOW + timedelta(hours=number)
        device.state.note_earlier("p", EarlierRecord(f"id-{number}", "VERIFIED", at))
    device.state.note_earlier("q", EarlierRecord("other", "SPOOF", NOW))
    found = device.state.earlier("p")
    assert [one.attestation_id for one in found] == [f"id-{n}" for n in range(MAX_EARLIER, 0, -1)]
    assert found[0] == EarlierRecord(f"id-{MAX_EARLIER}", "VERIFIED", NOW + timedelta(hours=MAX_EARLIER))
    assert device.state.forget_earlier(before=NOW + timedelta(hours=2), mark=Arrival("now", 0)) == 3
    assert device.state.earlier("q") == []
    assert len(device.state.earlier("p")) == MAX_EARLIER - 1


def test_another_camera_or_reader_is_a_change_to_record(device: KnownDevice) -> None:
    kind = PeripheralKind.CAMERA
    assert device.state.peripheral(kind) == ""
    first = judge_peripheral(kind, previous_id=device.state.peripheral(kind), current_id="usb:1")
    assert first == PeripheralChange(kind, "", "usb:1")
    device.state.note_peripheral(kind, "usb:1")
    device.restart()
    previous = device.state.peripheral(kind)
    assert judge_peripheral(kind, previous_id=previous, current_id="usb:1") is None
    assert judge_peripheral(kind, previous_id=previous, current_id="") is None
    changed = judge_peripheral(kind, previous_id=previous, current_id="usb:2")
    assert changed == PeripheralChange(kind, "usb:1", "usb:2")
    assert device.state.peripheral(PeripheralKind.READER) == ""


def test_time_on_counts_across_boots_and_is_never_taken_back(device: KnownDevice) -> None:
    assert device.state.contact() is None
    begun = device.state.touch(BOOT)
    assert begun == Contact(None, BOOT, BOOT)
    device.pull(at=NOW)
    hour = 3600 * SECOND
    device.state.touch(Arrival(BOOT.boot_id, BOOT.monotonic_ns + hour))
    device.restart()
    after_reboot = Arrival(OTHER_BOOT, 2 * hour)
    contact = device.state.touch(after_reboot)
    assert contact.server_time == NOW
    assert contact.arrival == BOOT
    assert contact.elapsed(after_reboot) == timedelta(hours=3)
    assert contact.elapsed(Arrival(OTHER_BOOT, 5 * hour)) == timedelta(hours=6)
    third = Arrival("33333333-0000-4000-8000-000000000000", hour)
    assert device.state.touch(third).elapsed(third) == timedelta(hours=4)


def test_a_newer_word_starts_the_count_anew_and_an_older_one_does_not(device: KnownDevice) -> None:
    device.pull(at=NOW)
    later = Arrival(BOOT.boot_id, BOOT.monotonic_ns + 10 * SECOND)
    device.state.touch(later)
    device.state.note_word(NOW, later)
    assert device.state.contact() == Contact(NOW, BOOT, later, 10 * SECOND)
    device.state.note_word(NOW + timedelta(seconds=1), later)
    assert device.state.contact() == Contact(NOW + timedelta(seconds=1), later, later)


class StoppedClock:
    """Implements ``edge.ports.Clock``: one moment of it."""

    def __init__(self, at: Arrival, wall: datetime) -> None:
        self._at, self._wall = at, wall

    def boot_id(self) -> str:
        return self._at.boot_id

    def monotonic_ns(self) -> int:
        return self._at.monotonic_ns

    def wall(self) -> datetime:
        return self._wall


def test_a_word_by_hand_takes_back_no_time_and_vouches_for_no_clock(device: KnownDevice) -> None:
    device.pull(at=NOW)
    days_on = Arrival(BOOT.boot_id, BOOT.monotonic_ns + 3 * 86_400 * SECOND)
    written = NOW + timedelta(days=1)  # and read two days later, by the time that the device was on
    device.pull(at=written, arrival=days_on, by_hand=True)
    clock = StoppedClock(days_on, NOW + timedelta(days=3))
    contact = device.state.contact()
    assert contact is not None
    assert (contact.server_time, contact.elapsed(days_on)) == (written, timedelta(days=2))
    bounds = bounded_now(clock, contact=contact, build_date=NOW)
    assert (bounds.not_before, bounds.quality) == (NOW + timedelta(days=3), TIME_QUALITY_BOUNDED)


def test_an_old_word_by_hand_renews_nothing(device: KnownDevice) -> None:
    device.pull(at=NOW)
    device.state.note_revoked()
    month_on = Arrival(BOOT.boot_id, BOOT.monotonic_ns + 30 * 86_400 * SECOND)
    for at in (NOW - timedelta(days=5), NOW):
        device.pull(at=at, arrival=month_on, by_hand=True)
        device.state.note_word(at, month_on, by_hand=True)
        contact = device.state.contact()
        assert contact is not None
        assert (contact.server_time, contact.elapsed(month_on)) == (NOW, timedelta(days=30))
    assert device.state.lock().revoked


def test_the_first_word_of_all_may_come_by_hand(device: KnownDevice) -> None:
    device.pull(at=NOW, by_hand=True)
    assert device.state.contact() == Contact(NOW, BY_HAND, BOOT)


def entry(number: int) -> ManualEntry:
    return ManualEntry(
        attestation_id=f"id-{number}",
        decided_by="op-1",
        agreed_by="op-2",
        accepted=number % 2 == 0,
        not_before=NOW,
        wall=datetime(2031, 1, 1, tzinfo=UTC),
    )


def test_the_ledger_gives_back_what_was_written(device: KnownDevice) -> None:
    assert device.state.ledger.entries() == []
    assert [device.state.ledger.append(entry(number)) for number in range(3)] == [1, 2, 3]
    device.restart()
    assert device.state.ledger.entries() == [entry(number) for number in range(3)]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM ledger WHERE number = 1",
        "DELETE FROM ledger WHERE number = 2",
        "DELETE FROM ledger WHERE number = 3",
        "DELETE FROM ledger",
        "UPDATE ledger SET agreed_by = 'op-9' WHERE number = 2",
        "UPDATE ledger SET accepted = 1 - accepted WHERE number = 3",
        "UPDATE ledger SET number = 4 WHERE number = 3",
        "UPDATE ledger SET wall = 'noon' WHERE number = 2",
        "UPDATE ledger SET decided_by = x'00' WHERE number = 2",
        "UPDATE ledger_head SET number = 2",
        "DELETE FROM ledger_head",
    ],
)
def test_a_changed_ledger_shows(device: KnownDevice, change: str) -> None:
    for number in range(3):
        device.state.ledger.append(entry(number))
    connection = raw(device.path)
    connection.execute(change)
    connection.close()
    with pytest.raises(StorageError) as error:
        device.state.ledger.entries()
    assert error.value.code == "LEDGER_BROKEN"


def test_nothing_is_written_behind_rows_that_were_cut_off(device: KnownDevice) -> None:
    for number in range(3):
        device.state.ledger.append(entry(number))
    connection = raw(device.path)
    connection.execute("DELETE FROM ledger WHERE number = 3")
    connection.close()
    with pytest.raises(StorageError) as error:
        device.state.ledger.append(entry(3))
    assert error.value.code == "LEDGER_BROKEN"
