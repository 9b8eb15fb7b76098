"""Whole liveness sessions on simulated camera pictures: who passes, who does not, and why."""

import dataclasses
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest

from edge.capture.detector import YuNetDetector
from edge.decision import decide
from edge.geometry import yaw_ratio
from edge.liveness.challenge import new_challenge
from edge.liveness.session import LivenessSession
from edge.model import (
    Face,
    Image,
    LivenessDecision,
    LivenessResult,
    Outcome,
    Prompt,
)
from edge.models.store import ModelStore
from edge.policy import LivenessPolicy
from tests.support.evidence import GOOD
from tests.support.liveness import TURNS_ONLY, Told
from verifield_sim import portraits
from verifield_sim.camera import Scene

POLICY = TURNS_ONLY  # light: test_liveness_lit_session.py
FRAME_S = 1 / 15
NONCE = bytes(range(16))
Seen = tuple[Image, Face | None, float]
Look = Callable[[float], tuple[Image, Face | None]]


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> YuNetDetector:
    return YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)


def hold(
    session: LivenessSession, look: Look, show: Callable[[str, float], None], *, seconds: float = 30.0
) -> tuple[LivenessResult, list[Seen]]:
    """Run ``session`` on what ``look`` returns for each moment; prompts go to ``show``."""
    seen: list[Seen] = []
    now = 0.0
    while not session.done and now < seconds:
        image, face = look(now)
        seen.append((image, face, now))
        prompt = session.observe(image, face, now)
        if prompt is not None:
            show(prompt, now)
        now += FRAME_S
    return session.result(now), seen


def best_face(detector: YuNetDetector, image: Image) -> Face | None:
    return next(iter(detector.detect(image)), None)


def watch(detector: YuNetDetector, scene: Scene, now: float) -> tuple[Image, Face | None]:
    image = scene.frame(now)
    return image, best_face(detector, image)


def present(
    detector: YuNetDetector, kind: str, portrait: str | None, *, seed: int, nonce: bytes = NONCE
) -> tuple[LivenessResult, list[Seen], LivenessSession]:
    scene = Scene(kind, None if portrait is None else portraits.load(portrait), seed=seed)
    session = LivenessSession(nonce, POLICY, passive=Told(), made_up_frames_pass=True)
    result, seen = hold(session, partial(watch, detector, scene), scene.show)
    return result, seen, session


@pytest.fixture(scope="module")
def passed(detector: YuNetDetector) -> tuple[LivenessResult, list[Seen], LivenessSession]:
    """A session that a live person passed."""
    return present(detector, "live", "astronaut", seed=0)


def scores(result: LivenessResult) -> dict[str, float | None]:
    return {expert.name: expert.score for expert in result.experts}


