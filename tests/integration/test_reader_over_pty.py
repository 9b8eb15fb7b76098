"""Driver against simulator over a real pseudo-terminal: good reads, faults, unplugging, and no mix-ups."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError, HardwareError, InputError, ReaderGone
from edge.model import DocumentType, IdDocument, Prompt
from edge.reader.lasting import LastingReader
from edge.reader.photo import NoPhotoDecoder, SimulatorPhotoDecoder
from edge.reader.probe import SPEEDS
from edge.reader.reader import SamVReader
from tests.support.id_reader import RecordingScreen
from verifield_sim import portraits
from verifield_sim.cards import Card, card_for
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_faults import ALWAYS, Fault, FaultKind, Target
from verifield_sim.reader_pty import ReaderPty

SAM_ID = "05.03-20240115-0000123456-0987654321"
READ_TIMEOUT_S = 30.0  # far more than any of these reads takes, even on a busy machine


@pytest.fixture(scope="module")
def cards() -> dict[str, Card]:
    return {
        "astronaut": card_for("astronaut"),
        "grace_hopper": card_for("grace_hopper", seed=1),
        "hkmt": card_for("astronaut", card_type="hkmt"),
        "foreigner2017": card_for("astronaut", card_type="foreigner2017"),
        "foreigner2023": card_for("astronaut", card_type="foreigner2023"),
    }


@contextmanager
def simulated(folder: Path, *faults: Fault, baud: int = 115200) -> Iterator[ReaderPty]:
    module = ReaderModule(sam_id=SAM_ID, faults=faults, seed=7)
    device = ReaderPty.open(module, link=folder / "reader", baud=baud)
    try:
        yield device
    finally:
        device.close()


@contextmanager
def opened(
    device: ReaderPty, *, baud: int | None = 115200, expected: str | None = SAM_ID
) -> Iterator[SamVReader]:
    reader = SamVReader.open(
        str(device.path), baud=baud, decoder=SimulatorPhotoDecoder(), expected_sam_id=expected
    )
    try:
        yield reader
    finally:
        reader.close()


def person(device: ReaderPty, card: Card) -> RecordingScreen:
    """Somebody who does what the screen says."""

    def place() -> None:
        if not device.card_present:
            device.place(card)

    return RecordingScreen({Prompt.PLACE_CARD: place, Prompt.LIFT_CARD: device.lift})


def number_on(card: Card) -> str:
    offset, size = (122, 30) if card.type == "foreigner2017" else (122, 36)
    return card.text[offset : offset + size].decode("utf-16-le").rstrip()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def read(reader: SamVReader, screen: RecordingScreen) -> IdDocument:
    return reader.read_document(READ_TIMEOUT_S, screen)


@pytest.mark.req("E032")
def test_a_good_read_gives_text_photo_and_sam_id(tmp_path: Path, cards: dict[str, Card]) -> None:
    with simulated(tmp_path) as device, opened(device) as reader:
        device.place(cards["astronaut"])
        screen = RecordingScreen()
        document = read(reader, screen)
    assert screen.prompts == []  # the card was there: nobody had to be asked
    assert reader.sam_id == document.reader_sam_id == SAM_ID
    assert document.type is DocumentType.RESIDENT_ID
    assert document.number == number_on(cards["astronaut"])
    assert document.name.startswith("测试")
    assert document.photo is not None
    photo = portraits.id_photo(portraits.load("astronaut"))
    assert np.abs(document.photo.astype(float) - photo).mean() < 8


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hkmt", DocumentType.HKMT_PERMIT),
        ("foreigner2017", DocumentType.FOREIGNER_2017),
        ("foreigner2023", DocumentType.FOREIGNER_2023),
    ],
)
def test_the_other_types(tmp_path: Path, cards: dict[str, Card], name: str, kind: DocumentType) -> None:
    with simulated(tmp_path) as device, opened(device) as reader:
        device.place(cards[name])
        document = read(reader, RecordingScreen())
    assert document.type is kind
    assert document.number == number_on(cards[name])


def test_the_slowest_speed(tmp_path: Path, cards: dict[str, Card]) -> None:
    with simulated(tmp_path, baud=9600) as device, opened(device, baud=9600) as reader:
        device.place(cards["astronaut"])
        assert read(reader, RecordingScreen()).number == number_on(cards["astronaut"])


def test_a_card_that_comes_later_is_asked_for(tmp_path: Path, cards: dict[str, Card]) -> None:
    with simulated(tmp_path) as device, opened(device) as reader:
        screen = person(device, cards["astronaut"])
        assert read(reader, screen).number == number_on(cards["astronaut"])
        assert screen.prompts == [Prompt.PLACE_CARD]


@pytest.mark.req("E032")
def test_a_card_must_be_lifted_before_the_next_read(tmp_path: Path, cards: dict[str, Card]) -> None:
    with simulated(tmp_path) as device, opened(device) as reader:
        device.place(cards["astronaut"])
        read(reader, RecordingScreen())
        with pytest.raises(HardwareError) as caught:
            reader.read_document(0.7, RecordingScreen())
        assert caught.value.code == "NO_CARD"
        screen = person(device, cards["grace_hopper"])
        assert read(reader, screen).number == number_on(cards["grace_hopper"])
        assert screen.prompts == [Prompt.LIFT_CARD, Prompt.PLACE_CARD]


def test_a_new_process_asks_to_lift_a_card_that_lies_there_from_before(
    tmp_path: Path, cards: dict[str, Card]
) -> None:
    with simulated(tmp_path) as device:
        device.place(cards["astronaut"])
        with opened(device) as reader:
            read(reader, RecordingScreen())
        screen = person(device, cards["astronaut"])
        with opened(device) as reader:
            assert read(reader, screen).number == number_on(cards["astronaut"])
    assert screen.prompts == [Prompt.PLACE_CARD, Prompt.LIFT_CARD, Prompt.PLACE_CARD]


RECOVERABLE = {
    "noise before every reply": Fault(FaultKind.NOISE, on=Target.ANY, times=ALWAYS),
    "a slow read": Fault(FaultKind.SLOW),
    "wrong checksum on find": Fault(FaultKind.CHECKSUM, on=Target.FIND),
    "wrong checksum on read": Fault(FaultKind.CHECKSUM),
    "a truncated read": Fault(FaultKind.TRUNCATED),
    "half a select": Fault(FaultKind.TRUNCATED, on=Target.SELECT, keep=9),
    "silent at status": Fault(FaultKind.SILENT, on=Target.STATUS, times=2),
    "silent at read": Fault(FaultKind.SILENT),
    "removed before select": Fault(FaultKind.REMOVED, on=Target.SELECT),
    "removed before read": Fault(FaultKind.REMOVED),
    "a late status": Fault(FaultKind.LATE, on=Target.STATUS, delay_s=0.8),
    "a late find": Fault(FaultKind.LATE, on=Target.FIND, delay_s=1.0),
    "a late read": Fault(FaultKind.LATE, delay_s=2.6),
}


@pytest.mark.req("E032")
@pytest.mark.parametrize("case", sorted(RECOVERABLE))
def test_a_fault_delays_the_read_and_the_document_is_the_right_one(
    tmp_path: Path, cards: dict[str, Card], case: str
) -> None:
    with simulated(tmp_path, RECOVERABLE[case]) as device:
        device.place(cards["astronaut"])
        with opened(device) as reader:
            document = read(reader, person(device, cards["astronaut"]))
    assert document.number == number_on(cards["astronaut"])


@pytest.mark.req("E032")
@pytest.mark.parametrize("delay_s", [2.25, 2.6, 3.5])
def test_a_late_reply_never_gives_the_next_person_the_previous_card(
    tmp_path: Path, cards: dict[str, Card], delay_s: float
) -> None:
    late = Fault(FaultKind.LATE, delay_s=delay_s)
    with simulated(tmp_path, late) as device, opened(device) as reader:
        device.place(cards["astronaut"])
        with pytest.raises(HardwareError) as caught:
            reader.read_document(1.0, RecordingScreen())  # the first person leaves without a read
        assert caught.value.code == "NO_CARD"
        device.place(cards["grace_hopper"])
        document = read(reader, person(device, cards["grace_hopper"]))
    assert document.number == number_on(cards["grace_hopper"])


@pytest.mark.req("E032")
def test_a_checksum_that_is_always_wrong_ends_without_a_document(
    tmp_path: Path, cards: dict[str, Card]
) -> None:
    broken = Fault(FaultKind.CHECKSUM, times=ALWAYS)
    with simulated(tmp_path, broken) as device, opened(device) as reader:
        device.place(cards["astronaut"])
        with pytest.raises(EdgeError) as caught:
            reader.read_document(2.0, RecordingScreen())
    assert caught.value.code in ("NO_CARD", "CARD_NOT_READABLE")


def test_a_card_of_an_unknown_type_and_one_with_contradictions(
    tmp_path: Path, cards: dict[str, Card]
) -> None:
    good = cards["astronaut"]
    strange = Card("?", good.text[:248] + "Z".encode("utf-16-le") + good.text[250:], good.photo)
    forged = Card(" ", good.text[:36] + "19991231".encode("utf-16-le") + good.text[52:], good.photo)
    damaged = Card(" ", good.text, good.photo[:9] + bytes(1015))
    codes = []
    with simulated(tmp_path) as device, opened(device) as reader:
        for card in (strange, forged, damaged):
            device.place(card)
            with pytest.raises(InputError) as caught:
                read(reader, RecordingScreen())
            codes.append(caught.value.code)
            assert number_on(card) not in str(caught.value)
        device.place(good)
        assert read(reader, RecordingScreen()).number == number_on(good)
    assert codes == ["CARD_TYPE_UNKNOWN", "CARD_DATA_INVALID", "CARD_PHOTO_INVALID"]


def test_a_real_photo_format_gives_a_document_without_a_photo(tmp_path: Path, cards: dict[str, Card]) -> None:
    card = Card(" ", cards["astronaut"].text, bytes.fromhex("574C66007E00320000FF85").ljust(1024, b"\1"))
    with simulated(tmp_path) as device, opened(device) as reader:
        device.place(card)
        assert read(reader, RecordingScreen()).photo is None


def test_no_such_port(tmp_path: Path) -> None:
    with pytest.raises(HardwareError) as caught:
        SamVReader.open(str(tmp_path / "nowhere"), decoder=NoPhotoDecoder(), expected_sam_id=None)
    assert caught.value.code == "NO_READER"
    assert caught.value.hint


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(HardwareError) as caught:
        SamVReader.open(str(tmp_path / "file"), decoder=NoPhotoDecoder(), expected_sam_id=None)
    assert caught.value.code == "NO_READER"


def test_a_port_that_another_program_holds(tmp_path: Path) -> None:
    with simulated(tmp_path) as device, opened(device), pytest.raises(HardwareError) as caught:
        SamVReader.open(str(device.path), decoder=NoPhotoDecoder(), expected_sam_id=None)
    assert caught.value.code == "READER_BUSY"


def test_a_port_at_which_nothing_answers(tmp_path: Path) -> None:
    silent = Fault(FaultKind.SILENT, on=Target.ANY, times=ALWAYS)
    with simulated(tmp_path, silent) as device, pytest.raises(HardwareError) as caught, opened(device):
        pass
    assert caught.value.code == "READER_SILENT"


@pytest.mark.req("E032")
def test_another_speed_is_not_understood(tmp_path: Path) -> None:
    with (
        simulated(tmp_path, baud=57600) as device,
        pytest.raises(HardwareError) as caught,
        opened(device, baud=115200),
    ):
        pass
    assert caught.value.code == "READER_SILENT"


def test_another_module_than_the_enrolled_one(tmp_path: Path) -> None:
    other = "05.03-20240115-0000123456-0000000001"
    with (
        simulated(tmp_path) as device,
        pytest.raises(HardwareError) as caught,
        opened(device, expected=other),
    ):
        pass
    assert caught.value.code == "READER_CHANGED"


@pytest.mark.req("E032")
@pytest.mark.parametrize("moment", ["waiting for a card", "in the middle of the record"])
def test_unplugging_is_noticed(tmp_path: Path, cards: dict[str, Card], moment: str) -> None:
    errors: list[EdgeError] = []
    screen = RecordingScreen()

    def read_until_gone(reader: SamVReader) -> None:
        try:
            read(reader, screen)
        except EdgeError as error:
            errors.append(error)

    # At 9600 baud the record alone takes 1.3 s, so the plug comes out in the middle of it.
    with simulated(tmp_path, baud=9600) as device, opened(device, baud=9600) as reader:
        if moment == "in the middle of the record":
            device.place(cards["astronaut"])
        thread = threading.Thread(target=read_until_gone, args=(reader,))
        thread.start()
        if moment == "in the middle of the record":
            until(lambda: reader._link._pending.startswith(b"\xaa\xaa\xaa\x96\x69\x05\x08"))
        else:
            until(lambda: bool(screen.prompts))
        device.close()
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(ReaderGone):
            read(reader, screen)
    (error,) = errors
    assert isinstance(error, ReaderGone)
    assert error.code == "READER_GONE"


def test_a_reader_that_is_plugged_in_again_works_under_the_same_name(
    tmp_path: Path, cards: dict[str, Card]
) -> None:
    for card in ("astronaut", "grace_hopper"):
        with simulated(tmp_path) as device, opened(device) as reader:
            device.place(cards[card])
            assert read(reader, RecordingScreen()).number == number_on(cards[card])
    assert not os.path.lexists(tmp_path / "reader")


@pytest.mark.req("E037")
def test_neither_logs_nor_errors_hold_a_value_from_a_card(
    tmp_path: Path, cards: dict[str, Card], caplog: pytest.LogCaptureFixture
) -> None:
    """Everything is logged at the lowest level, through a good read, faults and a refused card."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    caplog.set_level(logging.DEBUG)
    good = cards["astronaut"]
    forged = Card(" ", good.text[:36] + "19991231".encode("utf-16-le") + good.text[52:], good.photo)
    errors: list[str] = []
    try:
        faults = Fault(FaultKind.CHECKSUM, on=Target.SELECT), Fault(FaultKind.TRUNCATED)
        with simulated(tmp_path, *faults) as device, opened(device) as reader:
            device.place(good)
            document = read(reader, person(device, good))
            device.place(forged)
            with pytest.raises(InputError) as caught:
                read(reader, RecordingScreen())
            errors = [repr(caught.value), caught.value.message, caught.value.hint, str(caught.traceback)]
    finally:
        logging.getLogger().removeHandler(handler)
    said = stream.getvalue() + caplog.text + "".join(errors) + repr(document)
    assert "READ" in said
    values = [document.name, document.number, document.address, document.issuer, document.birth.isoformat()]
    values += [document.birth.strftime("%Y%m%d"), good.text.hex()[:64], good.photo.hex()[:64]]
    for value in values:
        assert value
        assert value not in said


