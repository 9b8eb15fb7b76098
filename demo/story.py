"""The story: a device is enrolled, three people come, everything is delivered, and then the cloud goes away.

Nothing here decides anything. Each step runs a command as a user would and compares what it answered
with what was said; the first difference ends the story with an error.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape

from demo.processes import Service, StoryError, ask, wait_until

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
SITE = "demo-office"


@dataclass(frozen=True, slots=True)
class Act:
    """One person at the device: a scenario of the simulator (name or file) and the outcome it must have."""

    title: str
    scenario: str
    outcome: str


ACTS = (
    Act("the card's owner looks into the camera", "happy", "VERIFIED"),
    Act("somebody else comes with the same card", "impostor", "NOT_MATCHED"),
    Act("a printed photo of the owner is held up", "print", "SPOOF"),
)
OFFLINE_ACT = Act("the owner again, with the cloud switched off", "happy", "VERIFIED")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who comes while the cloud is there, and who comes while it is away."""

    acts: tuple[Act, ...] = ACTS
    offline: Act = OFFLINE_ACT


class Story:
    """Everything lives in one folder, which is made anew."""

    def __init__(self, folder: Path, console: Console, cast: Cast) -> None:
        self._folder = folder
        self._cast = cast
        self._console = console
        self._stack = ExitStack()
        self._expected: list[tuple[str, str]] = []  # attestation id, outcome or kind

    def tell(self) -> None:
        """Run it all.

        Raises:
            StoryError: a step was not as said.
        """
        started = time.monotonic()
        self._prepare()
        with self._stack:
            cloud = self._open_cloud(f"{LOOPBACK}:0", f"{LOOPBACK}:0")
            self._open_simulator()
            self._enroll()
            sync = self._start("verifield-edge", "sync", "--data", "device", log="sync.log")
            for act in self._cast.acts:
                self._play(act)
            self._check_delivered("all records reach the cloud")
            self._check_bundles()
            self._step("the cloud is switched off", cloud.stop)
            self._play(self._cast.offline)
            self._check_backlog()
            self._open_cloud(self._endpoints["listen"], self._endpoints["device_listen"])
            self._check_delivered("the backlog drains")
            self._check_bundles()
            if not sync.running:
                raise StoryError("the sync daemon ended while the cloud was away")
        self._say(f"[bold green]All as said[/], in {time.monotonic() - started:.1f} s.")
        self._say(f"Bundles: {self._folder}/bundles/*.bundle   Trust root: {self._folder}/root.pem")

    # The steps

    def _prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "bundles").mkdir(parents=True)

    def _open_cloud(self, listen: str, device_listen: str) -> Service:
        def start() -> Service:
            service = self._start(
                *("verifield-cloud", "serve", "--listen", listen),
                *("--device-listen", device_listen, "--data", "cloud"),
                log="cloud.log",
            )
            self._endpoints: dict[str, Any] = service.endpoints()
            return service

        service = self._step("the cloud service starts", start)
        shutil.copyfile(self._folder / "cloud" / "root.pem", self._folder / "root.pem")
        return service

    def _open_simulator(self) -> None:
        def start() -> dict[str, Any]:
            service = self._start(
                "verifield-sim", "--scenario", self._cast.acts[0].scenario, "--dir", "sim", log="sim.log"
            )
            return service.endpoints()

        self._sim = self._step("the simulated card reader and camera start", start)
        device = self._folder / "device"
        device.mkdir()
        settings = {
            "camera": self._sim["camera"],
            "reader_port": self._sim["reader"],
            "screen_url": self._sim["screen"],
            "photo_decoder": "simulator",
        }
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        (device / "verifield-edge.toml").write_text("".join(lines) + "allow_simulated_camera = true\n")

    def _enroll(self) -> None:
        def enroll() -> dict[str, Any]:
            token = self._cloud("join-token", "create", "--site", SITE)["join_token"]
            return self._edge(
                *("enroll", "--cloud", self._endpoints["listen"], "--root", "root.pem", "--token-file", "-"),
                stdin=token,
            )

        answer = self._step("the device is enrolled", enroll, lambda a: f"device {a['device_id'][:8]}")
        self._expected.append((answer["attestation_id"], "DEVICE_EVENT"))

    def _play(self, act: Act) -> None:
        self._control("scenario", {"name": Path(act.scenario).stem})
        self._say(f"[bold]{act.title}[/]")
        answer = self._step(
            "",
            lambda: self._edge("verify", expect=(0, 1), show_stderr=True),
            _verification_line,
        )
        if answer["outcome"] != act.outcome:
            raise StoryError(
                f"{act.title}: expected {act.outcome}, got {answer['outcome']} {answer['reasons']}"
            )
        self._expected.append((answer["attestation_id"], act.outcome))

    def _check_backlog(self) -> None:
        stats = self._edge("outbox", "stats")
        if stats["pending"] < 1:
            raise StoryError("the record made offline is not in the outbox")
        self._say(f"  [green]✓[/] {stats['pending']} record waits in the outbox, signed and durable")

    def _check_delivered(self, title: str) -> None:
        def drained() -> bool:
            stats = self._edge("outbox", "stats")
            return bool(stats["pending"] == 0 and stats["unconfirmed"] == 0)

        self._step(title, lambda: wait_until(title, drained))
        listed = self._cloud("attestations", "list")["attestations"]
        seen = sorted((row["seq"], row["attestation_id"], row["outcome"] or row["kind"]) for row in listed)
        expected = sorted((seq, *record) for seq, record in enumerate(self._expected, start=1))
        if seen != expected:
            raise StoryError(f"the cloud lists {seen}, expected {expected}")
        self._say(f"  [green]✓[/] the cloud lists exactly these {len(seen)}, in order, none twice:")
        for seq, attestation_id, what in seen:
            self._say(f"      {seq}  {attestation_id}  {what}")

    def _check_bundles(self) -> None:
        for attestation_id, what in self._expected:
            path = self._folder / "bundles" / f"{attestation_id}.bundle"
            if path.exists():
                continue
            self._cloud("attestations", "bundle", attestation_id, "--output", str(path))
            report = ask("verifield-verify", str(path), "--root", "root.pem", cwd=self._folder)
            if not report["ok"] or (report["outcome"] or report["kind"]) != what:
                raise StoryError(f"the bundle of {attestation_id} was not verified as {what}: {report}")
            self._say(f"  [green]✓[/] checked offline from its bundle: {report['headline']}")

    # Helpers

    def _start(self, *args: str, log: str) -> Service:
        service = Service.start(*args, cwd=self._folder, log=self._folder / "logs" / log)
        self._stack.callback(service.stop)
        return service

    def _edge(
        self, *args: str, expect: tuple[int, ...] = (0,), stdin: str = "", show_stderr: bool = False
    ) -> dict[str, Any]:
        return ask(
            *("verifield-edge", *args, "--data", "device"),
            cwd=self._folder,
            expect=expect,
            stdin=stdin,
            show_stderr=show_stderr,
        )

    def _cloud(self, *args: str) -> dict[str, Any]:
        return ask("verifield-cloud", *args, "--data", "cloud", cwd=self._folder)

    def _control(self, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the simulator's own loopback address
            f"{self._sim['control']}/{what}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            answer.read()

    def _step(
        self,
        title: str,
        work: Callable[[], T],
        detail: Callable[[T], str] | None = None,
    ) -> T:
        started = time.monotonic()
        result = work()
        seconds = time.monotonic() - started
        text = detail(result) if detail else ""
        what = ": ".join(part for part in (title, text) if part)
        self._say(f"  [green]✓[/] {what} [dim]({seconds:.1f} s)[/]")
        return result

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _verification_line(answer: dict[str, Any]) -> str:
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.2f} s" for stage in answer["stages"])
    reasons = f" ({', '.join(answer['reasons'])})" if answer["reasons"] else ""
    match = answer["match"]
    score = f" [score {match['score']:.2f}, needed {match['threshold']:.2f}]" if match else ""
    return f"[bold]{answer['outcome']}[/]{reasons}{escape(score)}: {stages}"
