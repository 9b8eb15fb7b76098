"""A real device that looks at itself, and is looked at: status, doctor, figures, signs of life, files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.attest.clock import SystemClock
from edge.cli import app
from edge.health import judge_health
from edge.health_items import ITEM_NAMES, OPTIONAL, HealthState, health_items
from edge.heartbeat import SYNC_BEAT, Heartbeat, read_beat
from edge.supervise import supervise
from edge.watch import look_at_device
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud, tmp_path: Path) -> FieldOffice:
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.verify()
    return office


def call(office: FieldOffice, *arguments: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*arguments, "--data", str(office.settings.data_dir), "--json"])
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.req("E064")
def test_the_doctor_looks_at_every_part_and_says_what_to_do(office: FieldOffice, tmp_path: Path) -> None:
    config = office.settings.data_dir / "verifield-edge.toml"
    config.write_text(f'camera = "/dev/video-that-is-not-there"\nreader_port = "{tmp_path}/nowhere"\n')
    status, found = call(office, "doctor")
    assert status == 4
    findings = {one["check"]: one for one in found}
    assert {name.upper() for name in ITEM_NAMES.keys() - OPTIONAL if name != "reader"} <= findings.keys()
    for check in ("CAMERA", "READER_PORT"):
        assert (findings[check]["level"], bool(findings[check]["hint"])) == ("FAIL", True)
    assert findings["KEY"]["level"] == "OK"
    assert findings["DELIVERY"]["level"] == "WARN"
    assert "systemctl" in findings["DELIVERY"]["hint"]


@pytest.mark.req("E064")
def test_the_doctor_of_a_device_that_is_not_enrolled_looks_at_what_there_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path), "--json"])
    findings = {one["check"]: one["level"] for one in json.loads(done.stdout)}
    assert findings["NOT_ENROLLED"] == "FAIL"
    assert {"CAMERA", "MODELS"} <= findings.keys()
    assert done.exit_code in (1, 4)


@pytest.mark.req("E064")
def test_status_and_figures_agree_with_the_judge(office: FieldOffice, tmp_path: Path) -> None:
    file = tmp_path / "metrics" / "verifield_edge.prom"
    status, answer = call(office, "status", "--parts", "--metrics-file", str(file))
    assert status == 1
    health = look_at_device(office.settings)
    assert answer["problems"] == list(judge_health(health))
    assert answer["parts"].keys() == ITEM_NAMES.keys() - OPTIONAL
    assert answer["worst"] == max((item.state for item in health_items(health)), key=list(HealthState).index)
    text = file.read_text(encoding="utf-8")
    for code in answer["problems"]:
        assert f'verifield_edge_problem{{code="{code}"}} 1.0' in text


@pytest.mark.req("E064")
def test_figures_are_written_also_where_nothing_can_be_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "verifield_edge.prom"
    arguments = ["status", "--data", str(tmp_path / "device"), "--metrics-file", str(file), "--quiet"]
    assert CliRunner().invoke(app, arguments).exit_code == 3
    text = file.read_text(encoding="utf-8")
    assert "verifield_edge_looked 0.0" in text
    assert 'verifield_edge_problem{code="NOT_ENROLLED"} 1.0' in text


@pytest.mark.req("E064")
@pytest.mark.parametrize(
    ("state", "code", "item_state", "item_code"),
    [
        ("IDLE", "", HealthState.OK, ""),
        ("WAITING", "CLOUD_AWAY", HealthState.WARN, "DELIVERY_TROUBLE"),
        ("HALTED", "HELD_BACK", HealthState.BAD, "DELIVERY_HALTED"),
    ],
)
def test_what_the_daemon_says_last_is_seen(
    office: FieldOffice, state: str, code: str, item_state: HealthState, item_code: str
) -> None:
    Heartbeat(office.settings.run_folder() / SYNC_BEAT, SystemClock()).beat(state=state, code=code)
    items = {item.name: item for item in health_items(look_at_device(office.settings))}
    assert (items["delivery"].state, items["delivery"].code) == (item_state, item_code)


class Ear:
    """systemd's end of the socket that a daemon speaks to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(120)

    def hear_until(self, what: str, times: int = 1) -> None:
        while self.said.count(what) < times:
            self.said.append(self.socket.recv(512).decode())


