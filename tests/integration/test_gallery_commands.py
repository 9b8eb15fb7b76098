"""``verifield-edge gallery`` with real models and pictures, from the first person to the repaired file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import pytest

from edge.app import destroy_data_keys
from edge.attest.clock import SystemClock, arrival_now
from edge.cli import app
from edge.commands import gallery as gallery_command
from edge.commands import gallery_care, gallery_parts
from edge.config import EdgeConfig
from edge.gallery import salvage
from edge.gallery.home import gallery_key, gallery_path
from edge.model import KeyProtection, LivenessDecision, Role
from edge.models.store import ModelStore
from edge.operators.face import LiveFace
from edge.operators.service import Operators
from edge.policy import MatchPolicy
from edge.vision import Vision
from tests.support.authority import Authority
from tests.support.clocks import ManualClock
from tests.support.faces import portrait, portrait_path
from tests.support.galleries import random_templates
from tests.support.known import KnownDevice

ALAN = "7f8d1c9e-2f43-4c55-9d57-0a4f5f0c2b11"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, model_store: ModelStore
) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, authority)
    known.pull(at=datetime.now(UTC), arrival=arrival_now(SystemClock()))
    enrolled = authority.enroll("device-1", now=datetime.now(UTC) - timedelta(days=1))
    identity = SimpleNamespace(
        device_id="device-1",
        key_protection=KeyProtection.SOFTWARE,
        key_store=known.key_store,
        root_pem=authority.root_pem,
        attestation_certificates=tuple(enrolled.chain),
    )
    for module in (gallery_command, gallery_parts):
        monkeypatch.setattr(module, "open_identity", lambda _config: identity)
    yield known
    known.state.close()


def run(device: KnownDevice, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any]:
    try:
        app(["gallery", *args, "--json", "--data", str(device.folder)], prog_name="verifield-edge")
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    (line,) = capsys.readouterr().out.splitlines()
    return status, json.loads(line)


@pytest.fixture
def filled(device: KnownDevice, capsys: pytest.CaptureFixture[str]) -> KnownDevice:
    assert run(device, capsys, "create")[0] == 0
    assert run(device, capsys, "add", str(portrait_path("astronaut")), "--candidate", ALAN)[0] == 0
    return device


def file_of(device: KnownDevice) -> Path:
    return gallery_path(device.folder)


def test_a_person_from_the_first_picture_to_the_end(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "again.png"
    cv2.imwrite(str(other), portrait("astronaut")[10:300, 60:330])
    status, answer = run(filled, capsys, "search", str(other), "--k", "3")
    assert (status, answer["verdict"], answer["size"]) == (0, "FOUND", 1)
    assert [one["candidate_id"] for one in answer["candidates"]] == [ALAN]
    assert answer["cut_off"]["known"] is True
    assert answer["cut_off"]["fpir"] <= 0.01

    status, answer = run(filled, capsys, "search", str(portrait_path("grace_hopper")))
    assert (status, answer["verdict"], answer["candidates"]) == (1, "NOBODY", [])
    assert len(answer["nearest"]) == 1

    add = ("add", str(other), "--last-day", "2020-01-01", "--watch")
    status, added = run(filled, capsys, *add)
    assert (status, added["new"], added["size"]) == (0, True, 2)
    status, listed = run(filled, capsys, "list")  # over by the clock: listed, and found no more
    watched = next(one for one in listed["people"] if one["candidate_id"] == added["candidate_id"])
    assert (watched["expired"], watched["kind"], listed["size"]) == (True, "WATCHED", 1)
    assert run(filled, capsys, "expire")[1]["removed"] == 1
    assert run(filled, capsys, "list", "--limit", "1", "--after", ALAN)[1]["people"] == []

    gone = {"removed": 1, "removed_earlier": 0, "asked": 1, "size": 0, "kept_files": 0}
    assert run(filled, capsys, "remove", ALAN) == (0, gone)
    assert run(filled, capsys, "remove", ALAN)[0] == 1
    status, compacted = run(filled, capsys, "compact")
    assert compacted["bytes"] < compacted["bytes_before"]
    status, info = run(filled, capsys, "info")
    assert (info["size"], info["model"], info["model_in_use"]) == (0, "sface-int8bq", True)
    assert run(filled, capsys, "search", str(other))[1]["verdict"] == "NOBODY"
    assert run(filled, capsys, "verify")[1]["whole"] is True


@pytest.mark.req("E027")
def test_who_is_at_the_desk_is_not_the_person_on_the_picture(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    vision = Vision.open(model_store, threads=1)
    face = gallery_parts.template_of(vision, portrait_path("astronaut"))
    operators = Operators(
        filled.state.operators,
        key_store=filled.key_store,
        clock=ManualClock(),
        live_live=MatchPolicy().live_live,
    )
    operators.add("Li Wei", Role.CLERK, face=LiveFace(LivenessDecision.LIVE, face))
    operators.add("Ana", Role.CLERK, pin="835062")
    picture = str(portrait_path("astronaut"))
    assert run(filled, capsys, "search", picture, "--operator", "Li Wei")[1]["verdict"] == "OPERATOR"
    status, answer = run(filled, capsys, "search", picture, "--operator", "Ana")
    assert (status, answer["error"]["code"]) == (3, "OPERATOR_NO_FACE")
    status, answer = run(filled, capsys, "search", picture, "--operator", "Nobody")
    assert (status, answer["error"]["code"]) == (5, "NO_OPERATOR")


def archive(path: Path, count: int, model: str, **changes: Any) -> Path:
    columns = {
        "candidates": np.frombuffer(np.random.default_rng(1).bytes(16 * count), np.uint8).reshape(count, 16),
        "templates": random_templates(count, 1),
        "model_sha256": np.array(model),
    }
    np.savez_compressed(path, **(columns | changes))
    return path


def test_many_at_once(filled: KnownDevice, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = run(filled, capsys, "info")[1]["model_sha256"]
    status, done = run(filled, capsys, "import", str(archive(tmp_path / "a.npz", 9000, model)))
    assert (status, done) == (0, {"added": 9000, "replaced": 0, "expired": 0, "size": 9001, "refused": []})
    status, listed = run(filled, capsys, "list", "--limit", "10")
    assert (len(listed["people"]), listed["more"]) == (10, 8991)
    # So rare an error needs a stricter threshold than was ever measured: a person is asked.
    answer = run(filled, capsys, "search", str(portrait_path("astronaut")), "--fpir", "0.001")[1]
    assert (answer["verdict"], answer["cut_off"]["known"]) == ("UNKNOWN_RATE", False)

    (tmp_path / "empty.png").write_bytes(b"no picture")
    lines = ["picture,candidate_id,last_day,kind", f"empty.png,{UUID(int=5)},,"]
    lines.append(f"{portrait_path('grace_hopper')},{UUID(int=6)},2099-01-01,watched")
    (tmp_path / "PEOPLE.CSV").write_text("\n".join(lines), encoding="utf-8-sig")  # as spreadsheets write it
    status, done = run(filled, capsys, "import", str(tmp_path / "PEOPLE.CSV"))
    assert (status, done["added"]) == (1, 1)
    assert done["refused"] == [{"picture": "empty.png", "code": "NOT_A_PICTURE"}]


def test_whom_an_import_replaces_and_who_is_over_already_is_told(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model, picture = run(filled, capsys, "info")[1]["model_sha256"], portrait_path("grace_hopper")
    lines = ["picture,candidate_id,last_day", f"{picture},{ALAN},", f"{picture},{UUID(int=5)},2020-01-01"]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    counts = {"added": 1, "replaced": 1, "expired": 1, "size": 1, "refused": []}
    assert run(filled, capsys, "import", str(tmp_path / "people.csv")) == (0, counts)
    assert run(filled, capsys, "info")[1]["size"] == 1

    days = np.array([0, 1, 1], np.int32)
    file = archive(tmp_path / "a.npz", 3, model, last_days=days)
    counts = {"added": 3, "replaced": 0, "expired": 2, "size": 2, "refused": []}
    assert run(filled, capsys, "import", str(file)) == (0, counts)
    with pytest.raises(SystemExit):
        app(["gallery", "import", str(file), "--data", str(filled.folder)], prog_name="verifield-edge")
    shown = capsys.readouterr()
    assert "last day is over" in shown.err
    assert re.search(r"replaced\W+3\b", shown.out)


def test_what_an_archive_added_before_its_fault_is_told(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = run(filled, capsys, "info")[1]["model_sha256"]
    templates = random_templates(4100, 1)
    templates[-1] = np.nan
    file = archive(tmp_path / "a.npz", 4100, model, templates=templates)
    status, answer = run(filled, capsys, "import", str(file))
    assert (status, answer["error"]["code"]) == (5, "TEMPLATE_INVALID")
    assert "4096" in answer["error"]["hint"]
    assert run(filled, capsys, "info")[1]["size"] == 4097


def test_an_import_that_means_nothing_is_refused(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = run(filled, capsys, "info")[1]["model_sha256"]
    nans = random_templates(20, 1)
    nans[3, 5] = np.nan
    bad = {
        "MODEL_MISMATCH": archive(tmp_path / "m.npz", 20, "ab" * 32),
        "TEMPLATE_INVALID": archive(tmp_path / "n.npz", 20, model, templates=nans),
    }
    cut = archive(tmp_path / "cut.npz", 20, model).read_bytes()
    (tmp_path / "cut.npz").write_bytes(cut[: len(cut) // 2])
    wrong = [
        tmp_path / "cut.npz",
        tmp_path / "missing.npz",
        archive(tmp_path / "d.npz", 20, model, templates=np.ones((20, 128))),
        archive(tmp_path / "s.npz", 20, model, templates=random_templates(19, 1)),
        archive(tmp_path / "o.npz", 20, model, candidates=np.array([object()], object)),
    ]
    for name, text in {
        "a.csv": "a,b\n",
        "b.csv": "picture,candidate_id\nx.png,nobody\n",
        "c.csv": "picture,candidate_id\n" + "x" * 5000 + ",\n",
        "e.csv": f"picture,candidate_id,kind\nx.png,{ALAN},friend\n",
        "f.csv": "\udcff",
        "g.csv": f"picture,candidate_id\n{portrait_path('astronaut')},{UUID(int=5)}\n"
        f"x.png,{ALAN}\nx.png,{UUID(int=5)}\n",
    }.items():
        wrong.append(tmp_path / name)
        wrong[-1].write_bytes(text.encode("utf-8", "surrogateescape"))
    refused = {path: code for code, path in bad.items()} | dict.fromkeys(wrong, "GALLERY_IMPORT")
    for path, code in refused.items():
        status, answer = run(filled, capsys, "import", str(path))
        assert answer["error"]["code"] == code, path.name
        assert status in (3, 5)
    assert run(filled, capsys, "info")[1]["size"] == 1


@pytest.mark.req("E026")
def test_when_the_model_changes_people_come_again(
    filled: KnownDevice,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The earlier gallery is kept until a person confirms, and never compared with the new model."""
    picture = str(portrait_path("astronaut"))
    assert run(filled, capsys, "re-enrol")[1]["began"] is False
    use_next_model(monkeypatch)
    for ask in (("search", picture), ("add", picture)):
        status, answer = run(filled, capsys, *ask)
        assert (status, answer["error"]["code"]) == (3, "MODEL_MISMATCH")
        assert "re-enrol" in answer["error"]["hint"]
    assert run(filled, capsys, "info")[1]["model_in_use"] is False
    status, begun = run(filled, capsys, "re-enrol")
    assert (begun["began"], begun["awaited"], begun["came"]) == (True, 1, 0)
    assert [one["candidate_id"] for one in begun["people"]] == [ALAN]
    assert file_of(filled).with_name("people.gallery.earlier").exists()
    assert run(filled, capsys, "search", picture)[1]["verdict"] == "NOBODY"
    assert run(filled, capsys, "add", picture, "--candidate", ALAN)[0] == 0
    status, later = run(filled, capsys, "re-enrol")
    assert (later["began"], later["awaited"], later["came"]) == (False, 0, 1)
    assert run(filled, capsys, "re-enrol", "--confirm") == (0, {"never_came": 0})
    assert not file_of(filled).with_name("people.gallery.earlier").exists()
    assert run(filled, capsys, "search", picture)[1]["verdict"] == "FOUND"
    assert run(filled, capsys, "re-enrol", "--confirm")[0] == 3