def test_a_live_person_who_follows_the_prompts_is_live(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    result, seen, session = passed
    assert result.decision is LivenessDecision.LIVE, result.reasons
    assert result.challenge.nonce == NONCE
    assert result.challenge.completed == len(result.challenge.actions) == 2 * POLICY.challenge_turns
    assert all(expert.passed for expert in result.experts if not expert.advisory)
    assert len(seen) * FRAME_S < 15
    assert len(session.keyframes) == POLICY.challenge_turns + 1
    assert all(abs(yaw_ratio(face)) < POLICY.frontal_yaw_ratio for _, face in session.keyframes)


def test_motion_may_be_followed_before_the_face_is_known(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    """Twice, late or for an old frame changes nothing."""
    result, seen, _ = passed
    session = LivenessSession(NONCE, POLICY, passive=Told(), made_up_frames_pass=True)
    for image, face, now in seen:
        session.follow(image, now)
        session.follow(image, now)
        session.observe(image, face, now)
        session.follow(image, now)
    assert session.result(seen[-1][2] + FRAME_S) == result


def test_another_live_person_too(detector: YuNetDetector) -> None:
    result, _, _ = present(detector, "live", "grace_hopper", seed=3)
    assert result.decision is LivenessDecision.LIVE, result.reasons


@pytest.mark.parametrize(
    ("kind", "portrait", "seed"),
    [("print", "astronaut", 1), ("print", "grace_hopper", 5), ("print_bent", "grace_hopper", 0)],
)
def test_a_print_that_plays_along_is_an_attack(
    detector: YuNetDetector, kind: str, portrait: str, seed: int
) -> None:
    result, _, _ = present(detector, kind, portrait, seed=seed)
    assert result.decision is LivenessDecision.ATTACK
    assert result.reasons == ("SPOOF_PLANAR_MOTION",)
    assert scores(result)["planar_motion"] < POLICY.max_flat_relief
    assert scores(result)["head_turn"] is None, "and it never answered the head turn either"


def test_an_empty_room_is_insufficient(detector: YuNetDetector) -> None:
    result, _, session = present(detector, "none", None, seed=0)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons[0] == "LIVENESS_NO_FACE"
    assert session.keyframes == []


def replay(seen: list[Seen], nonce: bytes, policy: LivenessPolicy = POLICY) -> LivenessResult:
    session = LivenessSession(nonce, policy, passive=Told(), made_up_frames_pass=True)
    for image, face, now in seen:
        session.observe(image, face, now)
    return session.result(seen[-1][2])


def test_the_same_frames_pass_only_the_challenge_that_they_answer(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    _, seen, _ = passed
    assert replay(seen, NONCE).decision is LivenessDecision.LIVE
    others = [
        nonce
        for nonce in (number.to_bytes(16, "big") for number in range(30))
        if new_challenge(nonce, POLICY) != new_challenge(NONCE, POLICY)
    ]
    assert len(others) > 20
    for nonce in others:
        result = replay(seen, nonce)
        assert result.decision is LivenessDecision.INSUFFICIENT
        assert result.reasons[0] in ("LIVENESS_WRONG_TURN", "LIVENESS_OUT_OF_STEP")


def test_a_live_person_who_does_not_move_is_insufficient_not_an_attack(
    passed: tuple[LivenessResult, list[Seen], LivenessSession], detector: YuNetDetector
) -> None:
    scene = Scene("live", portraits.load("astronaut"), seed=2)
    looks = [watch(detector, scene, step * FRAME_S) for step in range(15)]
    session = LivenessSession(NONCE, POLICY, passive=Told(), made_up_frames_pass=True)
    result, _ = hold(session, lambda now: looks[round(now / FRAME_S) % 15], lambda _prompt, _now: None)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons[0] == "LIVENESS_TIMEOUT"
    assert (scores(result)["head_turn"], scores(result)["planar_motion"]) == (None, None)


def test_a_face_that_jumps_after_the_first_prompt_is_a_switch(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    _, seen, _ = passed
    jumped = [
        (image, face if face is None or now < 2.0 else shifted(face, 300.0), now) for image, face, now in seen
    ]
    result = replay(jumped, NONCE)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert result.reasons[0] == "FACE_SWITCHED"


def test_a_print_shown_between_the_turns_of_a_live_head_breaks_the_tracks(
    passed: tuple[LivenessResult, list[Seen], LivenessSession], detector: YuNetDetector
) -> None:
    """The frontal frames show another portrait at the same place; the head that turns is live."""
    _, seen, _ = passed
    stranger = Scene("live", portraits.load("grace_hopper"), seed=0).frame(0.0)
    other = best_face(detector, stranger)
    assert other is not None
    swapped = [
        (stranger, other, now) if face is not None and abs(yaw_ratio(face)) < 0.08 else (image, face, now)
        for image, face, now in seen
    ]
    result = replay(swapped, NONCE)
    assert result.decision is not LivenessDecision.LIVE
    assert scores(result)["planar_motion"] is None


def shifted(face: Face, dx: float) -> Face:
    x, y, w, h = face.box
    return Face((x + dx, y, w, h), face.points + np.array([dx, 0], np.float32), face.score)


def outcome(result: LivenessResult) -> Outcome:
    """What a session comes to that is perfect but for its liveness."""
    return decide(dataclasses.replace(GOOD, liveness=result)).outcome


def no_face(seen: list[Seen]) -> list[Seen]:
    return [(image, None, now) for image, _, now in seen]


def cut_short(seen: list[Seen]) -> list[Seen]:
    return seen[:-1]


def small_face(seen: list[Seen]) -> list[Seen]:
    small = 0.4  # 30 pixels between the eyes: too few to judge motion by

    def shrink(face: Face | None) -> Face | None:
        if face is None:
            return None
        x, y, w, h = (value * small for value in face.box)
        return Face((x, y, w, h), face.points * np.float32(small), face.score)

    return [(cv2.resize(image, None, fx=small, fy=small), shrink(face), now) for image, face, now in seen]


def blank_pictures(seen: list[Seen]) -> list[Seen]:
    blank = np.full_like(seen[0][0], 127)
    return [(blank, face, now) for _, face, now in seen]


def size_changes(seen: list[Seen]) -> list[Seen]:
    half = len(seen) // 2
    return seen[:half] + [(image[:100, :100], face, now) for image, face, now in seen[half:]]


def time_stands_still(seen: list[Seen]) -> list[Seen]:
    return [(image, face, 1.0) for image, face, _ in seen]


@pytest.mark.req("E010")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (no_face, "LIVENESS_TOO_FEW_FRAMES"),
        (cut_short, "LIVENESS_UNFINISHED"),
        (small_face, "LIVENESS_TOO_LITTLE_MOTION"),
        (blank_pictures, "LIVENESS_TOO_LITTLE_MOTION"),
        (size_changes, "LIVENESS_EXPERT_FAILED"),
        (time_stands_still, "LIVENESS_TOO_FEW_FRAMES"),
    ],
)
def test_a_fault_in_a_session_that_would_pass_is_never_verified(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
    fault: Callable[[list[Seen]], list[Seen]],
    reason: str,
) -> None:
    _, seen, _ = passed
    assert outcome(replay(seen, NONCE)) is Outcome.VERIFIED
    result = replay(fault(seen), NONCE)
    assert result.decision is LivenessDecision.INSUFFICIENT
    assert reason in result.reasons
    assert outcome(result) is Outcome.INCONCLUSIVE


@pytest.mark.req("E010")
@pytest.mark.parametrize("function", ["calcOpticalFlowPyrLK", "findHomography", "goodFeaturesToTrack"])
def test_an_exception_in_an_expert_is_never_verified(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise cv2.error("out of memory")

    monkeypatch.setattr(cv2, function, fail)
    result = replay(passed[1], NONCE)
    assert result.reasons == ("LIVENESS_EXPERT_FAILED",)
    assert outcome(result) is Outcome.INCONCLUSIVE


@pytest.mark.req("E010")
def test_too_few_frames_are_never_verified(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    _, seen, _ = passed
    faces = sum(face is not None for _, face, _ in seen)
    for needed, expected in ((faces, Outcome.VERIFIED), (faces + 1, Outcome.INCONCLUSIVE)):
        assert outcome(replay(seen, NONCE, dataclasses.replace(POLICY, min_frames=needed))) is expected


def test_prompts_come_once_and_in_the_order_of_the_challenge(
    passed: tuple[LivenessResult, list[Seen], LivenessSession],
) -> None:
    result, seen, _ = passed
    session = LivenessSession(NONCE, POLICY, passive=Told(), made_up_frames_pass=True)
    prompts = [p for p in (session.observe(*frame) for frame in seen) if p is not None]
    assert prompts == [Prompt.LOOK_AT_CAMERA, *result.challenge.actions, Prompt.OPEN_MOUTH]
    assert session.observe(*seen[-1]) is None