@contextmanager
def watched(office: FieldOffice, folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], Ear]]:
    """A daemon as systemd starts it."""
    ear = Ear(folder / "notify")
    surroundings = {"NOTIFY_SOCKET": str(ear.path), "WATCHDOG_USEC": "600000"}
    surroundings["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto'}"
    command = [sys.executable, "-c", "from edge.cli import main; main()", *words]
    with (
        ear.socket,
        subprocess.Popen(
            [*command, "--data", str(office.settings.data_dir)],
            env=os.environ | surroundings,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            yield process, ear
        finally:
            process.kill()


@pytest.mark.req("E063")
def test_the_daemon_tells_systemd_and_leaves_signs_of_life_until_it_ends(
    office: FieldOffice, tmp_path: Path
) -> None:
    beat = office.settings.run_folder() / SYNC_BEAT
    with watched(office, tmp_path, "sync") as (process, ear):
        ear.hear_until("WATCHDOG=1", 3)
        assert ear.said[:2] == ["READY=1", "WATCHDOG=1"]
        assert any(one.startswith("STATUS=") for one in ear.said)
        seen = read_beat(beat, SystemClock())
        assert seen is not None
        assert seen.alive
        wait_until(office.all_confirmed)
        process.send_signal(signal.SIGTERM)
        ear.hear_until("STOPPING=1")
        assert process.wait(60) == 0
    assert not beat.exists()


@pytest.mark.req("E063")
def test_the_screen_tells_systemd_that_its_loop_turns(office: FieldOffice, tmp_path: Path) -> None:
    with watched(office, tmp_path, "kiosk", "--port", "0") as (process, ear):
        ear.hear_until("READY=1")
        assert (office.settings.data_dir / "kiosk" / "launch-url").exists()  # before anybody waits for it
        ear.hear_until("WATCHDOG=1", 3)
        process.send_signal(signal.SIGTERM)
        ear.hear_until("STOPPING=1")
        assert process.wait(60) == 0


@pytest.mark.req("E066")
def test_every_file_of_a_device_is_for_its_own_user_alone(office: FieldOffice) -> None:
    lenient = os.umask(0o000)  # whatever the shell says: the device does not rely on it
    try:
        office.verify()
        office.sync()
        call(office, "status")
        call(office, "gallery", "create")
        Heartbeat(office.settings.run_folder() / SYNC_BEAT, SystemClock()).beat(state="IDLE")
    finally:
        os.umask(lenient)
    seen = 0
    for path in office.settings.data_dir.rglob("*"):
        if path.is_symlink():
            continue
        seen += 1
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path.relative_to(office.settings.data_dir)} has {mode:o}"
    assert seen >= 15


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.req("E060")
def test_programs_are_kept_running_and_end_together(tmp_path: Path) -> None:
    """One fails at its first start; the other runs on. A stop ends both, and each is heard to its end."""
    mark, forever = tmp_path / "failed-once", "import signal; signal.pause()"
    fails_once = (
        f"import pathlib, sys; p = pathlib.Path({str(mark)!r})\nif not p.exists(): p.touch(); sys.exit(1)\n"
    )
    stop, told = threading.Event(), []
    ended: list[int] = []

    def tell(name: str, what: str, status: int | None) -> None:
        told.append((name, what, status))

    def work() -> None:
        programs = [("a", program(fails_once + forever)), ("b", program(forever))]
        ended.append(supervise(programs, stop=stop, tell=tell, first_pause_s=0.05))

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: told.count(("a", "started", None)) == 2)
    stop.set()
    thread.join(60)
    assert ended == [0]
    assert ("a", "ended", 1) in told
    assert {(name, what) for name, what, _ in told[-2:]} == {("a", "stopped"), ("b", "stopped")}


@pytest.mark.req("E060")
def test_a_set_up_that_is_wrong_ends_the_whole_with_its_status() -> None:
    told: list[tuple[str, str, int | None]] = []
    programs = [("a", program("import sys; sys.exit(3)")), ("b", program("import signal; signal.pause()"))]
    status = supervise(programs, stop=threading.Event(), tell=lambda *one: told.append(one))
    assert status == 3
    assert told[-1][:2] == ("b", "stopped")


def test_the_privacy_page_names_every_store_of_a_device(office: FieldOffice) -> None:
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    sources = [ROOT / "edge/outbox/schema.py", ROOT / "edge/state/schema.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    tables = set(re.findall(r"CREATE TABLE (\w+)", text))
    tables |= set(re.findall(r'_create\(\s*db,\s*"(\w+)"', text))
    tables |= set(re.findall(r'db\.table\("(\w+)"\)\.create\(', text))
    gone = set(re.findall(r"DROP TABLE (\w+)", text))
    assert len(tables - gone) >= 25
    assert [name for name in sorted(tables - gone) if f"`{name}`" not in page] == []
    office.sync()
    folders = {path.name for path in office.settings.data_dir.iterdir() if path.is_dir()}
    assert [name for name in sorted(folders) if f"`DATA/{name}/" not in page] == []


@pytest.mark.req("E060")
def test_a_device_measures_itself(office: FieldOffice) -> None:
    before = len(office.states())
    status, measures = call(office, "bench")
    assert status == 0
    assert [one["name"] for one in measures] == [
        "look for faces in a frame",
        "measure one face",
        "search the gallery",
        "make a record durable",
        "sign",
    ]
    assert all(0 < one["median_ms"] <= one["worst_ms"] for one in measures)
    assert "SOFTWARE" in measures[-1]["note"].upper()
    assert len(office.states()) == before
    assert not list(office.settings.data_dir.glob(".bench-*"))
