"""The story: a device is let in, three people come, everything is delivered, and then the cloud goes away.

Nothing here decides anything. Each step runs a command as a user would and compares what it answered
with what was said; the first difference ends the story with an error.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape

from demo.processes import Service, StoryError, ask, ask_and_stop, ask_lines, wait_until

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
ANY_PORT = f"{LOOPBACK}:0"
SITE = "demo-office"
STICK = "stick"
KEPT = ["best_shot", "document_photo"]
STOPPED = 130  # exit status of a command that a person stopped
OWN_EVENTS = 2  # of the device about itself: the first camera and the first card reader that it saw
FETCHES = 4  # commands that fetch bundles at once


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
        self._acts: list[tuple[str, str]] = []  # attestation id, outcome or kind; in the chain's order

    def tell(self) -> None:
        """Run it all.

        Raises:
            StoryError: a step was not as said.
        """
        started = time.monotonic()
        self._prepare()
        with self._stack:
            cloud = self._open_cloud(ANY_PORT, ANY_PORT)
            home = self._endpoints
            self._open_simulator()
            self._publish_policy()
            self._enroll()
            sync = self._start("verifield-edge", "sync", "--data", "device", log="sync.log")
            for act in self._cast.acts:
                self._play(act)
            self._check_bundles(self._check_delivered("all records reach the cloud"))
            self._step("the cloud is switched off", cloud.stop)
            self._play(self._cast.offline)
            self._check_backlog()
            self._carry_by_hand()
            self._walk_away()
            self._check_backlog()
            self._open_cloud(home["listen"], home["device_listen"])
            self._step("asked to deliver now, the device does", lambda: self._edge("sync", "--once"))
            self._check_bundles(self._check_delivered("the backlog is gone"))
            if not sync.running:
                raise StoryError("the sync daemon ended while the cloud was away")
        self._say(f"[bold green]All as said[/], in {time.monotonic() - started:.1f} s.")
        self._say(f"Bundles: {self._folder}/bundles/*.bundle   Trust root: {self._folder}/root.pem")

    # The steps

    def _prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("bundles", STICK):
            (self._folder / name).mkdir(parents=True)

    def _open_cloud(
        self, listen: str, device_listen: str, title: str = "the cloud service starts"
    ) -> Service:
        def start() -> Service:
            service = self._start(
                *("verifield-cloud", "serve", "--listen", listen),
                *("--device-listen", device_listen, "--data", "cloud"),
                log="cloud.log",
            )
            self._endpoints: dict[str, Any] = service.endpoints()
            return service

        service = self._step(title, start)
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

    def _publish_policy(self) -> None:
        """Rules for every device: here, that a session's pictures are kept, for the service's eyes only."""

        def publish() -> dict[str, Any]:
            policy = self._cloud("policies", "template")
            policy["media"] = {"keep": KEPT}
            (self._folder / "policy.json").write_text(json.dumps(policy))
            return self._cloud("policies", "publish", "policy.json")

        self._policy = self._step(
            "the operator publishes a policy", publish, lambda a: f"version {a['version']}"
        )["sha256"]

    def _enroll(self) -> None:
        def apply() -> dict[str, Any]:
            token = self._cloud("join-token", "create", "--site", SITE)["join_token"]
            return self._edge(
                *("enroll", "--cloud", self._endpoints["listen"], "--root", "root.pem", "--token-file", "-"),
                expect=(1,),
                stdin=token,
            )

        def approve(shown: dict[str, Any]) -> str:
            waiting = self._cloud("devices", "list", "--state", "pending")["devices"]
            if [(row["device_id"], row["key_sha256"]) for row in waiting] != [
                (shown["device_id"], shown["key_sha256"])
            ]:
                raise StoryError(f"the device shows {shown}, and at the cloud wait {waiting}")
            device = self._cloud(
                "devices", "approve", shown["device_id"], "--fingerprint", shown["key_sha256"]
            )
            if device["state"] != "ACTIVE":
                raise StoryError(f"the device is approved and still {device['state']}")
            return f"{shown['key_sha256'][:16]}..."

        shown = self._step(
            "the device makes its keys, and waits for a person",
            apply,
            lambda a: f"device {a['device_id'][:8]}",
        )
        self._step("the operator compares the key's fingerprint and approves it", lambda: approve(shown), str)
        answer = self._step("the device is enrolled", lambda: self._edge("enroll"))
        if (answer["state"], answer["device_id"]) != ("ACTIVE", shown["device_id"]):
            raise StoryError(f"the device was approved, but enrolled as {answer}")
        self._acts.append((answer["attestation_id"], "DEVICE_EVENT"))
        self._step("its first contact with the cloud", lambda: self._edge("sync", "--once"))
        policy = self._edge("policy", "show")["sha256"]
        if policy != self._policy:
            raise StoryError(f"the device decides by policy {policy}, published was {self._policy}")

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
        self._acts.append((answer["attestation_id"], act.outcome))

    def _walk_away(self) -> None:
        """An attempt that is broken off is signed like any other: nobody tries until it fits, unseen."""

        def stop() -> dict[str, Any]:
            args = ("verifield-edge", "verify", "--data", "device")
            return ask_and_stop(*args, cwd=self._folder, when="Look into the camera", expect=STOPPED)

        self._control("scenario", {"name": Path(self._cast.offline.scenario).stem})
        self._say("[bold]the owner walks away; the attempt is stopped[/]")
        self._step("stopped, and recorded all the same", stop)
        newest = self._edge("outbox", "list", "--limit", "1")["records"][0]["attestation_id"]
        outcome = self._edge("outbox", "show", newest)["statement"]["outcome"]
        if outcome != "OUTCOME_ABORTED":
            raise StoryError(f"the stopped attempt was recorded as {outcome}")
        self._acts.append((newest, "ABORTED"))

    def _carry_by_hand(self) -> None:
        """The cloud is on again, but not for the device: its records travel on a stick, and receipts back."""
        cloud = self._open_cloud(ANY_PORT, ANY_PORT, "the cloud is back, where the device cannot reach it")
        there, back = f"{STICK}/records.verifield", f"{STICK}/answer.verifield"
        self._step(
            "the device writes its records on a stick",
            lambda: self._edge("export", there),
            lambda a: f"{a['records']} record, {a['files']} pictures",
        )
        summary = self._step(
            "the operator imports them, and writes the answer on the stick",
            lambda: self._cloud("import", there, "--out", back),
            lambda a: f"{a['accepted']} accepted",
        )
        if (summary["records"], summary["accepted"]) != (1, 1):
            raise StoryError(f"one record was carried to the cloud, which says {summary}")
        again = self._step(
            "and once more, by mistake",
            lambda: self._cloud("import", there, "--out", f"{STICK}/again.verifield"),
            lambda a: f"{a['accepted']} accepted, {a['already_here']} already there",
        )
        if (again["accepted"], again["already_here"]) != (0, 1):
            raise StoryError(f"the same file again was taken as {again}")
        self._step("the device reads the answer: a receipt, although there was no network", self._take_answer)
        self._step("the cloud is switched off", cloud.stop)

    def _take_answer(self) -> None:
        self._edge("import", f"{STICK}/answer.verifield")
        stats = self._edge("outbox", "stats")
        if stats["unconfirmed"] or stats["media_pending"]:
            raise StoryError(f"the answer did not confirm all: {stats}")

    def _check_backlog(self) -> None:
        stats = self._edge("outbox", "stats")
        if stats["pending"] != 1:
            raise StoryError(f"one record was made offline, and {stats['pending']} wait in the outbox")
        self._say(f"  [green]✓[/] {stats['pending']} record waits in the outbox, signed and durable")

    def _check_delivered(self, title: str) -> list[tuple[str, str]]:
        def drained() -> bool:
            stats = self._edge("outbox", "stats")
            return bool(stats["unconfirmed"] == 0 and stats["media_pending"] == 0)

        self._step(title, lambda: wait_until(title, drained))
        recorded = self._recorded()
        seen = self._check_listed(recorded)
        self._say(f"  [green]✓[/] the cloud lists exactly these {len(seen)}, in order, none twice:")
        for seq, attestation_id, what in seen:
            self._say(f"      {seq}  {attestation_id}  {what}")
        return recorded

    def _recorded(self) -> list[tuple[str, str]]:
        """The device's records in the chain's order: those of the acts, and between them its own events."""
        records = self._edge("outbox", "list")["records"]
        acts = dict(self._acts)
        found = [
            (row["attestation_id"], acts.get(row["attestation_id"], "DEVICE_EVENT"))
            for row in reversed(records)
        ]
        if [one for one in found if one[0] in acts] != self._acts or len(found) != len(acts) + OWN_EVENTS:
            raise StoryError(f"the device has recorded {found}, expected {self._acts}")
        return found

    def _check_listed(self, recorded: list[tuple[str, str]]) -> list[tuple[int, str, str]]:
        listed = self._cloud("attestations", "list")["attestations"]
        seen = sorted((row["seq"], row["attestation_id"], row["outcome"] or row["kind"]) for row in listed)
        expected = [(seq, *record) for seq, record in enumerate(recorded, start=1)]
        if seen != expected:
            raise StoryError(f"the cloud lists {seen}, expected {expected}")
        alarms = self._cloud("alarms", "list")["alarms"]
        if alarms:
            raise StoryError(f"nothing was wrong, and the cloud raised {alarms}")
        return seen

    def _check_bundles(self, recorded: list[tuple[str, str]]) -> None:
        """Fetch those that are not here yet, and check each with nothing but the root."""
        files = {record: f"bundles/{record}.bundle" for record, _ in recorded}
        new = [(record, what) for record, what in recorded if not (self._folder / files[record]).exists()]
        with ThreadPoolExecutor(FETCHES) as pool:
            fetch = [
                pool.submit(self._cloud, "attestations", "bundle", record, "--output", files[record])
                for record, _ in new
            ]
            for one in fetch:
                one.result()
        bundles = [files[record] for record, _ in new]
        reports = ask_lines("verifield-verify", *bundles, "--root", "root.pem", cwd=self._folder)
        said: Counter[str] = Counter()
        for (record, what), report in zip(new, reports, strict=True):
            found = (report["attestation_id"], report["outcome"] or report["kind"])
            if not report["ok"] or found != (record, what):
                raise StoryError(f"the bundle of {record} was not verified as {what}: {report}")
            said[report["headline"]] += 1
        for headline, count in said.items():
            times = f" [dim]({count} of them)[/]" if count > 1 else ""
            self._say(f"  [green]✓[/] checked offline from its bundle: {headline}{times}")

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
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
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
