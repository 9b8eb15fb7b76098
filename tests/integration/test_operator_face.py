"""An operator's own face as a factor, with the real networks over the simulated camera, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from edge.answers import NotSignedIn, Refusal, SignedIn, SignInFactor
from edge.attest.clock import BUILD_DATE
from edge.face_capture import Eyes
from edge.model import CameraAssurance, Colour, Frame, Prompt, Role
from edge.models.store import ModelStore
from edge.operators.service import Operators
from edge.policy import Policy
from edge.station import CameraFaceCheck
from edge.vision import Vision
from tests.support.authority import Authority
from tests.support.clocks import SteeredClock
from tests.support.known import KnownDevice
from verifield_sim import portraits
from verifield_sim.camera import Scene

FPS = 10
OWNER, STRANGER = "astronaut", "grace_hopper"


@dataclass
class Booth:
    """A camera and a screen before one scene."""

    scene: Scene
    now: float = 100.0
    number: int = 0

    camera_id = "test"
    assurance = CameraAssurance.SIMULATED

    def read(self, timeout_s: float) -> Frame:
        self.now += 1 / FPS
        self.number += 1
        return Frame(self.scene.frame(self.now), self.now, self.number)

    def show(self, prompt: Prompt) -> None:
        self.scene.show(prompt.value, self.now)

    can_light = True

    def light(self, colour: Colour | None) -> None:
        self.scene.light(colour, self.now)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, Authority.create())
    yield known
    known.state.close()


def before(vision: Vision, kind: Literal["live", "print"], person: str) -> CameraFaceCheck:
    booth = Booth(Scene(kind, portraits.load(person), seed=7))
    return CameraFaceCheck(
        Eyes(booth, vision, booth, Policy(), lambda: booth.now, allow_simulated=True), timeout_s=40.0
    )


def test_ones_own_live_face_signs_in_and_neither_a_picture_nor_another_person(
    device: KnownDevice, vision: Vision
) -> None:
    operators = Operators(
        device.state.operators,
        key_store=device.key_store,
        clock=SteeredClock(wall=BUILD_DATE + timedelta(days=9)),
        live_live=Policy().match.live_live,
    )
    operator_id = operators.add("Ana", Role.CLERK, face=before(vision, "live", OWNER).capture())
    tried: tuple[tuple[Literal["live", "print"], str], ...] = (
        ("live", STRANGER),
        ("print", OWNER),
        ("live", OWNER),
    )
    answers = {
        (kind, person): operators.try_sign_in("Ana", face=before(vision, kind, person))
        for kind, person in tried
    }
    assert answers == {
        ("live", STRANGER): NotSignedIn(Refusal.WRONG, 0.0),
        ("print", OWNER): NotSignedIn(Refusal.WRONG, 0.0),
        ("live", OWNER): SignedIn(operator_id, "clerk", frozenset({SignInFactor.FACE})),
    }