@pytest.mark.req("E037")
def test_nothing_of_a_card_stays_in_the_reader(tmp_path: Path, cards: dict[str, Card]) -> None:
    with simulated(tmp_path) as device, opened(device) as reader:
        device.place(cards["astronaut"])
        read(reader, RecordingScreen())
        assert not reader._link._pending
        assert not reader._dialogue._held


@pytest.mark.req("E034")
@pytest.mark.parametrize("baud", SPEEDS)
def test_the_speed_is_found(tmp_path: Path, cards: dict[str, Card], baud: int) -> None:
    with simulated(tmp_path, baud=baud) as device, opened(device, baud=None) as reader:
        device.place(cards["astronaut"])
        assert read(reader, RecordingScreen()).number == number_on(cards["astronaut"])


@pytest.mark.req("E032")
@pytest.mark.parametrize("dialect", range(3))
def test_another_protocol_is_named(tmp_path: Path, dialect: int) -> None:
    foreign = Fault(FaultKind.DIALECT, on=Target.ANY, times=ALWAYS, offset=dialect)
    for baud in (115200, None):
        with (
            simulated(tmp_path, foreign) as device,
            pytest.raises(HardwareError) as caught,
            opened(device, baud=baud),
        ):
            pass
        assert caught.value.code == "READER_DIALECT"


