"""An appliance left alone: sessions one after the other for hours, and nothing of it may grow.

python -m benchmarks.soak_edge --minutes 480
python -m benchmarks.soak_edge --minutes 1        # to try it

One process holds all sessions, as the office screen does (soak_edge_worker). Beside it run `verifield-edge
sync`, the simulator of reader and camera, and a service. People come in turn: the owner, somebody else with
the card, a print, nobody. After each session the process says what it holds: memory, threads, open files,
sockets. What it holds at the end is compared with what it held when it had warmed up.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from benchmarks.machine import ROOT, Noise, Sheet, describe_machine, publish, rss_mib_of
from demo.processes import Service, ask

ANY_PORT = "127.0.0.1:0"
TURN = ("happy", "impostor", "print", "happy", "empty")
"""Scenarios, in turn. `empty`: nobody and no card; the session ends by itself."""

WARM_SESSIONS = len(TURN)
"""Every kind of session once: what is loaded at first need is loaded then."""

CARD_TIMEOUT_S, CAPTURE_TIMEOUT_S = 3, 20
ANSWER_TIMEOUT_S = 300.0
WORKER_LOG = "worker.log"

MAX_GROWTH_MIB = 24.0
"""Of resident memory between the first warm sessions and the last ones: the allocator's breathing."""

MAX_GROWTH_MIB_PER_HOUR = 4.0
"""Over hours: what leaks a page a session shows."""

