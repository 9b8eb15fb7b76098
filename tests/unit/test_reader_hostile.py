"""Devices that answer whatever they like: the doctor, the search and the driver end, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.reader.checkup import check_reader
from edge.reader.dialects import DIALECT_BYTES, name_dialect
from edge.reader.faults import FAULTS, fault
from edge.reader.link import PREAMBLE, encode_command
from edge.reader.photo import NoPhotoDecoder
from edge.reader.search import FoundReader, ask_port
from tests.support.id_reader import frame, vectors

LONGEST_S = 60.0
REPLIES = [frame(name) for name in sorted(vectors()) if name.startswith("rep_")]


class Hostile:
    """A port whose device answers each request with the next of ``answers``, and then with nothing.

    An answer of None is a cable that comes out.
    """

    def __init__(self, answers: list[bytes | None]) -> None:
        self.now = 0.0
        self.closed = 0
        self._answers = list(answers)
        self._coming = b""

    def write(self, data: bytes) -> None:
        answer = self._answers.pop(0) if self._answers else b""
        if answer is None:
            raise fault("READER_GONE")
        self._coming += answer

    def read(self) -> bytes:
        self.now += 0.02
        piece, self._coming = self._coming[:300], self._coming[300:]
        return piece

    def close(self) -> None:
        self.closed += 1


answers = st.lists(
    st.sampled_from(REPLIES)
    | st.binary(max_size=80)
    | st.binary(max_size=40).map(lambda data: PREAMBLE + data)
    | st.builds(
        encode_command, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=17)
    )  # framed right
    | st.none(),
    max_size=12,
)
quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(answers=answers)
def test_the_doctor_has_an_answer_to_every_device(
    answers: list[bytes | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = attach(monkeypatch, answers)
    (tmp_path / "port").touch()
    findings = list(
        check_reader(
            str(tmp_path / "port"),
            baud=None,
            expected_sam_id=None,
            decoder=NoPhotoDecoder(),
            proc=proc_of(tmp_path),
            clock=lambda: device.now,
        )
    )
    assert findings[0].check == "READER_PORT"
    assert findings[-1].check == "PHOTO_DECODER" or findings[-1].check in FAULTS
    assert all(one.what for one in findings)
    assert device.now < LONGEST_S


@quick
@given(answers=answers)
def test_a_port_is_a_reader_or_says_why_not(
    answers: list[bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = attach(monkeypatch, answers)
    found = ask_port("port", baud=None, clock=lambda: device.now)
    if isinstance(found, FoundReader):
        assert found.sam_id == "05.03-20240115-0000123456-0987654321"
    else:
        assert found.code in FAULTS
    assert device.now < LONGEST_S
    assert device.closed


def proc_of(folder: Path) -> Path:
    (folder / "proc").mkdir(exist_ok=True)
    return folder / "proc"


def attach(monkeypatch: pytest.MonkeyPatch, answers: list[bytes | None]) -> Hostile:
    device = Hostile(answers)
    monkeypatch.setattr("edge.reader.serial_port.SerialPort.open", lambda *_args, **_more: device)
    return device


@given(st.binary(max_size=DIALECT_BYTES))
def test_any_bytes_are_a_dialect_or_none(heard: bytes) -> None:
    name = name_dialect(heard)
    assert name.isprintable()
    assert fault("READER_DIALECT", name).code == "READER_DIALECT"


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=30))
def test_a_frame_of_another_protocol_is_named_wherever_it_stands(before: bytes, body: bytes) -> None:
    check = 0
    for byte in body:
        check ^= byte
    stx = b"\x02" + len(body).to_bytes(2, "big") + body + bytes([check]) + b"\x03"
    clean = before.replace(b"\xaa", b"\x55").replace(b"\x02", b"\x55")
    assert name_dialect(clean + stx) == "frames between 02 and 03" or b"\xaa\xaa\xaa" in body
