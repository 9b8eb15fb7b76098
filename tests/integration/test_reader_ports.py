"""Ports by stable names, over real pseudo-terminals: which is the reader, two readers, hot plug, pins."""

from __future__ import annotations

import json
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.app import open_recorder, open_state
from edge.cli import app
from edge.config import EdgeConfig
from edge.documents import check_up_reader, open_card_reader
from edge.errors import HardwareError
from edge.model import IdDocument, PeripheralKind, Prompt
from edge.reader.checkup import Level
from edge.reader.photo import NoPhotoDecoder
from edge.reader.reader import SamVReader
from edge.reader.search import find_reader, stable_ports
from tests.support.cloud import running_cloud
from tests.support.field_office import FieldOffice
from tests.support.id_reader import RecordingScreen
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb
from verifield_sim.cards import Card, card_for
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_faults import ALWAYS, Fault, FaultKind, Target
from verifield_sim.reader_pty import ReaderPty

FIRST, SECOND = "05.03-20240115-0000123456-0987654321", "05.03-20240115-0000123456-0987654322"
READ_TIMEOUT_S = 30.0
OWNER, OTHER = card_for("astronaut"), card_for("grace_hopper", seed=1)


@contextmanager
def plugged(link: Path, sam_id: str, *faults: Fault, baud: int = 115200) -> Iterator[ReaderPty]:
    device = ReaderPty.open(ReaderModule(sam_id=sam_id, faults=faults, seed=7), link=link, baud=baud)
    try:
        yield device
    finally:
        device.close()


@contextmanager
def printer(link: Path) -> Iterator[None]:
    """Something on a serial port that says nothing."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    link.symlink_to(os.ttyname(slave))
    try:
        yield
    finally:
        link.unlink()
        os.close(master)
        os.close(slave)


@pytest.fixture
def by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the device looks for stable names."""
    folder = tmp_path / "by-id"
    folder.mkdir()
    monkeypatch.setattr("edge.documents.stable_ports", lambda: stable_ports(folder))
    return folder


def settings(tmp_path: Path, **more: Any) -> EdgeConfig:
    return EdgeConfig(data_dir=tmp_path / "data", **more)


def number_on(card: Card) -> str:
    return card.text[122:158].decode("utf-16-le").rstrip()


def person(device: ReaderPty, card: Card) -> RecordingScreen:
    def place() -> None:
        if not device.card_present:
            device.place(card)

    return RecordingScreen({Prompt.PLACE_CARD: place, Prompt.LIFT_CARD: device.lift})


@pytest.mark.req("E034")
@pytest.mark.parametrize("baud", [115200, 19200])
def test_the_reader_is_found_among_other_ports(tmp_path: Path, by_id: Path, baud: int) -> None:
    with printer(by_id / "usb-printer"), plugged(by_id / "usb-reader", FIRST, baud=baud) as device:
        reader = open_card_reader(settings(tmp_path))
        assert reader.sam_id == FIRST
        device.place(OWNER)
        assert reader.read_document(READ_TIMEOUT_S, RecordingScreen()).number == number_on(OWNER)
        reader.close()


@pytest.mark.req("E034")
def test_two_readers_are_told_apart_by_their_modules(tmp_path: Path, by_id: Path) -> None:
    with plugged(by_id / "usb-a", FIRST), plugged(by_id / "usb-b", SECOND):
        with pytest.raises(HardwareError) as caught:
            open_card_reader(settings(tmp_path))
        assert caught.value.code == "READERS_MANY"
        assert FIRST in caught.value.message
        assert SECOND in caught.value.message
        assert caught.value.hint
        for sam_id in (FIRST, SECOND):
            reader = open_card_reader(settings(tmp_path), pinned=sam_id)
            assert reader.sam_id == sam_id
            reader.close()
        configured = open_card_reader(settings(tmp_path, reader_sam_id=SECOND), pinned=FIRST)
        assert configured.sam_id == SECOND  # what the configuration says counts more
        configured.close()


def test_no_port_and_none_that_answers(tmp_path: Path, by_id: Path) -> None:
    for number in range(3):
        names = [f"usb-{index}" for index in range(number)]
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(printer(by_id / name))
            with pytest.raises(HardwareError) as caught:
                open_card_reader(settings(tmp_path))
        assert caught.value.code == ("READER_SILENT" if number == 1 else "NO_READER")
        if number > 1:
            assert all(name in caught.value.message for name in names)


