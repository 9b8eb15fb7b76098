"""What moves like a picture, and what a screen shows, is told from a head also where no network judges."""

from __future__ import annotations

import pytest

from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.liveness.calibration import PassiveCalibration
from edge.liveness.passive import PassiveEvidence
from edge.models.store import ModelStore
from verifield_sim import portraits
from verifield_sim.camera import PersonKind, Scene

PEOPLE = ("astronaut", "grace_hopper")
FPS, SECONDS, ASKED_S = 15, 3.0, 0.4


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> LiveDetector:
    return LiveDetector(YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1))


@pytest.fixture(scope="module")
def least_alive(detector: LiveDetector) -> float:
    """The lowest score of some living people."""
    return min(score(detector, "live", person, seed) for person in PEOPLE for seed in (1, 2))


def score(detector: LiveDetector, kind: PersonKind, person: str, seed: int) -> float:
    """Of one presentation that is asked to open the mouth, by all signals but the networks."""
    scene = Scene(kind, portraits.load(person), seed=seed)
    passive = PassiveEvidence((), PassiveCalibration.built_in())
    for number in range(round(FPS * SECONDS)):
        now = number / FPS
        if now >= ASKED_S:
            scene.show("OPEN_MOUTH", now)
        image = scene.frame(now)
        passive.observe(image, next(iter(detector.detect(image)), None), now)
    values = passive.result().values
    assert "texture" not in values
    return PassiveCalibration.built_in().score(values, "clip")


@pytest.mark.req("E012")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["print", "print_bent", "phone", "tablet", "monitor"])
def test_moving_prints_and_replays_are_told_from_heads(
    detector: LiveDetector, least_alive: float, kind: PersonKind, seed: int
) -> None:
    assert score(detector, kind, PEOPLE[seed % 2], seed) < least_alive
