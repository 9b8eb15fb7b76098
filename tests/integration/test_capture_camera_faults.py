"""A camera that is unplugged, busy, frozen or black in the middle of a challenge of the real pipeline."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge.decision import CAPTURE_INTERRUPTED
from edge.face_capture import MAX_INTERRUPTIONS
from edge.model import Decision, Outcome, Prompt
from edge.models.store import ModelStore
from edge.session.events import DEVICE_LOCKED
from edge.texts import PROMPTS
from edge.vision import Vision
from tests.support.booth import FPS, Booth
from verifield_sim.camera import CameraFault, CameraFaultKind

BEGINS, LASTS = 3.0, 2.5
NOTICED_S = 2.0  # E002
CODES = {
    CameraFaultKind.UNPLUG: Prompt.CAMERA_LOST,
    CameraFaultKind.BUSY: Prompt.CAMERA_BUSY,
    CameraFaultKind.FREEZE: Prompt.CAMERA_FROZEN,
    CameraFaultKind.BLACK: Prompt.CAMERA_BLACK,
}


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


def once(kind: CameraFaultKind) -> CameraFault:
    return CameraFault(kind, (BEGINS, BEGINS), (LASTS, LASTS))


def for_ever(kind: CameraFaultKind) -> CameraFault:
    return CameraFault(kind, (BEGINS, BEGINS))


@pytest.mark.req("E002")
@pytest.mark.parametrize("kind", CameraFaultKind)
def test_the_session_pauses_guides_and_resumes_with_a_fresh_challenge(
    vision: Vision, kind: CameraFaultKind
) -> None:
    booth = Booth.with_person("live", "astronaut", faults=[once(kind)])
    verification = booth.pipeline(vision).run()
    assert verification.decision == Decision(Outcome.VERIFIED, (CAPTURE_INTERRUPTED,))
    told = booth.told(CODES[kind])
    assert told, "said in plain words"
    assert BEGINS <= told[0] <= BEGINS + NOTICED_S
    assert set(PROMPTS[CODES[kind]]) == {"zh", "es", "en"}
    back = [at for at in booth.told(Prompt.LOOK_AT_CAMERA) if at > told[-1]]
    assert BEGINS + LASTS - 0.01 <= back[0] <= BEGINS + LASTS + NOTICED_S

    liveness, capture = verification.evidence.liveness, verification.evidence.capture
    assert liveness is not None
    assert capture is not None
    assert capture.interruptions == 1
    _, first, second = booth.nonces  # of the session, and of each challenge
    assert liveness.challenge.nonce == second != first
    check_no_stale_frame(booth)
    best = capture.best_shot
    assert best is not None
    assert best.captured_at - booth.began >= BEGINS + LASTS - 0.01, "nothing from before counts"


def check_no_stale_frame(booth: Booth) -> None:
    """Nothing that was handed on is old, repeated, or from the time of the fault."""
    frames = booth.camera.frames
    for one, other in itertools.pairwise(frames):
        assert one.captured_at < other.captured_at
        assert not np.array_equal(one.pixels, other.pixels)
    stops = BEGINS + 1.01 / FPS  # the picture that a camera freezes at is new when it comes
    assert not [frame for frame in frames if stops < frame.captured_at - booth.began < BEGINS + LASTS - 0.01]


@pytest.mark.parametrize("kind", CameraFaultKind)
def test_a_camera_that_does_not_come_back_ends_the_session_and_is_neither_pass_nor_attack(
    vision: Vision, kind: CameraFaultKind
) -> None:
    booth = Booth.with_person("print", "astronaut", faults=[for_ever(kind)])
    verification = booth.pipeline(vision, capture_timeout_s=10.0).run()
    assert verification.decision == Decision(Outcome.ABORTED, (CODES[kind].value,))
    assert booth.attested == [verification.decision]
    assert verification.evidence.liveness is None
    assert verification.fault is not None
    assert verification.fault.message
    assert verification.fault.hint or kind in (CameraFaultKind.UNPLUG, CameraFaultKind.BUSY)


def test_an_attack_after_an_interruption_is_still_one(vision: Vision) -> None:
    booth = Booth.with_person("print", "astronaut", faults=[once(CameraFaultKind.UNPLUG)])
    decision = booth.pipeline(vision).run().decision
    assert decision.outcome is Outcome.SPOOF
    assert decision.reasons[-1] == CAPTURE_INTERRUPTED


def test_nobody_gets_challenge_after_challenge_by_pulling_the_plug(vision: Vision) -> None:
    pulls = [
        CameraFault(CameraFaultKind.UNPLUG, (start, start), (0.5, 0.5))
        for start in np.arange(1.0, 40.0, 1.5).tolist()
    ]
    booth = Booth.with_person("live", "astronaut", faults=pulls)
    decision = booth.pipeline(vision).run().decision
    assert decision == Decision(Outcome.ABORTED, ("CAMERA_LOST",))
    assert len(booth.nonces) == 1 + 1 + MAX_INTERRUPTIONS


def test_a_lock_is_obeyed_while_the_camera_is_waited_for(vision: Vision) -> None:
    booth = Booth.with_person("live", "astronaut", faults=[for_ever(CameraFaultKind.UNPLUG)])
    decision = booth.pipeline(vision, is_locked=lambda: booth.now > 6.0).run().decision
    assert decision == Decision(Outcome.ABORTED, (DEVICE_LOCKED,))
    assert booth.now < 10.0
