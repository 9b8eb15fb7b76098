"""Answer files that lie, and where an export may be written: sticks that are not what they seem."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from typer.testing import CliRunner

from edge.cli import app
from edge.errors import CloudError, InputError
from edge.outbox.records import RecordState
from tests.integration.test_sync_transfer import (
    NOWHERE,
    carry,
    read_all,
    read_in,
    round_trip,
    write_all,
    write_out,
)
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice
from verifield.transfer import MAGIC, write_frame
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1.sync_service_pb2 import DELIVER_STATUS_INVALID
from verifield.v1.transfer_pb2 import TransferFrame

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud, tmp_path: Path) -> FieldOffice:
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.go_through(device=NOWHERE, public=NOWHERE)
    return office


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.fixture
def answer(office: FieldOffice, stick: Path) -> Path:
    office.verify(2)
    return carry(office.cloud, write_out(office, stick).path)


def refused(office: FieldOffice, path: Path) -> str:
    before = office.states()
    with pytest.raises(InputError) as error:
        read_in(office, path)
    assert office.states() == before
    assert error.value.hint
    return error.value.code


@pytest.mark.parametrize("whole_at", [0, 1, 2])
def test_a_stick_that_shows_another_file_each_time_is_believed_only_as_sealed(
    office: FieldOffice, stick: Path, monkeypatch: pytest.MonkeyPatch, whole_at: int
) -> None:
    """A computer that plays a stick serves the whole answer once, and a changed one every other time."""
    office.verify(2)
    lock = devices_pb.SendDirectiveRequest(device_id=office.device_id, action=1, reason="moved")
    path = carry(office.cloud, write_out(office, stick).path)
    office.cloud.operator.call(office.cloud.operator.devices.SendDirective, lock)
    whole, frames = path.read_bytes(), read_all(path)
    for frame in frames:
        for result in frame.answer.results:
            result.status, result.reason = DELIVER_STATUS_INVALID, "FORGED"
    write_all(path, frames)
    changed, opened = path.read_bytes(), 0
    right = Path.open

    def open_(self: Path, *arguments: object, **options: object) -> BinaryIO:
        nonlocal opened
        if self == path:
            path.unlink()
            with right(path, "wb") as file:
                file.write(whole if opened == whole_at else changed)
            opened += 1
        return right(self, *arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(Path, "open", open_)
    try:
        read_in(office, path)
    except InputError as error:
        assert error.code == "TRANSFER_DAMAGED"  # noqa: PT017
    assert len(office.states()) == 3  # no TOMBSTONE closes the place of a good record
    assert RecordState.INVALID not in office.states()


def test_what_nobody_sealed_is_refused_before_it_takes_memory(office: FieldOffice, answer: Path) -> None:
    """The manifest is this device's own, and the carrier has written answers behind it: ever so many."""
    manifest = read_all(answer)[0]
    results = b"\x0a\x00" * 1_000_000  # each is an empty one
    tag = TransferFrame.DESCRIPTOR.fields_by_name["answer"].number << 3 | 2
    frame = bytes([tag]) + _VarintBytes(len(results)) + results
    with answer.open("wb") as file:
        file.write(MAGIC)
        write_frame(file, manifest)
        for _ in range(8):
            file.write(len(frame).to_bytes(4, "big") + frame)
    with peak() as grown:
        assert refused(office, answer) == "TRANSFER_DAMAGED"
    assert grown() < 300 * MIB  # as much as three such frames; eight took 700


def test_a_file_larger_than_any_answer_is_refused_and_leaves_nothing(
    office: FieldOffice, answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sync.answer.MAX_ANSWER_BYTES", answer.stat().st_size - 1)
    before = set(office.settings.data_dir.rglob("*"))
    assert refused(office, answer) == "TRANSFER_DAMAGED"
    assert set(office.settings.data_dir.rglob("*")) == before
    monkeypatch.setattr("edge.sync.answer.MAX_ANSWER_BYTES", answer.stat().st_size)
    assert read_in(office, answer).confirmed == 3


@pytest.mark.parametrize("kind", ["pipe", "link", "link to nothing"])
def test_an_export_takes_the_place_of_nothing_but_a_file(office: FieldOffice, stick: Path, kind: str) -> None:
    target, other = stick / "target", stick / "other"
    if kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to(other)
    if kind == "link":
        other.write_bytes(b"something else")
    before = target.lstat()
    with pytest.raises(InputError) as error:
        write_out(office, target)
    assert error.value.code == "TRANSFER_UNWRITABLE"
    assert error.value.hint
    assert (target.lstat().st_ino, target.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert kind != "link" or other.read_bytes() == b"something else"
    assert {path.name for path in stick.iterdir()} <= {"target", "other"}


def test_an_export_may_replace_a_file(office: FieldOffice, stick: Path) -> None:
    target = stick / "target"
    target.write_bytes(b"of last week")
    assert read_all(write_out(office, target).path)[0].HasField("manifest")


def test_a_person_can_believe_the_log_as_it_is_now_also_where_only_sticks_come(
    tmp_path: Path, stick: Path
) -> None:
    """The service is restored, gets the device's last file again, and its log has another order now."""
    data, backup = tmp_path / "cloud", tmp_path / "backup"
    with running_cloud(data) as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        office.go_through(device=NOWHERE, public=NOWHERE)
        round_trip(office, stick)
    shutil.copytree(data, backup)
    with running_cloud(data) as office.cloud:
        deliver(FieldOffice.open(office.cloud, tmp_path / "second"), records=2)
        office.verify()
        exported = write_out(office, stick).path
        assert read_in(office, carry(office.cloud, exported)).confirmed == 1
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    with running_cloud(data) as office.cloud:
        deliver(FieldOffice.open(office.cloud, tmp_path / "third"), records=4)
        carry(office.cloud, exported)
        office.verify()
        path = carry(office.cloud, write_out(office, stick).path)
        with pytest.raises(CloudError) as error:
            read_in(office, path)
        assert error.value.code == "LOG_INCONSISTENT"
        assert office.states()[-1] is RecordState.PENDING
        command = ["import", str(path), "--accept-log", "--data", str(office.settings.data_dir), "--json"]
        accepted = CliRunner().invoke(app, command)
        assert accepted.exit_code == 0, accepted.output
        assert json.loads(accepted.stdout)["confirmed"] == 1
        office.verify()
        assert round_trip(office, stick)[1].confirmed == 1  # what was believed once is gone on from


def deliver(office: FieldOffice, *, records: int) -> None:
    office.verify(records)
    assert office.sync().trouble is None


class peak:  # noqa: N801 - used as a function is
    """How much the process grows within the block, looked at all the time."""

    def __enter__(self) -> Callable[[], int]:
        self._begin = self._most = _resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return lambda: self._most - self._begin

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self._most = max(self._most, _resident())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
