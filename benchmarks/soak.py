"""Records under faults, from the device's commit to the service's log, with every process killed at random.

python -m benchmarks.soak --records 1000000

Each device is two processes, as in the field: one records verifications without pause (soak_writer), one
is ``verifield-edge sync``. The service is ``verifield-cloud serve`` on SQLite. Between them lies a relay that
delays, stalls and cuts. SIGKILL hits a random process again and again. When all is recorded, the faults end,
the backlog drains, and an oracle compares what was acknowledged with what the service holds.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.flaky_relay import FlakyRelay, flaky_relay
from benchmarks.machine import Noise, Sheet, describe_machine, progress, publish
from benchmarks.soak_oracle import Finding, judge

SITE = "soak"
START_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 1800.0
POLL_S = 0.5

app = typer.Typer(add_completion=False)


def command(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@dataclass
class Killable:
    """A process that is started again whenever it was killed, until its work is done."""

    name: str
    args: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    crashes: int = 0  # ended by a signal that was not ours
    ends: bool = False  # whether exit status 0 means that its work is done
    done: bool = False

    def ensure(self) -> None:
        """Start it, unless it runs or its work is done.

        Raises:
            RuntimeError: it ended by itself with an error.
        """
        if self.done:
            return
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            if status == 0 and self.ends:
                self.done = True
                return
            if status < 0 and status != -signal.SIGKILL:
                self.crashes += 1  # its service manager would start it again, and so do we
            elif status >= 0:
                raise RuntimeError(f"{self.name} ended with {status}: see {self.log}")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.kills += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_TIMEOUT_S)


@dataclass
class Field:
    """All processes of a run. ``service_ready``: the service has announced itself since its last start."""

    folder: Path
    seed: int
    records: int
    devices: int
    service: Killable = field(init=False)
    writers: list[Killable] = field(default_factory=list)
    daemons: list[Killable] = field(default_factory=list)
    relays: list[FlakyRelay] = field(default_factory=list)
    ledgers: dict[str, Path] = field(default_factory=dict)

    @property
    def cloud(self) -> Path:
        return self.folder / "cloud"

    def everybody(self) -> list[Killable]:
        return [self.service, *self.writers, *self.daemons]

    def ensure(self) -> None:
        for one in self.everybody():
            one.ensure()


def ask(*args: str) -> dict[str, Any]:
    """Run a command with --json to its end."""
    done = subprocess.run(
        [command(args[0]), *args[1:], "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(args)} ended with {done.returncode}: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextmanager
def opened(scene: Field) -> Iterator[None]:
    """The service on fixed ports, and devices enrolled with it, each behind a relay of its own."""
    first = subprocess.Popen(
        [command("verifield-cloud"), "serve", "--data", str(scene.cloud), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert first.stdout is not None
    endpoint = json.loads(first.stdout.readline())
    with ExitStack() as stack:
        for number in range(scene.devices):
            _add_device(scene, stack, endpoint, number)
        first.terminate()
        first.wait(START_TIMEOUT_S)
        scene.service = Killable(
            "service",
            [
                *(command("verifield-cloud"), "serve", "--data", str(scene.cloud)),
                *("--listen", endpoint["listen"], "--device-listen", endpoint["device_listen"]),
            ],
            scene.folder / "service.log",
        )
        try:
            yield
        finally:
            for one in scene.everybody():
                one.stop()


def _add_device(scene: Field, stack: ExitStack, endpoint: dict[str, Any], number: int) -> None:
    data = scene.folder / f"device-{number}"
    token = ask(
        *("verifield-cloud", "join-token", "create", "--site", SITE, "--waive-approval"),
        *("--data", str(scene.cloud)),
    )["join_token"]
    enrolled = subprocess.run(
        [
            *(command("verifield-edge"), "enroll", "--data", str(data), "--cloud", endpoint["listen"]),
            *("--root", endpoint["root"], "--token-file", "-", "--json"),
        ],
        input=token,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    device_id = json.loads(enrolled.stdout)["device_id"]
    relay = stack.enter_context(flaky_relay(endpoint["device_listen"], seed=scene.seed * 100 + number))
    _send_through(data, relay.address)
    (data / "verifield-edge.toml").write_text("retention_days = 0\n")
    scene.relays.append(relay)
    ledger = scene.folder / f"ledger-{number}"
    scene.ledgers[device_id] = ledger
    share = scene.records // scene.devices
    scene.writers.append(
        Killable(
            f"writer {number}",
            [sys.executable, "-m", "benchmarks.soak_writer", str(data), str(ledger), str(share)],
            scene.folder / f"writer-{number}.log",
            ends=True,
        )
    )
    scene.daemons.append(
        Killable(
            f"daemon {number}",
            [command("verifield-edge"), "sync", "--data", str(data)],
            scene.folder / f"daemon-{number}.log",
        )
    )


def _send_through(data: Path, address: str) -> None:
    """Let the device call the relay instead of the service itself."""
    [identity] = (data / "identity").glob("id-*/identity.json")
    values = json.loads(identity.read_text())
    values["device_endpoint"] = address
    identity.write_text(json.dumps(values))


def run_faults(scene: Field, *, mean_s: float, bar: Any, task: Any) -> None:
    """Kill at random until every writer has done its share."""
    rng = random.Random(scene.seed)
    scene.ensure()
    strike = time.monotonic() + rng.expovariate(1 / mean_s)
    while not all(writer.done for writer in scene.writers):
        time.sleep(POLL_S)
        bar.update(task, completed=_written(scene))
        if time.monotonic() >= strike:
            rng.choice(scene.everybody()).kill()
            strike = time.monotonic() + rng.expovariate(1 / mean_s)
        scene.ensure()


def drain(scene: Field) -> None:
    """No more faults: everything has to arrive."""
    for relay in scene.relays:
        relay.calm.set()
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    waiting = [Path(writer.args[3]) for writer in scene.writers]
    while waiting:
        scene.service.ensure()
        for daemon in scene.daemons:
            daemon.ensure()
        stats = ask("verifield-edge", "outbox", "stats", "--data", str(waiting[0]))
        if stats["pending"] == 0 and stats["delivered"] == 0:
            waiting.pop(0)
            continue
        if time.monotonic() > deadline:
            raise RuntimeError(f"the backlog did not drain: {stats}")
        time.sleep(POLL_S)


def _written(scene: Field) -> int:
    line = 68
    return sum(path.stat().st_size // line for path in scene.ledgers.values() if path.exists())


@app.command()
def main(
    records: Annotated[int, typer.Option(help="In all.")] = 20_000,
    devices: Annotated[int, typer.Option(help="At the same time.")] = 3,
    seed: Annotated[int, typer.Option(help="Of kills and network faults.")] = 1,
    kill_every: Annotated[float, typer.Option(help="Mean seconds between kills.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    keep: Annotated[bool, typer.Option(help="Write the result to benchmarks/results/.")] = True,
) -> None:
    """Run to the end and report; exit status 1 where the oracle found anything wrong."""
    noise = Noise()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        scene = Field(Path(folder), seed, records, devices)
        started = time.monotonic()
        with opened(scene):
            run_faults(scene, mean_s=kill_every, bar=bar, task=bar.add_task("recording", total=records))
            faulty_s = time.monotonic() - started
            drain(scene)
            whole_s = time.monotonic() - started
        checking = bar.add_task("checking", total=records)
        finding = judge(
            scene.cloud / "verifield.db",
            (scene.cloud / "root.pem").read_bytes(),
            scene.ledgers,
            kills_of_writers=sum(writer.kills for writer in scene.writers),
            step=lambda count: bar.advance(checking, count),
        )
    figures = _figures(scene, finding, faulty_s=faulty_s, whole_s=whole_s)
    figures |= {"machine": describe_machine("grpcio", "cryptography", "sqlalchemy"), "noise": noise.stop()}
    publish("soak", "Records under faults", figures, [_sheet(figures)], as_json=as_json, keep=keep)
    sys.exit(0 if finding.holds else 1)


def _figures(scene: Field, finding: Finding, *, faulty_s: float, whole_s: float) -> dict[str, Any]:
    return {
        "records": scene.records,
        "devices": scene.devices,
        "seed": scene.seed,
        "seconds_under_faults": round(faulty_s, 1),
        "seconds_until_drained": round(whole_s, 1),
        "kills": {
            "service": scene.service.kills,
            "writers": sum(one.kills for one in scene.writers),
            "daemons": sum(one.kills for one in scene.daemons),
        },
        "crashes": sum(one.crashes for one in scene.everybody()),
        "network": {
            "cuts": sum(relay.cuts for relay in scene.relays),
            "stalls": sum(relay.stalls for relay in scene.relays),
            "refused": sum(relay.refused for relay in scene.relays),
        },
        "oracle": asdict(finding) | {"holds": finding.holds},
    }


def _sheet(figures: dict[str, Any]) -> Sheet:
    oracle, kills, network = figures["oracle"], figures["kills"], figures["network"]
    rows = (
        ("acknowledged by devices", f"{oracle['acknowledged']:,}"),
        ("in the service's chains", f"{oracle['in_cloud']:,}"),
        ("of these, never acknowledged (killed in between)", str(oracle["unacknowledged"])),
        ("lost", str(len(oracle["lost"]))),
        ("doubled", str(len(oracle["doubled"]))),
        ("broken", str(len(oracle["broken"]))),
        (
            "kills: service / writers / daemons",
            f"{kills['service']} / {kills['writers']} / {kills['daemons']}",
        ),
        ("processes that crashed by themselves", str(figures["crashes"])),
        (
            "network: cuts / stalls / refused",
            f"{network['cuts']} / {network['stalls']} / {network['refused']}",
        ),
        (
            "seconds under faults / until drained",
            f"{figures['seconds_under_faults']} / {figures['seconds_until_drained']}",
        ),
    )
    note = (
        f"{figures['devices']} devices with {figures['records']:,} records, seed {figures['seed']}. What is "
        "checked stands at the top of benchmarks/soak_oracle.py."
    )
    return Sheet("Records under faults", ("what", "count"), rows, note)


if __name__ == "__main__":
    app()
