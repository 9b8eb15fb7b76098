"""The first record of a device is made once, however many processes open it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edge.attest.clock import SystemClock
from edge.outbox.records import SignedRecord, StoredRecord
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.recorder import Recorder
from tests.support.appliance import MemorySigner


class LateLook:
    """An outbox as seen by a process that looked before another one had begun the chain."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def head(self) -> None:
        return None

    def append(self, make: Callable[..., SignedRecord]) -> StoredRecord:
        return self._outbox.append(make)


def recorder_into(outbox: Any) -> Recorder:
    identity: Any = SimpleNamespace(
        device_id="0b7e1c52-93a4-4d6e-8f10-2a3b4c5d6e7f", site_id="s", attestation_serial=lambda: "ab"
    )
    return Recorder(
        identity=identity,
        signer=MemorySigner(),
        outbox=outbox,
        clock=SystemClock(),
        policy=Policy(),
        config_sha256=bytes(32),
        software_version="0",
    )


def test_the_chain_begins_once(tmp_path: Path) -> None:
    device_id = "0b7e1c52-93a4-4d6e-8f10-2a3b4c5d6e7f"
    with Outbox.open(tmp_path / "outbox.db", device_id=device_id) as outbox:
        first = recorder_into(LateLook(outbox)).ensure_enrolled()
        assert first is not None
        assert recorder_into(LateLook(outbox)).ensure_enrolled() is None
        assert recorder_into(outbox).ensure_enrolled() is None
        assert [record.seq for record in outbox.newest(limit=9)] == [first.seq] == [1]