MAX_MORE_THREADS = MAX_MORE_FILES = MAX_MORE_SOCKETS = 0
"""Between sessions nothing is left open that was not open after the first ones."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds. ``at_s``: since the start."""

    at_s: float
    outcome: str
    rss_mib: float
    threads: int
    files: int
    sockets: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that may not grow."""

    what: str
    warm: float
    end: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.end - self.warm <= self.limit


def judge(held: list[Held], *, hours: float) -> list[Finding]:
    """Compare medians of the first warm and of the last sessions; for threads and files the least ones."""
    warm = held[WARM_SESSIONS : 2 * WARM_SESSIONS] or held
    last = held[-WARM_SESSIONS:]

    def middle(name: str, some: list[Held]) -> float:
        return float(statistics.median(getattr(one, name) for one in some))

    def least(name: str, some: list[Held]) -> float:
        return float(min(getattr(one, name) for one in some))

    memory = max(MAX_GROWTH_MIB, MAX_GROWTH_MIB_PER_HOUR * hours)
    return [
        Finding("resident MiB", middle("rss_mib", warm), middle("rss_mib", last), memory),
        Finding("threads", least("threads", warm), least("threads", last), MAX_MORE_THREADS),
        Finding("open files", least("files", warm), least("files", last), MAX_MORE_FILES),
        Finding("sockets", least("sockets", warm), least("sockets", last), MAX_MORE_SOCKETS),
    ]


@dataclass(slots=True)
class Field:
    """A service, a device that is enrolled with it, and who comes to it."""

    folder: Path
    simulator: dict[str, Any]
    sync: Service
    worker: subprocess.Popen[str]
    began: float

    def session(self, scenario: str) -> Held:
        body = json.dumps({"name": scenario}).encode()
        request = urllib.request.Request(self.simulator["control"] + "/scenario", body, method="POST")
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S):
            pass
        said = exchange(self.worker, scenario, log=self.folder / WORKER_LOG)
        return Held(time.monotonic() - self.began, **said)


def exchange(worker: subprocess.Popen[str], line: str, *, log: Path) -> dict[str, Any]:
    """Ask for one session, and wait for what the worker says behind it."""
    stdin, stdout = _pipe(worker.stdin), _pipe(worker.stdout)
    stdin.write(f"{line}\n")
    stdin.flush()
    said = stdout.readline()
    if not said:
        print(log.read_text(encoding="utf-8")[-2000:], file=sys.stderr)
        raise SystemExit(f"the process that holds sessions has ended with status {worker.wait()}")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def open_field(folder: Path, stack: ExitStack) -> Field:
    """Start and enrol everything; ``stack`` ends it."""

    def start(*command: str) -> Service:
        service = Service.start(*command, cwd=folder, log=folder / f"{command[0]}-{command[1]}.log")
        stack.callback(_stop, service)
        return service

    cloud = start(
        "verifield-cloud", "serve", "--listen", ANY_PORT, "--device-listen", ANY_PORT, "--data", "cloud"
    )
    endpoints = cloud.endpoints()
    simulator = start("verifield-sim", "--scenario", TURN[0], "--dir", "sim").endpoints()
    device = folder / "device"
    device.mkdir()
    settings = {
        "camera": simulator["camera"],
        "reader_port": simulator["reader"],
        "screen_url": simulator["screen"],
    }
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
    lines += ['photo_decoder = "simulator"\n', "allow_simulated_camera = true\n"]
    lines += [f"card_timeout_s = {CARD_TIMEOUT_S}\n", f"capture_timeout_s = {CAPTURE_TIMEOUT_S}\n"]
    (device / "verifield-edge.toml").write_text("".join(lines))
    token = ask(
        "verifield-cloud",
        "join-token",
        "create",
        "--site",
        "soak",
        "--waive-approval",
        "--data",
        "cloud",
        cwd=folder,
    )
    root = ("--root", "cloud/root.pem", "--token-file", "-", "--data", "device")
    ask(
        "verifield-edge",
        "enroll",
        "--cloud",
        endpoints["listen"],
        *root,
        cwd=folder,
        stdin=token["join_token"],
    )
    sync = start("verifield-edge", "sync", "--data", "device")
    log = stack.enter_context((folder / WORKER_LOG).open("w"))
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.soak_edge_worker", "--data", str(device)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    stack.callback(_end, worker)
    return Field(folder, simulator, sync, worker, time.monotonic())


def _stop(service: Service) -> None:
    """Ask to end, and give more time than the story does: the machine may be busy with other things."""
    with suppress(ProcessLookupError):
        os.kill(service.pid, signal.SIGTERM)
    until = time.monotonic() + ANSWER_TIMEOUT_S
    while service.running and time.monotonic() < until:
        time.sleep(0.2)
    service.stop()


def _end(worker: subprocess.Popen[str]) -> None:
    _pipe(worker.stdin).close()
    worker.wait(ANSWER_TIMEOUT_S)
    _pipe(worker.stdout).close()


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the result under results/.")] = False,
) -> None:
    """Leave an appliance alone; status 1 where something of it has grown, or records have not arrived."""
    noise, machine = Noise(), describe_machine("opencv-python", "onnxruntime", "numpy", "numba")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-edge-")))
        field = open_field(folder, stack)
        held: list[Held] = []
        sync_mib = [rss_mib_of(field.sync.pid)]
        until = field.began + 60 * minutes
        while time.monotonic() < until or len(held) <= WARM_SESSIONS:
            held.append(field.session(TURN[len(held) % len(TURN)]))
            sync_mib.append(rss_mib_of(field.sync.pid))
        hours = held[-1].at_s / 3600
        findings = judge(held, hours=hours)
        settled = sync_mib[WARM_SESSIONS:]
        memory = max(MAX_GROWTH_MIB, MAX_GROWTH_MIB_PER_HOUR * hours)
        findings.append(Finding("resident MiB of sync", settled[0], settled[-1], memory))
        ask("verifield-edge", "sync", "--once", "--data", "device", cwd=folder)
        stats = ask("verifield-edge", "outbox", "stats", "--data", "device", cwd=folder)
        findings.append(Finding("records without receipt", 0, stats["unconfirmed"], 0))
    figures = {
        "minutes": round(held[-1].at_s / 60, 1),
        "sessions": len(held),
        "outcomes": dict(Counter(one.outcome for one in held)),
        "findings": [asdict(one) | {"holds": one.holds} for one in findings],
        "machine": machine,
        "noise": noise.stop(),
    }
    rows = [
        (one.what, f"{one.warm:.1f}", f"{one.end:.1f}", f"+{one.limit:g}", "yes" if one.holds else "NO")
        for one in findings
    ]
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(figures["outcomes"].items()))
    note = f"{len(held)} sessions in {figures['minutes']} minutes: {outcomes}."
    sheets = [Sheet("An appliance left alone", ("what", "warm", "end", "limit", "holds"), rows, note)]
    publish("soak_edge", "An appliance left alone", figures, sheets, as_json=as_json, keep=keep)
    if not all(one.holds for one in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
