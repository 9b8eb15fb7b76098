"""A whole device on which one thing after the other is broken: status, doctor and figures say so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.app import open_identity, outbox_path, state_path
from edge.attest.clock import SystemClock
from edge.cli import app
from edge.config import EdgeConfig
from edge.gallery.home import gallery_key, gallery_path
from edge.gallery.records import Model
from edge.gallery.store import Gallery
from edge.health import judge_health
from edge.models.store import ModelStore
from edge.outbox import space
from edge.vision import EMBEDDING_MODEL
from edge.watch import look_at_device
from tests.support.cloud import running_cloud
from tests.support.field_office import FieldOffice

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[FieldOffice]:
    """Enrolled, delivered and confirmed, with a gallery, and with a reader and models of its own."""
    folder = tmp_path_factory.mktemp("truth")
    models = folder / "models"
    for one in model_store.list():
        if one.entry.default:
            target = models / one.path.relative_to(one.path.parents[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(one.path, target) if same_disk(one.path, folder) else shutil.copyfile(one.path, target)
    with running_cloud(folder / "cloud") as cloud:
        office = FieldOffice.open(cloud, folder / "device")
        office.verify()
        office.sync()
        key = gallery_key(office.settings.data_dir, open_identity(office.settings).key_store, create=True)
        model = Model(EMBEDDING_MODEL, model_store.entry(EMBEDDING_MODEL).sha256)
        Gallery.create(gallery_path(office.settings.data_dir), key, model=model).close()
        port = folder / "reader"
        port.touch()
        config = f'models_dir = "{models}"\nreader_port = "{port}"\ncamera = "{folder}/no-camera"\n'
        config += 'photo_decoder = "pictures"\n'
        (office.settings.data_dir / "verifield-edge.toml").write_text(config)
        yield office


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


@dataclass(frozen=True, slots=True)
class Said:
    """``problems``: of `status`; ``parts``: its words by part; ``figures``: the lines for Prometheus."""

    status: int
    problems: list[str]
    parts: dict[str, str]
    figures: str


def ask(office: FieldOffice, folder: Path) -> Said:
    file = folder / "figures.prom"
    words = [
        "status",
        "--data",
        str(office.settings.data_dir),
        "--parts",
        "--json",
        "--metrics-file",
        str(file),
    ]
    done = CliRunner().invoke(app, words)
    answer = json.loads(done.stdout)
    return Said(
        done.exit_code, answer.get("problems", []), answer.get("parts", {}), file.read_text(encoding="utf-8")
    )


def doctor(office: FieldOffice) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(app, ["doctor", "--data", str(office.settings.data_dir), "--json"])
    return done.exit_code, {one["check"]: one for one in json.loads(done.stdout)}


def check(said: Said, code: str, part: str) -> None:
    """The same trouble in all three, as one that stands against a session."""
    assert said.status != 0
    assert code in said.problems
    assert said.parts[part].startswith(f"bad {code}")
    assert f'verifield_edge_problem{{code="{code}"}} 1.0' in said.figures
    assert f'verifield_edge_health{{item="{part}"}} 2.0' in said.figures


@pytest.mark.req("E064")
def test_what_is_well_is_called_well(office: FieldOffice, tmp_path: Path) -> None:
    """What no test below breaks: else it would find its trouble here. The disk is the machine's own."""
    said = ask(office, tmp_path)
    for part in ("key", "reader", "models", "gallery", "queue", "receipt", "clock", "certificate"):
        assert said.parts[part].startswith("ok"), part
    _, found = doctor(office)
    assert {found[check]["level"] for check in ("KEY", "MODELS", "GALLERY", "QUEUE")} == {"OK"}


@pytest.mark.req("E064")
def test_a_gallery_with_a_wrong_key(office: FieldOffice, tmp_path: Path) -> None:
    path = gallery_path(office.settings.data_dir)
    key = path.with_name(path.name + ".key")
    kept = key.read_bytes()
    try:
        key.unlink()
        check(ask(office, tmp_path), "DATA_KEY_MISSING", "gallery")
        gallery_key(office.settings.data_dir, open_identity(office.settings).key_store, create=True)
        check(ask(office, tmp_path), "GALLERY_KEY_WRONG", "gallery")
        _, found = doctor(office)
        assert (found["GALLERY"]["level"], "GALLERY_KEY_WRONG" in found["GALLERY"]["what"]) == ("FAIL", True)
        assert found["GALLERY"]["hint"]
    finally:
        key.write_bytes(kept)
        key.chmod(0o600)


@pytest.mark.req("E064")
def test_a_gallery_of_another_model_and_one_in_use(office: FieldOffice, tmp_path: Path) -> None:
    data = office.settings.data_dir
    path, key = gallery_path(data), gallery_key(data, open_identity(office.settings).key_store)
    with Gallery.open(path, key):
        assert ask(office, tmp_path).parts["gallery"] == "ok", "looking disturbs nobody"
    aside = path.rename(path.with_name("aside"))
    try:
        Gallery.create(path, key, model=Model("another", "cd" * 32)).close()
        check(ask(office, tmp_path), "MODEL_MISMATCH", "gallery")
    finally:
        aside.rename(path)


@pytest.mark.req("E064")
def test_models_that_are_missing_or_damaged(office: FieldOffice, tmp_path: Path) -> None:
    config = office.settings.data_dir / "verifield-edge.toml"
    models = Path(EdgeConfig(models_dir=_models_of(config)).models_dir or "")
    victim = max(models.rglob("*.onnx"), key=lambda path: path.stat().st_size)
    aside = victim.rename(victim.with_suffix(".aside"))
    try:
        check(ask(office, tmp_path), "MODEL_MISSING", "models")
        victim.write_bytes(aside.read_bytes()[:-1] + b"?")
        status, found = doctor(office)
        assert status != 0
        assert (found["MODELS"]["level"], "MODEL_DIGEST" in found["MODELS"]["what"]) == ("FAIL", True)
        assert "models pull" in found["MODELS"]["hint"]
    finally:
        victim.unlink(missing_ok=True)
        aside.rename(victim)


