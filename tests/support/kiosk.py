"""A real kiosk with simulated hardware: an enrolled device, `verifield-sim`, `verifield-edge kiosk`.

    with kiosk_room(folder, model_store) as room:
        room.scene("happy"); page.goto(room.url)

The cloud serves the enrolment, and is away afterwards unless ``cloud=True`` keeps it. Clerk, supervisor,
consent, notice and telephone number are made up.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.processes import Service, ask, wait_until
from edge.app import open_identity, open_outbox, open_state
from edge.attest.clock import SystemClock
from edge.config import EdgeConfig, load_config
from edge.model import Role
from edge.operators.service import Operators
from edge.policy import Policy
from tests.support.cloud import RunningCloud, running_cloud
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1.attestation_pb2 import Statement

CLERK, CLERK_PIN = "Li Wei", "482915"
SUPERVISOR, SUPERVISOR_PIN = "Ana Ruiz", "731864"
SITE = "kiosk-office"
PHONE = "13800138000"

CONSENT = {
    "zh": "我们将读取您的身份证，用摄像头确认您本人在场，并与证件照片比对。\n"
    "结果会签名保存在本设备，联网后上传。您可以随时要求停止。\n您同意吗？",
    "es": "Leeremos su documento, comprobaremos con la cámara que es usted y compararemos su cara con "
    "la foto.\nEl resultado queda firmado en este dispositivo y se envía cuando haya red. Puede parar "
    "cuando quiera.\n¿Está de acuerdo?",
    "en": "We read your ID card, check with the camera that it is you, and compare your face "
    "with the photo.\nThe result is signed on this device, and sent once there is a network. You may stop "
    "at any time.\nDo you agree?",
}
NOTICE = {
    "zh": "请妥善保管回执编号。工作人员不会向您索要密码或验证码。",
    "es": "Guarde el número del recibo. Nadie del personal le pedirá contraseñas ni códigos.",
    "en": "Keep the number of your receipt. No member of staff will ask for passwords or codes.",
}
WHOLE_SESSION: dict[str, Any] = {
    "steps": [
        "SESSION_STEP_CONSENT",
        "SESSION_STEP_EARLIER_RECORDS",
        "SESSION_STEP_CUSTOMER_DATA",
        "SESSION_STEP_NOTICE",
        "SESSION_STEP_SIGNATURE",
    ],
    "stepTimeout": "120s",
    "consent": {"textId": "consent", "byLanguage": CONSENT},
    "notices": [{"textId": "notice", "byLanguage": NOTICE}],
    "customerFields": ["phone"],
}
"""All that a policy may ask of people."""

TURNS_ONLY: dict[str, Any] = {"challenges": ["CHALLENGE_KIND_TURNS"], "turns": 2}
"""A light challenge is answered in tenths of a second, for which the tests' machine may be too busy."""

SHORT_SESSION: dict[str, Any] = {"stepTimeout": "120s"}
"""Card, face, result."""


