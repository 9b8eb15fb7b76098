"""kill -9 on both sides of a bad network, at random: nothing promised is lost, nothing is delivered twice.

A clerk's process makes records without end, a daemon delivers them, a service takes them; each is killed
again and again, in the middle of whatever it does. VERIFIELD_SOAK=50 makes it a thousand kills.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog.testing

from cloud.app import Endpoint
from cloud.client import find_target, open_client
from edge.app import open_identity
from edge.model import Position
from tests.support.bad_days import Field, open_field
from tests.support.bad_network import CLEAR, ROUGH, SILENT, Weather
from tests.support.cloud import FakeClock, RunningCloud
from tests.support.field_office import wait_until
from tests.support.haste import make_haste

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
KILLS = 20 * SOAK

pytestmark = pytest.mark.timeout(300 * SOAK)

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """``folder`` holds what all processes leave: the cloud's data, and what the clerk was promised."""

    folder: Path
    process: subprocess.Popen[str]
    running: dict[str, int] = field(default_factory=dict)

    @property
    def promises(self) -> Path:
        return self.folder / "promises"

    def start(self, role: str, data: Path, **more: object) -> None:
        order = {"role": role, "data": str(data), "out": str(self.folder / role)} | {
            name: str(value) for name, value in more.items()
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.running[role] = int(self.process.stdout.readline())

    def kill(self, role: str) -> None:
        """Kill it, and wait until it is gone."""
        child = self.running.pop(role)
        with contextlib.suppress(ProcessLookupError):  # it would be a finding, and shows in what is missing
            os.kill(child, signal.SIGKILL)
            wait_until(lambda: not Path(f"/proc/{child}").exists())

    def start_clerk(self, field: Field, seed: int) -> None:
        self.start("work", field.office.settings.data_dir, seed=seed, out=self.promises)

    def start_daemon(self, field: Field) -> None:
        self.start("deliver", field.office.settings.data_dir)

    def start_cloud(self) -> Endpoint:
        announced = self.folder / "cloud"
        announced.unlink(missing_ok=True)
        self.start("cloud", self.folder / "cloud-data")
        wait_until(announced.exists)
        return Endpoint(**json.loads(announced.read_text()))

    @contextmanager
    def operated(self, endpoint: Endpoint) -> Iterator[RunningCloud]:
        data = self.folder / "cloud-data"
        with open_client(find_target(data, endpoint=None, root=None, token_file=None)) as operator:
            log = structlog.testing.CapturingLogger()
            url = f"sqlite:///{data / 'verifield.db'}"
            yield RunningCloud(data, endpoint, FakeClock(), operator, log, url)

    def promised(self) -> dict[bytes, Position]:
        """What the clerk's processes were promised; each place once."""
        found: dict[bytes, Position] = {}
        for line in self.promises.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                said = json.loads(line)
                found[bytes.fromhex(said["sha256"])] = Position(*said["place"])
        assert len(set(found.values())) == len(found), "a place was promised twice"
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "GRPC_VERBOSITY": "NONE"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.field_worker"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        stage = Stage(tmp_path, process)
        try:
            yield stage
        finally:
            for role in list(stage.running):
                stage.kill(role)
            process.kill()


@pytest.fixture
def open_stage(stage: Stage, tmp_path: Path) -> Iterator[Field]:
    """A device behind bad networks, a cloud, a daemon and a clerk, each a process of its own."""
    with ExitStack() as stack:
        with stage.operated(stage.start_cloud()) as cloud:
            opened = stack.enter_context(open_field(cloud, tmp_path / "device"))
        stage.start_daemon(opened)
        stage.start_clerk(opened, seed=0)
        wait_until(stage.promises.exists)
        yield opened


def come_to_rest(stage: Stage, field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """End all trouble, let everything be delivered, and look at both sides."""
    make_haste(monkeypatch.setattr)
    if "work" in stage.running:
        stage.kill("work")
    if "cloud" not in stage.running:
        move_to(field, stage.start_cloud())
    field.device.calm()
    field.public.calm()
    if "deliver" not in stage.running:
        stage.start_daemon(field)
    wait_until(field.office.all_settled)
    stage.kill("deliver")
    endpoint = Endpoint(**json.loads((stage.folder / "cloud").read_text()))
    with stage.operated(endpoint) as cloud:
        field.move(cloud)
        field.promised.records |= stage.promised()
        field.promised.look(field.office)  # also what was stored when a kill came before the promise
        shelf = field.assert_at_rest()
    assert shelf.alarms == []
    assert shelf.head.epoch == 1
    assert shelf.side == []


def move_to(field: Field, endpoint: Endpoint) -> None:
    field.device.target, field.public.target = endpoint.device_listen, endpoint.listen


@pytest.mark.req("E050", "E052")
def test_random_kills_on_both_sides(stage: Stage, open_stage: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    field, chance = open_stage, random.Random(31)
    for number in range(1, KILLS + 1):
        field.device.weather = chance.choice([CLEAR, CLEAR, ROUGH, SILENT, Weather(bytes_per_s=40_000)])
        time.sleep(chance.uniform(0, 0.25))
        role = chance.choice(["work", "deliver", "cloud"])
        stage.kill(role)
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 0.3))  # the others notice
        match role:
            case "work":
                stage.start_clerk(field, seed=number)
            case "deliver":
                stage.start_daemon(field)
            case _:
                move_to(field, stage.start_cloud())
    promised = len(stage.promised())
    assert promised > KILLS
    come_to_rest(stage, field, monkeypatch)


@pytest.mark.req("E052")
@pytest.mark.parametrize("victim", ["cloud", "deliver"])
def test_a_kill_in_the_middle_of_a_batch(
    stage: Stage, open_stage: Field, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """At a moment when part of a batch is on the way, again and again, at another place of it each time."""
    field = open_stage
    stage.kill("deliver")
    wait_until(lambda: len(stage.promised()) > 60)
    stage.kill("work")
    for number in range(4 * SOAK):
        field.device.weather = Weather(bytes_per_s=60_000)
        if "deliver" not in stage.running:
            stage.start_daemon(field)
        sent = field.device.upstream_bytes
        wait_until(lambda sent=sent, number=number: field.device.upstream_bytes > sent + 6_000 + 900 * number)
        stage.kill(victim)
        if victim == "cloud":
            move_to(field, stage.start_cloud())
        stage.start_clerk(field, seed=100 + number)
        before = len(stage.promised())
        wait_until(lambda before=before: len(stage.promised()) > before + 25)
        stage.kill("work")
    assert open_identity(field.office.settings).device_id == field.office.device_id
    come_to_rest(stage, field, monkeypatch)
