"""The doctor over a real pseudo-terminal: each thing that can be wrong, by its name, and nothing personal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.reader.checkup import Finding, Level, check_reader
from edge.reader.photo import NoPhotoDecoder, SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from edge.reader.traffic import TRAFFIC
from tests.support.id_reader import RecordingScreen
from verifield_sim.cards import card_for
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_faults import ALWAYS, Fault, FaultKind, Target
from verifield_sim.reader_pty import ReaderPty

SAM_ID = "05.03-20240115-0000123456-0987654321"


@contextmanager
def simulated(folder: Path, *faults: Fault, baud: int = 115200) -> Iterator[ReaderPty]:
    device = ReaderPty.open(
        ReaderModule(sam_id=SAM_ID, faults=faults, seed=7), link=folder / "reader", baud=baud
    )
    try:
        yield device
    finally:
        device.close()


def processes(folder: Path, **programs: str) -> Path:
    """A /proc with these programs, each with one open file."""
    for pid, (name, file) in enumerate(programs.items(), 10_000_000):
        (folder / "proc" / str(pid) / "fd").mkdir(parents=True)
        (folder / "proc" / str(pid) / "comm").write_text(f"{name}\n")
        (folder / "proc" / str(pid) / "fd" / "3").symlink_to(file)
    (folder / "proc").mkdir(exist_ok=True)
    return folder / "proc"


def look(
    device: ReaderPty,
    proc: Path,
    *,
    sam_id: str | None = SAM_ID,
    baud: int | None = None,
    photos: bool = True,
) -> dict[str, Finding]:
    decoder = SimulatorPhotoDecoder() if photos else NoPhotoDecoder()
    found = check_reader(str(device.path), baud=baud, expected_sam_id=sam_id, decoder=decoder, proc=proc)
    return {finding.check: finding for finding in found}


@pytest.mark.req("E034")
def test_a_reader_without_fault(tmp_path: Path) -> None:
    with simulated(tmp_path, baud=57600) as device:
        found = look(device, processes(tmp_path))
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "57600 baud" in found["READER_SPEED"].what
    assert SAM_ID in found["READER_MODULE"].what


@pytest.mark.req("E034")
def test_what_should_be_looked_at(tmp_path: Path) -> None:
    with simulated(tmp_path) as device:
        terminal = os.path.realpath(device.path)
        proc = processes(tmp_path, ModemManager="/dev/null", minicom=terminal)
        found = look(device, proc, sam_id=None, photos=False)
    warned = {check for check, finding in found.items() if finding.level is Level.WARN}
    assert warned == {"MODEM_MANAGER", "READER_HOLDERS", "READER_MODULE", "PHOTO_DECODER"}
    assert "minicom" in found["READER_HOLDERS"].what
    assert "ID_MM_DEVICE_IGNORE" in found["MODEM_MANAGER"].hint
    assert SAM_ID in found["READER_MODULE"].hint
    assert all(finding.hint for finding in found.values() if finding.level is not Level.OK)


@pytest.mark.req("E034")
def test_what_fails(tmp_path: Path) -> None:
    silent = Fault(FaultKind.SILENT, on=Target.ANY, times=ALWAYS)
    dialect = Fault(FaultKind.DIALECT, on=Target.ANY, times=ALWAYS)
    proc = processes(tmp_path)
    for index, (faults, sam_id, baud, code) in enumerate(
        [
            ((silent,), SAM_ID, None, "READER_SILENT"),
            ((dialect,), SAM_ID, None, "READER_DIALECT"),
            ((), SAM_ID, 9600, "READER_SILENT"),
            ((), SAM_ID[:-1] + "2", 115200, "READER_CHANGED"),
        ]
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        with simulated(folder, *faults) as device:
            found = look(device, proc, sam_id=sam_id, baud=baud)
        assert found[code].level is Level.FAIL
        assert found[code].hint


def test_a_port_that_another_program_holds_for_itself(tmp_path: Path) -> None:
    with simulated(tmp_path) as device:
        holder = SamVReader.open(
            str(device.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=None
        )
        found = look(device, processes(tmp_path))
        holder.close()
    assert found["READER_BUSY"].level is Level.FAIL


def test_the_command(tmp_path: Path) -> None:
    arguments = ["doctor", "--data", str(tmp_path), "--json", "--reader"]
    with simulated(tmp_path) as device:
        done = CliRunner().invoke(app, [*arguments, str(device.path)])
    assert done.exit_code == 0
    assert {one["check"] for one in json.loads(done.stdout)} >= {"READER_PORT", "READER_MODULE"}
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "nowhere")])
    assert done.exit_code == 4
    [finding] = json.loads(done.stdout)
    assert (finding["check"], finding["level"]) == ("READER_PORT", "FAIL")


@pytest.mark.req("E037")
def test_traffic_is_told_without_a_value_from_a_card(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(TRAFFIC, logger="edge.reader.traffic")
    card = card_for("astronaut")
    with simulated(tmp_path, Fault(FaultKind.NOISE)) as device:
        reader = SamVReader.open(
            str(device.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=None
        )
        device.place(card)
        document = reader.read_document(20.0, RecordingScreen())
        reader.close()
    said = caplog.text
    assert "> select" in said
    assert "< 00 00 90 + 1284 bytes (ok)" in said
    assert "bytes that are no reply" in said
    for value in (document.name, document.number, document.address, card.text.hex()[:32], SAM_ID):
        assert value not in said


def test_the_page_shows_what_the_doctor_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the name of the program that the simulator runs in."""
    page = (Path(__file__).parents[2] / "docs" / "documents.md").read_text(encoding="utf-8")
    shown = page.split("$ verifield-edge doctor --reader usb-reader\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    device = ReaderPty.open(ReaderModule(sam_id=SAM_ID), link=Path("usb-reader"), baud=115200)
    monkeypatch.setattr("edge.reader.checkup.os.getpid", lambda: 0)  # the simulator runs in this process
    try:
        done = CliRunner().invoke(app, ["doctor", "--reader", "usb-reader", "--data", str(tmp_path / "data")])
    finally:
        device.close()
    assert done.exit_code == 0
    said = re.sub(r"is open in .* as well", "is open in python as well", done.output)
    assert said == shown