def lasting(device: ReaderPty) -> LastingReader:
    def reopen(sam_id: str | None) -> SamVReader:
        return SamVReader.open(
            str(device.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=sam_id
        )

    return LastingReader(reopen, expected_sam_id=None)


@pytest.mark.req("E032", "E034")
@pytest.mark.parametrize(
    ("on", "keep"), [(Target.FIND, 0), (Target.SELECT, 5), (Target.READ, 700), (Target.READ, 1295)]
)
def test_a_cable_that_comes_out_and_in_again_costs_no_read(
    tmp_path: Path, cards: dict[str, Card], on: Target, keep: int
) -> None:
    """Each time another terminal stands behind the same name."""
    pull = Fault(FaultKind.UNPLUG, on=on, times=2, keep=keep, delay_s=0.3)
    with simulated(tmp_path, pull) as device:
        reader = lasting(device)
        device.place(cards["astronaut"])
        screen = person(device, cards["astronaut"])
        assert read(reader, screen).number == number_on(cards["astronaut"])
        assert screen.prompts.count(Prompt.PLUG_IN_READER) == 2
        reader.close()


def test_a_cable_that_stays_out_is_said_when_the_time_is_over(tmp_path: Path) -> None:
    with simulated(tmp_path) as device:
        reader = lasting(device)
        device.unplug(60.0)
        until(lambda: not os.path.lexists(device.path))
        with pytest.raises(HardwareError) as caught:
            reader.read_document(1.2, RecordingScreen())
        assert caught.value.code in {"NO_READER", "READER_GONE"}
        reader.close()


@pytest.mark.req("E032")
def test_another_module_behind_the_same_name_is_refused(tmp_path: Path, cards: dict[str, Card]) -> None:
    changed = Fault(FaultKind.OTHER_SAM, on=Target.SAM_ID, every=2)
    pull = Fault(FaultKind.UNPLUG, on=Target.FIND, delay_s=0.2, keep=0)
    with simulated(tmp_path, changed, pull) as device:
        reader = lasting(device)
        device.place(cards["astronaut"])
        with pytest.raises(HardwareError) as caught:
            read(reader, RecordingScreen())
        assert caught.value.code == "READER_CHANGED"
        reader.close()
