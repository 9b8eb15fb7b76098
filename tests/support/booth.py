"""A simulated camera with its faults, a screen and a card, in virtual time, around the real pipeline.

    booth = Booth.with_person("live", "astronaut", faults=[CameraFault(UNPLUG, (2, 2), (3, 3))])
    verification = booth.pipeline(vision).run()

Its clock moves by one frame with each look, and by the time that somebody waits.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from edge.answers import EarlierRecord
from edge.capture.latest import camera_lost
from edge.capture.steady import SteadyCamera
from edge.desk import ScriptedDesk
from edge.errors import HardwareError
from edge.face_capture import Eyes
from edge.interview import Interview
from edge.liveness.challenge import NONCE_BYTES, new_challenge
from edge.model import (
    CameraAssurance,
    Colour,
    Decision,
    DocumentType,
    Evidence,
    Frame,
    IdDocument,
    Prompt,
    Validity,
)
from edge.outbox.records import RecordState, StoredRecord
from edge.pipeline import Guard, Pipeline
from edge.policy import LivenessPolicy, Policy
from edge.ports import Camera, Screen
from edge.reader.photo import SimulatorPhotoDecoder
from edge.screen import Screens
from edge.session.plan import plan_session
from edge.vision import Vision
from tests.support.clocks import ManualClock
from tests.support.evidence import DOCUMENT
from tests.support.liveness import QUICK
from verifield_sim import portraits
from verifield_sim.camera import CameraAway, CameraFault, CameraFaultKind, FaultyCamera, Scene

FPS = 12
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def card_of(portrait: str) -> IdDocument:
    photo = SimulatorPhotoDecoder().decode(
        portraits.encode_chip_photo(portraits.id_photo(portraits.load(portrait)))
    )
    assert photo is not None
    return dataclasses.replace(DOCUMENT, photo=photo)


def nonces_to_the_left() -> Iterator[bytes]:
    """One after the other, each asking for turns to the left only: there simulated heads turn well over the
    limit, to the right just so, and which way it goes is no matter here."""
    for number in itertools.count(1):
        nonce = number.to_bytes(NONCE_BYTES, "big")
        if Prompt.TURN_RIGHT not in new_challenge(nonce, LivenessPolicy()):
            yield nonce


@dataclass
class SceneCamera:
    """Implements ``ports.Camera`` over a scene: each look is one frame later."""

    sim: FaultyCamera
    clock: ManualClock
    fps: float = FPS
    began: float = 0.0
    number: int = 0
    closed: bool = False

    camera_id = "scene"
    assurance = CameraAssurance.SIMULATED

    def read(self, timeout_s: float) -> Frame:
        assert not self.closed
        self.clock.advance(1 / self.fps)
        self.number += 1
        try:
            pixels = self.sim.frame(self.clock.now_s - self.began)
        except CameraAway as away:
            raise camera_lost(str(away)) from away
        return Frame(pixels, self.clock.now_s, self.number)

    def close(self) -> None:
        self.closed = True


@dataclass
class Watched:
    """Implements ``ports.Camera``: remembers every frame that was handed on to be judged."""

    camera: Camera
    frames: list[Frame] = field(default_factory=list)

    @property
    def camera_id(self) -> str:
        return self.camera.camera_id

    @property
    def assurance(self) -> CameraAssurance:
        return self.camera.assurance

    def read(self, timeout_s: float) -> Frame:
        self.frames.append(self.camera.read(timeout_s))
        return self.frames[-1]

    def close(self) -> None:
        self.camera.close()


class NobodyEarlier:
    """Implements ``ports.EarlierRecords`` of a device that has seen nobody."""

    def pseudonym(self, document_type: DocumentType, number: str) -> str:
        return "nobody"

    def earlier(self, pseudonym: str) -> list[EarlierRecord]:
        return []

    def note_earlier(self, pseudonym: str, record: EarlierRecord) -> None:
        """Nothing is kept."""


class Booth:
    """Implements ``ports.Screen`` and ``ports.CardReader`` before one scene, and keeps what happens."""

    sam_id = DOCUMENT.reader_sam_id

    def __init__(
        self, scene: Scene, *, card: str, faults: Sequence[CameraFault] = (), camera: Camera | None = None
    ) -> None:
        self.clock = ManualClock()
        self.began = self.clock.now_s
        self.scene = scene
        self.document = card_of(card)
        self.sim = FaultyCamera(scene, faults, seed=7)
        self.camera = Watched(camera or self._steady())
        self.shown: list[tuple[float, Prompt]] = []
        self.lights: list[tuple[float, Colour | None]] = []
        self.attested: list[Decision] = []
        self.nonces: list[bytes] = []
        self._fresh = nonces_to_the_left()

    @classmethod
    def with_person(
        cls,
        kind: Literal["live", "print", "none"],
        portrait: str,
        *,
        card: str = "",
        faults: Sequence[CameraFault] = (),
        seed: int = 7,
    ) -> Booth:
        scene = Scene(kind, None if kind == "none" else portraits.load(portrait), seed=seed)
        return cls(scene, card=card or portrait, faults=faults)

    @property
    def now(self) -> float:
        """Seconds since the scene began."""
        return self.clock.now_s - self.began

    def show(self, prompt: Prompt) -> None:
        self.shown.append((self.now, prompt))
        self.scene.show(prompt.value, self.now)

    can_light = True

    def light(self, colour: Colour | None) -> None:
        self.lights.append((self.now, colour))
        self.scene.light(colour, self.now)

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        return self.document

    def close(self) -> None:
        """Nothing to close."""

    def told(self, prompt: Prompt) -> list[float]:
        """When the person was told so."""
        return [at for at, shown in self.shown if shown is prompt]

    def eyes(self, vision: Vision, policy: Policy) -> Eyes:
        return Eyes(
            self.camera, vision, Screens([self]), policy, lambda: self.clock.now_s, allow_simulated=True
        )

    def pipeline(
        self,
        vision: Vision,
        *,
        policy: Policy | None = None,
        capture_timeout_s: float = 40.0,
        is_locked: Callable[[], bool] = lambda: False,
    ) -> Pipeline:
        policy = policy or Policy(liveness=QUICK)
        plan = plan_session(policy, card_timeout_s=1.0, capture_timeout_s=capture_timeout_s)
        return Pipeline(
            reader=self,
            eyes=self.eyes(vision, policy),
            interview=Interview(ScriptedDesk(), plan, policy, earlier=NobodyEarlier()),
            gallery=None,
            guard=Guard(
                check_ready=lambda: None,
                is_locked=is_locked,
                note_begun=lambda _: None,
                judge_document=lambda _: Validity.VALID,
                note_activity=lambda _: True,
            ),
            attest=self._attest,
            plan=plan,
            random=self._random,
            card_timeout_s=1.0,
            capture_timeout_s=capture_timeout_s,
        )

    def _steady(self) -> SteadyCamera:
        return SteadyCamera(self._open(), reopen=self._open, clock=self.clock, wait=self.clock.advance)

    def _open(self) -> SceneCamera:
        match self.sim.fault(self.now):
            case CameraFaultKind.UNPLUG:
                raise HardwareError("NO_CAMERA", "There is no camera.")
            case CameraFaultKind.BUSY:
                raise HardwareError("CAMERA_BUSY", "Another program uses it.")
        return SceneCamera(self.sim, self.clock, began=self.began)

    def _random(self, count: int) -> bytes:
        self.nonces.append(next(self._fresh)[:count])
        return self.nonces[-1]

    def _attest(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        self.attested.append(decision)
        return StoredRecord("id", 1, len(self.attested), b"", b"", RecordState.PENDING, "", WHEN)