@dataclass
class KioskRoom:
    """``url``: the launch address. ``cloud``: None where it is away."""

    folder: Path
    sim: dict[str, Any]
    url: str
    service: Service
    cloud: RunningCloud | None = None

    @property
    def data(self) -> Path:
        return self.folder / "device"

    @property
    def settings(self) -> EdgeConfig:
        return load_config(None, data_dir=self.data)

    @property
    def origin(self) -> str:
        return self.url.partition("/enter")[0]

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    def scene(self, name: str) -> None:
        """Let another scenario begin: the card on the reader and the person before the camera."""
        self._control("scenario", {"name": name})

    def write_scene(self, name: str, text: str) -> None:
        """Make a scenario of this room, for :meth:`scene`."""
        (self.folder / f"{name}.toml").write_text(text)

    def card(self, action: str) -> None:
        """``place`` or ``lift``."""
        self._control("card", {"action": action})

    def card_of(self, portrait: str) -> None:
        """Lay down the card of one of the simulator's people."""
        self._control("card", {"action": "place", "portrait": portrait})

    def camera(self, action: str) -> None:
        """``unplug``, ``busy``, ``freeze``, ``black`` or ``replug``."""
        self._control("camera", {"action": action})

    def edge(self, *words: str, expect: tuple[int, ...] = (0,), stdin: str = "") -> dict[str, Any]:
        """One of the device's own commands, with ``--json``."""
        command = ("verifield-edge", *words, "--data", "device")
        return ask(*command, cwd=self.folder, expect=expect, stdin=stdin)

    def statements(self) -> list[Statement]:
        """What was recorded, newest first."""
        settings = self.settings
        with open_outbox(settings, open_identity(settings)) as outbox:
            return [parse_statement(parse_envelope(one.envelope).payload) for one in outbox.newest(limit=100)]

    def _control(self, what: str, values: Mapping[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.sim['control']}/{what}",
            data=json.dumps(values).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


@contextmanager
def kiosk_room(
    folder: Path,
    *,
    session: Mapping[str, Any] = WHOLE_SESSION,
    liveness: Mapping[str, Any] = TURNS_ONLY,
    media: Mapping[str, Any] | None = None,
    operators: bool = True,
    cloud: bool = False,
    settings: Mapping[str, Any] | None = None,
    options: Sequence[str] = (),
) -> Iterator[KioskRoom]:
    """Set a device up and serve its kiosk. ``settings``: more of the device's; ``options``: the command's."""
    with ExitStack() as opened:
        first = folder / "first.toml"
        first.write_text('seed = 1\n[person]\nkind = "none"\n')
        simulator = Service.start(
            *("verifield-sim", "--scenario", str(first), "--dir", "sim"),
            cwd=folder,
            log=folder / "logs" / "sim.log",
        )
        opened.callback(simulator.stop)
        sim = simulator.endpoints()
        _write_settings(folder / "device", sim, settings or {})
        cloud_opened = opened.enter_context(ExitStack())
        running = cloud_opened.enter_context(running_cloud(folder / "cloud"))
        _enroll(folder, running, {"session": dict(session), "liveness": dict(liveness), "media": media})
        if not cloud:
            cloud_opened.close()
        if operators:
            add_operators(load_config(None, data_dir=folder / "device"))
        service = start_kiosk(folder, *options)
        opened.callback(_stop, service)
        url = service.endpoints()["url"]
        yield KioskRoom(folder, sim, url, service, running if cloud else None)


def start_kiosk(folder: Path, *options: str) -> Service:
    """The kiosk's process on the device in ``folder``; its ``endpoints`` say where it is."""
    command = ("verifield-edge", "kiosk", "--port", "0", "--json", "--data", "device", *options)
    return Service.start(*command, cwd=folder, log=folder / "logs" / "kiosk.log")


def _stop(service: Service) -> None:
    """Patiently: a session under way is signed and stored first, on a machine that may be busy."""
    if service.running:
        os.kill(service.pid, signal.SIGTERM)
    wait_until("the kiosk ends", lambda: not service.running, timeout_s=120.0)
    service.stop()


def add_operators(settings: EdgeConfig) -> None:
    """A clerk and a supervisor."""
    identity = open_identity(settings)
    with open_state(settings, identity) as state:
        operators = Operators(
            state.operators,
            key_store=identity.key_store,
            clock=SystemClock(),
            live_live=Policy().match.live_live,
        )
        operators.add(CLERK, Role.CLERK, pin=CLERK_PIN)
        operators.add(SUPERVISOR, Role.SUPERVISOR, pin=SUPERVISOR_PIN)


def _write_settings(device: Path, sim: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    device.mkdir(mode=0o700)
    settings = {
        "camera": sim["camera"],
        "reader_port": sim["reader"],
        "screen_url": sim["screen"],
        "photo_decoder": "simulator",
        "allow_simulated_camera": True,
        "capture_timeout_s": 120.0,  # the tests' machine may be five times slower than a person is patient
        "card_timeout_s": 120.0,
        **more,
    }
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
    (device / "verifield-edge.toml").write_text("".join(lines))


def _enroll(folder: Path, cloud: RunningCloud, rules: Mapping[str, Any]) -> None:
    data = str(cloud.data)
    policy = ask("verifield-cloud", "policies", "template", "--data", data, cwd=folder)
    liveness = {**policy["liveness"], **rules["liveness"]}
    policy = policy | {"session": rules["session"], "liveness": liveness}
    policy |= {"media": dict(rules["media"])} if rules["media"] else {}
    (folder / "policy.json").write_text(json.dumps(policy))
    ask("verifield-cloud", "policies", "publish", "policy.json", "--data", data, cwd=folder)
    words = ("enroll", "--cloud", cloud.endpoint.listen, "--root", str(cloud.data / "root.pem"))
    command = ("verifield-edge", *words, "--token-file", "-", "--data", "device")
    ask(*command, cwd=folder, stdin=cloud.join_token(SITE))
    ask("verifield-edge", "sync", "--once", "--data", "device", cwd=folder)