def test_a_port_that_is_held_is_passed_over(tmp_path: Path, by_id: Path) -> None:
    with plugged(by_id / "usb-a", FIRST) as held, plugged(by_id / "usb-b", SECOND):
        holder = SamVReader.open(str(held.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=None)
        found = find_reader(stable_ports(by_id), baud=None, expected_sam_id=None)
        assert (found.sam_id, found.baud) == (SECOND, 115200)
        holder.close()


@pytest.mark.req("E032", "E034")
def test_a_reader_that_comes_back_under_another_name_is_the_same_reader(tmp_path: Path, by_id: Path) -> None:
    """Two are there; ours is pulled out in the middle of a read, and comes back in another socket."""
    pull = Fault(FaultKind.UNPLUG, on=Target.READ, keep=700, delay_s=60.0)
    with plugged(by_id / "usb-other", SECOND) as other:
        other.place(OTHER)
        with plugged(by_id / "usb-ours", FIRST, pull) as first:
            reader = open_card_reader(settings(tmp_path), pinned=FIRST)
            first.place(OWNER)
            screen = RecordingScreen()
            read: list[IdDocument] = []
            thread = threading.Thread(
                target=lambda: read.append(reader.read_document(READ_TIMEOUT_S, screen))
            )
            thread.start()
            until(lambda: Prompt.PLUG_IN_READER in screen.prompts)
        with plugged(by_id / "usb-ours-if01", FIRST) as again:
            again.place(OWNER)
            thread.join(READ_TIMEOUT_S)
        assert [one.number for one in read] == [number_on(OWNER)]
        assert read[0].reader_sam_id == FIRST
        reader.close()


@pytest.mark.req("E032", "E034")
def test_two_readers_at_once_never_mix_their_cards(tmp_path: Path) -> None:
    """Each is deaf now and then, and has people of its own."""
    loses = Fault(FaultKind.SILENT, on=Target.ANY, times=ALWAYS, every=19)
    cards = {FIRST: [card_for("astronaut", seed=seed) for seed in range(5)]}
    cards[SECOND] = [card_for("grace_hopper", seed=seed) for seed in range(5)]
    read: dict[str, list[IdDocument]] = {FIRST: [], SECOND: []}

    def work(device: ReaderPty, sam_id: str) -> None:
        reader = SamVReader.open(
            str(device.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=sam_id
        )
        for card in cards[sam_id]:
            device.place(card)
            read[sam_id].append(reader.read_document(READ_TIMEOUT_S, person(device, card)))
            device.lift()
        reader.close()

    with plugged(tmp_path / "a", FIRST, loses) as one, plugged(tmp_path / "b", SECOND, loses) as two:
        threads = [threading.Thread(target=work, args=pair) for pair in ((one, FIRST), (two, SECOND))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    for sam_id, documents in read.items():
        assert [one.number for one in documents] == [number_on(card) for card in cards[sam_id]]
        assert {one.reader_sam_id for one in documents} == {sam_id}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


# --- the doctor


@pytest.mark.req("E034")
def test_the_doctor_finds_the_port_by_itself_and_says_where_it_cannot(tmp_path: Path, by_id: Path) -> None:
    config = settings(tmp_path, photo_decoder="simulator")
    [nowhere] = check_up_reader(config)
    assert (nowhere.check, nowhere.level) == ("NO_READER", Level.FAIL)
    with printer(by_id / "usb-printer"), plugged(by_id / "usb-a", FIRST):
        found = {one.check: one for one in check_up_reader(config)}
        assert not [one for one in found.values() if one.level is Level.FAIL]
        assert str(by_id / "usb-a") in found["READER_PORT"].what
        with plugged(by_id / "usb-b", SECOND):
            [many] = check_up_reader(config)
            assert (many.check, many.level) == ("READERS_MANY", Level.FAIL)
            assert "--pin" in many.hint
            pinned = {one.check: one for one in check_up_reader(config, pinned=SECOND)}
            assert SECOND in pinned["READER_MODULE"].what
            assert pinned["READER_MODULE"].level is Level.OK


@pytest.fixture
def office(tmp_path: Path) -> Iterator[FieldOffice]:
    with running_cloud(tmp_path / "cloud") as cloud:
        yield FieldOffice.open(cloud, tmp_path / "data")


def doctor(office: FieldOffice, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(
        app, ["doctor", "--data", str(office.settings.data_dir), "--json", *map(str, options)]
    )
    return done.exit_code, {one["check"]: one for one in json.loads(done.stdout)}


@pytest.mark.req("E034")
def test_a_pinned_reader_is_the_only_one(tmp_path: Path, office: FieldOffice) -> None:
    """Pinned by the doctor, told by the chain, refused by the session; and let go again."""
    link = tmp_path / "reader"
    where = ("--reader", str(link))
    with plugged(link, FIRST):
        status, found = doctor(office, *where, "--pin")
        assert status == 0
        assert FIRST in found["READER_PIN"]["what"]
        assert doctor(office, *where)[1]["READER_MODULE"]["level"] == "OK"
    assert pinned_of(office) == FIRST
    assert changes_of(office) == [("", FIRST)]
    with plugged(link, SECOND):
        status, found = doctor(office, *where)
        assert (status, found["READER_CHANGED"]["level"]) == (4, "FAIL")
        with pytest.raises(HardwareError) as caught:
            open_card_reader(settings(tmp_path, reader_port=str(link)), pinned=pinned_of(office))
        assert caught.value.code == "READER_CHANGED"
        assert doctor(office, *where, "--unpin")[0] == 0
        assert pinned_of(office) == ""
        assert doctor(office, *where, "--pin")[0] == 0
    assert pinned_of(office) == SECOND
    assert changes_of(office) == [("", FIRST), (FIRST, SECOND)]
    assert doctor(office, *where, "--pin")[0] == 4  # nothing is there: nothing changes
    assert pinned_of(office) == SECOND


def pinned_of(office: FieldOffice) -> str:
    with open_recorder(office.settings) as recorder, open_state(office.settings, recorder.identity) as state:
        return state.pinned(PeripheralKind.READER)


def changes_of(office: FieldOffice) -> list[tuple[str, str]]:
    """What the chain tells of readers, oldest first."""
    with open_recorder(office.settings) as recorder:
        records = reversed(recorder.outbox.newest(limit=100))
        events = [parse_statement(parse_envelope(one.envelope).payload).device_event for one in records]
    told = [one.peripheral for one in events if one.type == pb.DEVICE_EVENT_TYPE_PERIPHERAL]
    return [(one.previous_id, one.current_id) for one in told]