@pytest.mark.req("E026")
def test_who_is_erased_is_awaited_no_more(
    filled: KnownDevice,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also from what is kept of the earlier model; what was removed before goes with the next compaction."""
    picture = str(portrait_path("grace_hopper"))
    earlier = file_of(filled).with_name("people.gallery.earlier")
    for number in (5, 6):
        assert run(filled, capsys, "add", picture, "--candidate", str(UUID(int=number)))[0] == 0
    assert run(filled, capsys, "add", picture, "--last-day", "2020-01-01")[0] == 0
    assert run(filled, capsys, "remove", str(UUID(int=5)))[0] == 0
    use_next_model(monkeypatch)
    assert run(filled, capsys, "re-enrol")[1]["awaited"] == 2

    before = earlier.stat().st_size
    assert run(filled, capsys, "compact")[0] == 0
    assert earlier.stat().st_size != before
    expired = {"removed": 0, "removed_earlier": 1, "size": 0, "kept_files": 0}
    assert run(filled, capsys, "expire")[1] == expired
    gone = {"removed": 0, "removed_earlier": 1, "asked": 1, "size": 0, "kept_files": 0}
    assert run(filled, capsys, "remove", ALAN) == (0, gone)
    assert run(filled, capsys, "remove", ALAN) == (1, gone | {"removed_earlier": 0})
    awaited = run(filled, capsys, "re-enrol")[1]["people"]
    assert [one["candidate_id"] for one in awaited] == [str(UUID(int=6))]
    assert salvage.verify(earlier, gallery_key(filled.folder, filled.key_store)).templates == 1


def use_next_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that brings another embedding model: its templates are of another kind."""
    real_model, real_template = gallery_parts.model_in_use, gallery_parts.template_of

    def model(settings: EdgeConfig) -> Any:
        return replace(real_model(settings), name="sface-next", sha256="cd" * 32)

    def template(vision: Vision, picture: Path) -> Any:
        return replace(real_template(vision, picture), model_name="sface-next", model_sha256="cd" * 32)

    for module in (gallery_command, gallery_care):
        monkeypatch.setattr(module, "model_in_use", model)
    monkeypatch.setattr(gallery_command, "template_of", template)


def test_a_damaged_file_is_told_and_mended(filled: KnownDevice, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(filled)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1  # the second header
    path.write_bytes(bytes(data))
    status, answer = run(filled, capsys, "info")
    assert (status, answer["error"]["code"]) == (7, "GALLERY_DAMAGED")
    status, report = run(filled, capsys, "verify")
    assert (status, report["whole"], report["damaged"], report["templates"]) == (1, False, ["header 1"], 1)
    status, report = run(filled, capsys, "repair")
    assert (status, report["lost"], report["to_do"]) == (0, 0, [])
    assert Path(report["kept"]).read_bytes() == bytes(data)
    assert run(filled, capsys, "info")[1]["size"] == 1
    assert run(filled, capsys, "repair")[1]["kept"] is None


def test_damaged_files_that_were_kept_are_told_and_destroyed(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(filled)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    kept = Path(run(filled, capsys, "repair")[1]["kept"])
    assert run(filled, capsys, "info")[1]["kept_files"] == 1
    assert run(filled, capsys, "expire", "--day", "1900-01-01")[1] == {
        "removed": 0,
        "removed_earlier": 0,
        "size": 1,
        "kept_files": 1,
    }
    assert run(filled, capsys, "remove", ALAN)[1]["kept_files"] == 1
    assert run(filled, capsys, "compact")[1]["kept_files"] == 1
    assert run(filled, capsys, "discard") == (0, {"destroyed": 1})
    assert not kept.exists()
    assert run(filled, capsys, "info")[1]["kept_files"] == 0
    assert run(filled, capsys, "discard") == (0, {"destroyed": 0})


def test_no_gallery_no_key_and_a_wipe(filled: KnownDevice, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(filled, capsys, "create")[1]["error"]["code"] == "GALLERY_EXISTS"
    key = file_of(filled).with_name("people.gallery.key")
    wrapped = key.read_bytes()
    destroy_data_keys(EdgeConfig(data_dir=filled.folder))
    status, answer = run(filled, capsys, "info")
    assert (status, answer["error"]["code"]) == (7, "DATA_KEY_MISSING")
    file_of(filled).unlink()
    assert run(filled, capsys, "info")[1]["error"]["code"] == "GALLERY_MISSING"
    assert run(filled, capsys, "search", "x.png", "--fpir", "0")[1]["error"]["code"] == "RATE_INVALID"
    assert wrapped not in (b"", bytes(len(wrapped)))


def test_a_gallery_that_is_there_gets_no_new_key(
    filled: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own is lost: one that does not fit would hide that, and the one of a backup would be in its way."""
    key = file_of(filled).with_name("people.gallery.key")
    kept = key.rename(key.with_name("kept"))
    status, answer = run(filled, capsys, "create")
    assert (status, answer["error"]["code"], key.exists()) == (3, "GALLERY_EXISTS", False)
    kept.rename(key)
    assert run(filled, capsys, "info")[0] == 0


def test_tables_for_people(filled: KnownDevice, capsys: pytest.CaptureFixture[str]) -> None:
    search = ("search", str(portrait_path("astronaut")))
    for args in (("list",), ("info",), search, ("verify",), ("re-enrol",)):
        app(["gallery", *args, "--data", str(filled.folder)], standalone_mode=False)
        shown = capsys.readouterr().out
        assert shown.strip()
    app(["gallery", "warm"], standalone_mode=False)
    assert "seconds" in capsys.readouterr().out
