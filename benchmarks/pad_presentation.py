"""One presentation of the liveness suite: the product's capture before the simulated camera, in virtual time.

The camera, the screen and the clock are simulated; everything else is what an appliance runs: detection,
quality, guidance, challenges, passive signals, injection signs, fusion and the comparison with the card's
photo. Frames that look made up count as they do in production, where none are allowed.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np

from edge.face_capture import Eyes, FaceCapture
from edge.match.score import match
from edge.model import CameraAssurance, Colour, Embedding, Frame, LivenessDecision, Prompt
from edge.policy import LIVE_CHIP_PHOTO, Policy
from edge.reader.photo import SimulatorPhotoDecoder
from edge.vision import Vision
from verifield_sim import portraits
from verifield_sim.camera import PersonKind, Scene

JITTER_S = 0.0015  # of bus and scheduler
FPS = 15.0  # what an appliance with two slow cores keeps up with
TIME_LIMIT_S = 40.0
BEGAN_S = 100.0

Verdict = Literal["accepted", "attack", "inconclusive"]
VERDICTS: dict[LivenessDecision, Verdict] = {
    LivenessDecision.LIVE: "accepted",
    LivenessDecision.ATTACK: "attack",
    LivenessDecision.INSUFFICIENT: "inconclusive",
}


@dataclass(frozen=True, slots=True)
class Presented:
    """``seconds``: from the face in view to the verdict. ``matches``: the face and the photo on the card."""

    kind: str
    portrait: str
    seed: int
    verdict: Verdict
    reasons: tuple[str, ...]
    seconds: float
    frames: int
    matches: bool
    score: float | None
    experts: dict[str, float | None]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Presented:
        return cls(**(told | {"reasons": tuple(told["reasons"])}))


@dataclass(slots=True)
class Stage:
    """Implements ``ports.Camera`` and ``ports.Screen`` before a scene; its clock moves with each look."""

    scene: Scene
    jitter: np.random.Generator
    now: float = BEGAN_S
    number: int = 0
    shown: list[Prompt] = field(default_factory=list)

    camera_id = "stage"
    assurance = CameraAssurance.SIMULATED
    can_light = True

    def read(self, timeout_s: float) -> Frame:  # noqa: ARG002 - the port has it
        self.now += 1.0 / FPS + float(np.clip(self.jitter.normal(0.0, JITTER_S), -0.01, 0.01))
        self.number += 1
        return Frame(self.scene.frame(self.now - BEGAN_S), self.now, self.number)

    def show(self, prompt: Prompt) -> None:
        self.shown.append(prompt)
        self.scene.show(prompt.value, self.now - BEGAN_S)

    def light(self, colour: Colour | None) -> None:
        self.scene.light(colour, self.now - BEGAN_S)

    def close(self) -> None:
        """Nothing to close."""


def present(vision: Vision, kind: PersonKind, seed: int) -> Presented:
    """Hold one presentation and judge it. The seed chooses the person and everything random."""
    name = sorted(portraits.NAMED)[seed % len(portraits.NAMED)]
    stage = Stage(Scene(kind, portraits.load(name), seed=seed), np.random.default_rng([seed, 30]))
    policy = Policy()
    eyes = Eyes(stage, vision, stage, policy, lambda: stage.now)
    nonce = hashlib.sha256(f"{kind} {seed}".encode()).digest()[:16]
    capture = FaceCapture(eyes, nonce=nonce)
    capture.run(TIME_LIMIT_S, stop_code=lambda: "")
    result = capture.judge()
    threshold = policy.match.live_chip_photo
    matches = (
        capture.probe is not None
        and match(capture.probe, _card(vision, name), threshold=threshold, domain=LIVE_CHIP_PHOTO).matched
    )
    return Presented(
        kind=kind,
        portrait=name,
        seed=seed,
        verdict=VERDICTS[result.decision],
        reasons=tuple(result.reasons),
        seconds=stage.now - BEGAN_S,
        frames=stage.number,
        matches=matches,
        score=result.score,
        experts={expert.name: expert.score for expert in result.experts},
    )


_cards: dict[str, Embedding] = {}


def _card(vision: Vision, name: str) -> Embedding:
    """The template of the photo on this person's card."""
    if name not in _cards:
        photo = SimulatorPhotoDecoder().decode(_chip_photo(name))
        if photo is None:
            raise ValueError(f"the card of {name} has no photo")
        _cards[name] = vision.embed_chip_photo(photo)
    return _cards[name]


@cache
def _chip_photo(name: str) -> bytes:
    return portraits.encode_chip_photo(portraits.id_photo(portraits.load(name)))
