"""Who follows the guidance is captured without a key: people who begin too far, turned, or in the dark."""

from __future__ import annotations

import cv2
import pytest

from edge.capture.run_up import RUN_S
from edge.liveness.challenge import LONGEST_PAUSE_S
from edge.model import Image, Outcome, Prompt
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.vision import Vision
from tests.support.booth import FPS, Booth, SceneCamera, Watched
from tests.support.liveness import QUICK
from verifield_sim import portraits
from verifield_sim.camera import FaultyCamera, PersonStart, Scene

TURNS = (Prompt.TURN_LEFT, Prompt.TURN_RIGHT)
SLOWEST_S = 0.6 + 1.6  # of the simulated person, from a word to having followed it
A_FEW_FRAMES_S = 0.5
PER_SECOND = 10  # E007


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


@pytest.mark.req("E007")
@pytest.mark.parametrize(
    ("start", "advice"),
    [
        ("far", Prompt.COME_CLOSER),
        ("turned", Prompt.LOOK_STRAIGHT),
        ("dark", Prompt.MORE_LIGHT),
    ],
)
def test_a_person_who_follows_the_guidance_is_captured_with_no_key_press(
    vision: Vision, start: PersonStart, advice: Prompt
) -> None:
    scene = Scene("live", portraits.load("astronaut"), seed=3, start=start)
    booth = Booth(scene, card="astronaut")
    policy = Policy(liveness=QUICK)
    verification = booth.pipeline(vision, policy=policy).run()
    assert verification.decision.outcome is Outcome.VERIFIED, verification.decision
    told = booth.told(advice)
    asked = min(at for at, prompt in booth.shown if prompt in TURNS)
    assert told
    assert told[0] < A_FEW_FRAMES_S, "what is wrong is said at once"
    latest = told[0] + SLOWEST_S + RUN_S + LONGEST_PAUSE_S + A_FEW_FRAMES_S
    assert asked < latest, "the challenge begins by itself at the first good run"
    capture = verification.evidence.capture
    assert capture is not None
    assert capture.best_shot is not None
    assert all(part.passed for part in capture.quality)
    assert booth.camera.frames[0].pixels.shape == capture.best_shot.pixels.shape


@pytest.mark.req("E007")
def test_every_frame_is_answered_by_guidance(vision: Vision, monkeypatch: pytest.MonkeyPatch) -> None:
    """So there are as many words a second as frames; what one frame costs is in docs/cameras.md."""
    said: list[int] = []
    booth = Booth(Scene("live", portraits.load("astronaut"), seed=3, start="far"), card="astronaut")
    monkeypatch.setattr("edge.face_capture._Guide.tell", lambda *_: said.append(len(booth.camera.frames)))
    booth.pipeline(vision, capture_timeout_s=2.0).run()
    assert said == list(range(1, len(booth.camera.frames) + 1))
    assert len(said) / 2.0 >= PER_SECOND
    assert FPS >= PER_SECOND


def test_who_does_not_follow_is_told_why_in_the_record(vision: Vision) -> None:
    booth = Booth(Scene("live", portraits.load("astronaut"), seed=3, start="dark"), card="astronaut")
    booth.scene.show = lambda prompt, now: None  # type: ignore[method-assign]
    decision = booth.pipeline(vision, capture_timeout_s=3.0).run().decision
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert decision.reasons[0] == "TOO_DARK"
    assert not [prompt for _, prompt in booth.shown if prompt in TURNS]


class SecondPerson(FaultyCamera):
    """Somebody else looks over the person's shoulder between two moments."""

    def __init__(self, scene: Scene, *, between: tuple[float, float]) -> None:
        super().__init__(scene)
        whole = portraits.load("grace_hopper")
        x, y, width, height = portraits.face_box(whole)
        head = whole[max(0, y - height // 3) : y + height * 4 // 3, max(0, x - 10) : x + width + 10]
        scale = 190 / head.shape[1]
        self._other = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._between = between

    def frame(self, now: float) -> Image:
        picture = super().frame(now).copy()
        if self._between[0] <= now < self._between[1]:
            height, width = self._other.shape[:2]
            picture[100 : 100 + height, 640 - width :] = self._other
        return picture


def with_second_person(between: tuple[float, float]) -> Booth:
    booth = Booth(Scene("live", portraits.load("astronaut"), seed=3), card="astronaut")
    booth.sim = SecondPerson(booth.scene, between=between)
    booth.camera = Watched(SceneCamera(booth.sim, booth.clock, began=booth.began))
    return booth


@pytest.mark.req("E005")
def test_two_people_stop_the_capture_with_guidance_until_one_is_alone(vision: Vision) -> None:
    policy = Policy(liveness=QUICK)
    booth = with_second_person((0.0, 2.0))
    verification = booth.pipeline(vision, policy=policy).run()
    assert verification.decision.outcome is Outcome.VERIFIED, verification.decision
    told = booth.told(Prompt.ONE_PERSON_ONLY)
    assert told
    assert told[0] < A_FEW_FRAMES_S
    assert min(at for at, prompt in booth.shown if prompt in TURNS) > 2.0


@pytest.mark.req("E005")
@pytest.mark.parametrize("since", [0.0, 2.2], ids=["from the beginning", "during the challenge"])
def test_two_people_are_refused_as_multiple_faces(vision: Vision, since: float) -> None:
    booth = with_second_person((since, 1e9))
    verification = booth.pipeline(vision, capture_timeout_s=6.0).run()
    assert verification.decision.outcome is Outcome.INCONCLUSIVE
    assert verification.decision.reasons[0] == "MULTIPLE_FACES"
    assert verification.evidence.match is None
    assert booth.shown[-2][1] is Prompt.ONE_PERSON_ONLY