def _models_of(config: Path) -> Path:
    line = next(one for one in config.read_text().splitlines() if one.startswith("models_dir"))
    return Path(line.split('"')[1])


@pytest.mark.req("E064")
def test_a_reader_that_was_unplugged(office: FieldOffice, tmp_path: Path) -> None:
    port = office.settings.data_dir.parent / "reader"
    port.unlink()
    try:
        check(ask(office, tmp_path), "NO_READER", "reader")
        status, found = doctor(office)
        assert (status, found["READER_PORT"]["level"]) == (4, "FAIL")
    finally:
        port.touch()


@pytest.mark.req("E064")
@pytest.mark.parametrize(("free", "code", "word"), [(5, "DISK_RESERVE", "bad"), (15, "DISK_LOW", "warn")])
def test_a_disk_that_fills_up(
    office: FieldOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, code: str, word: str
) -> None:
    def statvfs(_: Any) -> SimpleNamespace:
        left = free * 2**10  # all threads of this process are told so, also the service's
        return SimpleNamespace(f_bavail=left, f_bfree=left, f_frsize=4096, f_blocks=100 * 2**10)

    monkeypatch.setattr(space.os, "statvfs", statvfs)
    said = ask(office, tmp_path)
    assert (said.status, code in said.problems) == (1, True)
    assert said.parts["disk"] == f"{word} {code}"
    assert f'verifield_edge_problem{{code="{code}"}} 1.0' in said.figures


def copy_of(office: FieldOffice, folder: Path) -> FieldOffice:
    """The same device elsewhere: what it is led to believe there stays there."""
    shutil.copytree(office.settings.data_dir, folder / "device", symlinks=True)
    return FieldOffice(office.cloud, EdgeConfig(data_dir=folder / "device"))


class ClockOff(SystemClock):
    """The machine's clock, set to another time."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def wall(self) -> datetime:
        return super().wall() + self._by


@pytest.mark.req("E064")
def test_a_clock_that_is_off(office: FieldOffice, tmp_path: Path) -> None:
    """Set back it is wrong for certain. Set ahead beyond a certificate's end, nothing counts any more."""
    office = copy_of(office, tmp_path)
    assert "CLOCK_WRONG" not in judge_health(look_at_device(office.settings))
    assert "CLOCK_WRONG" in judge_health(look_at_device(office.settings, clock=ClockOff(-30 * DAY)))
    ahead = judge_health(look_at_device(office.settings, clock=ClockOff(3000 * DAY)))
    assert {"CERTIFICATE_EXPIRED", "CLOCK_SUSPECT"} & set(ahead)


@pytest.mark.req("E064")
def test_a_queue_that_does_not_drain(office: FieldOffice, tmp_path: Path) -> None:
    """Two and eight days on, by a clock that goes right."""
    waits, sent = copy_of(office, tmp_path / "waits"), copy_of(office, tmp_path / "sent")
    waits.verify()
    assert "QUEUE_WAITS" in judge_health(look_at_device(waits.settings, clock=Later(2 * DAY)))
    assert "QUEUE_STUCK" in judge_health(look_at_device(waits.settings, clock=Later(8 * DAY)))
    (record,) = sent.verify()
    with sent.recorder() as recorder:
        recorder.outbox.mark_delivered([record.position])
    assert "RECEIPT_LATE" in judge_health(look_at_device(sent.settings, clock=Later(2 * DAY)))
    later = judge_health(look_at_device(sent.settings, clock=Later(8 * DAY)))
    assert "QUEUE_STUCK" not in later
    assert "RECEIPT_OVERDUE" in later


class Later(ClockOff):
    """As much time has passed on all clocks."""

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._by // timedelta(microseconds=1) * 1000


@pytest.mark.req("E064")
@pytest.mark.parametrize("how", ["missing", "wrong"])
def test_a_data_key_without_which_nobody_signs_in(office: FieldOffice, tmp_path: Path, how: str) -> None:
    broken = copy_of(office, tmp_path)
    path = state_path(broken.settings, broken.device_id)
    key = path.with_name(path.name + ".key")
    wrong = bytes(one ^ 1 for one in key.read_bytes())
    if how == "missing":
        key.unlink()
    else:
        key.write_bytes(wrong)
    check(ask(broken, tmp_path), f"DATA_KEY_{how.upper()}", "key")
    status, found = doctor(broken)
    assert (status, found["KEY"]["level"]) == (4, "FAIL")


@pytest.mark.req("E064")
@pytest.mark.parametrize(
    ("where", "code"),
    [(state_path, "STATE_CORRUPT"), (outbox_path, "QUEUE_UNUSABLE")],
    ids=["state", "outbox"],
)
def test_a_store_that_is_broken(office: FieldOffice, tmp_path: Path, where: Any, code: str) -> None:
    """A broken state ends the look, and says so everywhere; a broken outbox is one line of it."""
    broken = copy_of(office, tmp_path)
    path = where(broken.settings, broken.device_id)
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()
    path.write_bytes(b"SQLite format 3\0" + bytes(4080))
    said = ask(broken, tmp_path)
    assert said.status in (1, 7)
    assert f'verifield_edge_problem{{code="{code}"}} 1.0' in said.figures
    status, found = doctor(broken)
    assert status != 0
    told = [one for one in found.values() if code in one["check"] + one["what"] and one["level"] == "FAIL"]
    assert told
    assert told[0]["hint"]
