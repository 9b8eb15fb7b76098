"""What the device remembers of its records of a document, and by which clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.answers import EarlierRecord
from edge.state import schema
from edge.state.schema import STEPS
from tests.support.authority import Authority
from tests.support.known import KnownDevice

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MARKED = EarlierRecord("id-1", "SPOOF", NOW, "boot", 2**62)
UNMARKED = EarlierRecord("id-1", "SPOOF", NOW)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[KnownDevice]:
    device = KnownDevice(tmp_path, Authority.create())
    yield device
    device.state.close()


def known(device: KnownDevice) -> list[EarlierRecord]:
    found = device.state.earlier("p")
    assert device.state.earlier_with("p", ["SPOOF"]) == found
    return found


@pytest.mark.parametrize("record", [MARKED, UNMARKED])
def test_a_record_is_known_with_the_clocks_of_then(device: KnownDevice, record: EarlierRecord) -> None:
    device.state.note_earlier("p", record)
    device.restart()
    assert known(device) == [record]


def test_what_the_version_before_noted_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", STEPS[:4])
        old = KnownDevice(tmp_path, Authority.create())
        old.state.close()
    with closing(sqlite3.connect(old.path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO earlier VALUES ('id-1', 'p', 'SPOOF', ?)", [NOW.isoformat()])
    old.restart()
    assert known(old) == [UNMARKED]
    old.state.close()
