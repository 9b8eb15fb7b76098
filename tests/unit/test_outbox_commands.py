"""``verifield-edge outbox``: it shows what is there, also what is broken, and saves what can be saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.attest.identity import DeviceIdentity
from edge.cli import main
from edge.errors import ExitCode
from edge.model import Position
from tests.support.appliance import Appliance, MemorySigner, key_store_beside
from tests.support.outbox import places, raw


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    """A device whose outbox is in the data directory, and whose identity is taken for granted."""
    appliance = Appliance(tmp_path / "outbox" / "device-1.sqlite", MemorySigner())
    identity = SimpleNamespace(device_id="device-1", key_store=key_store_beside(appliance.path))
    monkeypatch.setattr(DeviceIdentity, "open", lambda _folder, **_: identity)
    monkeypatch.setenv("VERIFIELD_EDGE_DATA_DIR", str(tmp_path))
    yield appliance
    appliance.outbox.close()


@pytest.fixture
def outbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call the command; return its status and the object that it printed."""

    def call(*args: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["verifield-edge", "outbox", *args, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def damage(device: Appliance, sql: str) -> None:
    with closing(raw(device.path)) as connection:
        assert connection.execute(sql).rowcount == 1


def test_figures_name_places_states_files_and_the_disk(device: Appliance, outbox: Any) -> None:
    for _ in range(3):
        device.verify()
    device.outbox.append(lambda head, cited: device.make(head, cited, media=(b"picture",)))
    device.outbox.mark_delivered(places(1))
    device.outbox.mark_branch(places(2))
    device.outbox.mark_refused(Position(1, 3), "MALFORMED")
    status, answer = outbox("stats")
    assert status == 0
    expected = {
        "epoch": 1,
        "seq": 4,
        "pending": 1,
        "delivered": 1,
        "branch": 1,
        "invalid": 1,
        "confirmed": 0,
        "damaged": 0,
        "missing": 0,
        "unconfirmed": 2,
        "media_pending": 1,
        "media_pending_bytes": 7,
        "reset_needed": None,
    }
    assert {name: answer[name] for name in expected} == expected
    assert answer["disk"] in {"OK", "LOW", "STOP"}
    assert answer["disk_free_bytes"] > 0


def test_a_broken_record_is_listed_with_its_place(device: Appliance, outbox: Any) -> None:
    stored = [device.verify() for _ in range(3)]
    damage(device, "UPDATE records SET envelope = x'00' WHERE seq = 2")
    status, answer = outbox("list")
    assert status == 0
    assert [(row["seq"], row["state"]) for row in answer["records"]] == [
        (3, "PENDING"),
        (2, "DAMAGED"),
        (1, "PENDING"),
    ]
    assert answer["records"][1] | {"reason": ""} == {
        "epoch": 1,
        "seq": 2,
        "attestation_id": "",
        "state": "DAMAGED",
        "reason": "",
        "created_at": None,
    }
    assert answer["records"][0]["attestation_id"] == stored[2].attestation_id
    assert outbox("check") == (
        ExitCode.NEGATIVE,
        {"records": 2, "damaged": 1, "missing": 1, "sound": True},
    )
    assert outbox("show", stored[1].attestation_id)[1]["error"]["code"] == "RECORD_UNKNOWN"


def test_a_whole_store_passes_its_check(device: Appliance, outbox: Any) -> None:
    device.verify()
    assert outbox("check") == (0, {"records": 1, "damaged": 0, "missing": 0, "sound": True})


@pytest.mark.parametrize("words", [("check",), ("check", "--json"), ("recover", "--json")])
def test_progress_leaves_no_line_where_there_is_no_terminal(
    device: Appliance,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device.verify()
    if words[0] == "recover":
        device.outbox.close()
        device.path.write_bytes(b"")
    monkeypatch.setattr(sys, "argv", ["verifield-edge", "outbox", *words])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == ""


def test_one_record_is_shown_without_anything_personal(device: Appliance, outbox: Any) -> None:
    record = device.verify_person()
    status, answer = outbox("show", record.attestation_id)
    assert status == 0
    assert answer["statement"]["outcome"] == "OUTCOME_VERIFIED"
    assert (answer["epoch"], answer["seq"], answer["state"]) == (1, 1, "PENDING")
    assert answer["envelope_sha256"] == record.sha256.hex()
    text = json.dumps(answer, ensure_ascii=False)
    for item in ("试验·样本", "990000199001019990", "虚构省"):
        assert item not in text


def test_a_broken_store_is_recovered_and_says_what_is_lost(device: Appliance, outbox: Any) -> None:
    for _ in range(3):
        device.verify()
    damage(device, "DELETE FROM records WHERE seq = 2")
    device.outbox.close()
    status, answer = outbox("recover")
    assert status == 0
    assert Path(answer["kept"]).is_file()
    assert (answer["records"], answer["damaged"], answer["reset_needed"]) == (2, 0, False)
    assert answer["lost"] == [{"epoch": 1, "first_seq": 2, "last_seq": 2, "reason": "LOST"}]
    assert answer["head"] == {"epoch": 1, "seq": 3}
    assert outbox("stats")[1]["missing"] == 1


def test_there_must_be_something_to_recover(device: Appliance, outbox: Any) -> None:
    device.outbox.close()
    device.path.unlink()
    status, answer = outbox("recover")
    assert (status, answer["error"]["code"]) == (ExitCode.INPUT, "NOTHING_TO_RECOVER")
