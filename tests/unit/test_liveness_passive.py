"""The passive half of liveness: what it is fed with, what it says, and that nothing missing is a pass."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest

from edge.capture.detector import YuNetDetector
from edge.liveness.calibration import CLIP, PICTURE, Curve, PassiveCalibration
from edge.liveness.passive import OPERATING_POINT, PassiveEvidence, PassiveResult
from edge.liveness.texture import TextureExpert
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.ports import FrameExpert
from tests.support.passive import FixedExpert, blinked, face_at, moved, noisy, texture
from verifield_sim import portraits
from verifield_sim.camera import Scene
from verifield_sim.camera.scene import PersonKind

ALIVE, ATTACK = FixedExpert(0.98), FixedExpert(0.02)
FACE = face_at()
PERSON = texture(21)
BLINKED = blinked(PERSON, FACE)


def living(count: int) -> list[Image]:
    """A face that blinks and talks before a room that stands still."""
    return [noisy(BLINKED if number % 7 in (1, 2, 4) else PERSON, number) for number in range(count)]


def held_up(count: int) -> list[Image]:
    """A picture of it in an unsteady hand."""
    return [noisy(moved(PERSON, 3 * math.sin(n), 2 * math.cos(2 * n)), n) for n in range(count)]


def watch(
    frames: Sequence[Image],
    *,
    fps: float = 1.5,
    experts: Sequence[FrameExpert] = (ALIVE,),
    faces: Sequence[Face | None] = (),
    calibration: PassiveCalibration | None = None,
) -> PassiveResult:
    evidence = PassiveEvidence(experts, calibration or PassiveCalibration.built_in())
    seen = faces or [FACE] * len(frames)
    for number, (frame, face) in enumerate(zip(frames, seen, strict=True)):
        evidence.observe(frame, face, 100.0 + number / fps)
    return evidence.result()


def score_of(result: PassiveResult, name: str) -> float | None:
    return next(expert.score for expert in result.experts if expert.name == name)


def reason_of(result: PassiveResult, name: str) -> str:
    return next(expert.reason for expert in result.experts if expert.name == name)


@pytest.mark.parametrize("fps", [1.5, 5.0, 30.0])
def test_a_living_face_passes_at_every_rate(fps: float) -> None:
    result = watch(living(max(5, min(30, round(2 * fps)))), fps=fps)
    assert result.reason == ""
    assert result.score is not None
    assert result.score > OPERATING_POINT


@pytest.mark.parametrize("fps", [1.5, 5.0, 30.0])
def test_a_picture_in_a_hand_does_not_pass_though_the_network_takes_it_for_alive(fps: float) -> None:
    frames = held_up(max(5, min(30, round(2 * fps))))
    result, alive = watch(frames, fps=fps), watch(living(len(frames)), fps=fps)
    assert result.score is not None
    assert alive.score is not None
    assert result.score < OPERATING_POINT < alive.score


def test_a_video_that_moves_as_a_person_does_is_left_to_the_network() -> None:
    result = watch(living(5), experts=(ATTACK,))
    assert result.score is not None
    assert result.score < OPERATING_POINT


def test_one_picture_is_judged_by_what_a_picture_shows() -> None:
    alive, attack = watch([PERSON]), watch([PERSON], experts=(ATTACK,))
    assert alive.score is not None
    assert attack.score is not None
    assert attack.score < OPERATING_POINT
    assert attack.score < alive.score
    assert (score_of(alive, "face_motion"), reason_of(alive, "face_motion")) == (
        None,
        "LIVENESS_NEEDS_FRAMES",
    )


@pytest.mark.req("E011")
def test_every_expert_is_recorded_and_a_missing_one_is_shown() -> None:
    """Scores of all cues, networks with the digest of their file; MiniFASNet is missing and said to be."""
    network = TextureExpert.open()
    result = watch(living(5), experts=(network,))
    names = [expert.name for expert in result.experts]
    assert len(names) == len(set(names))
    assert {"texture", "minifasnet", "moire", "colours", "shine", "border", "face_motion"} <= set(names)
    assert score_of(result, "texture") is not None
    assert score_of(result, "moire") is not None
    assert result.experts[0].model_sha256 == network.model_sha256
    assert (score_of(result, "minifasnet"), reason_of(result, "minifasnet")) == (
        None,
        "LIVENESS_MODEL_NOT_PULLED",
    )
    both = watch(living(5), experts=(network, FixedExpert(0.9, name="minifasnet")))
    assert score_of(both, "minifasnet") is not None


def test_a_network_that_never_answers_is_shown_and_is_no_pass() -> None:
    result = watch(living(5), experts=(FixedExpert(None),))
    assert (result.score, result.reason) == (None, "LIVENESS_NO_FRAME_EXPERT")
    assert (score_of(result, "texture"), reason_of(result, "texture")) == (
        None,
        "LIVENESS_CUE_COULD_NOT_JUDGE",
    )


def test_without_any_network_the_other_cues_may_accuse_and_never_acquit() -> None:
    alive, attack = watch(living(5), experts=()), watch(held_up(5), experts=())
    assert (alive.score, alive.reason) == (None, "LIVENESS_NO_FRAME_EXPERT")
    assert attack.score is not None
    assert attack.score < OPERATING_POINT
    assert reason_of(alive, "texture") == "LIVENESS_NO_FRAME_EXPERT"


def test_a_network_that_says_no_number_has_not_judged() -> None:
    assert watch(living(5), experts=(FixedExpert(math.nan),)).score is None


def test_time_that_runs_backwards_is_no_answer() -> None:
    evidence = PassiveEvidence((ALIVE,), PassiveCalibration.built_in())
    for number, at in enumerate((0.0, 0.6, 1.2, 0.9, 1.8, 2.4)):
        evidence.observe(living(6)[number], FACE, at)
    assert (evidence.result().score, evidence.result().reason) == (None, "LIVENESS_TIME_BACKWARDS")


@pytest.mark.parametrize("at", [math.nan, math.inf])
def test_a_time_that_is_none_is_no_answer(at: float) -> None:
    evidence = PassiveEvidence((ALIVE,), PassiveCalibration.built_in())
    evidence.observe(PERSON, FACE, at)
    assert evidence.result().score is None


def test_the_same_moment_twice_is_one_frame() -> None:
    evidence = PassiveEvidence((ALIVE,), PassiveCalibration.built_in())
    for frame in living(5):
        evidence.observe(frame, FACE, 3.0)
    assert reason_of(evidence.result(), "face_motion") == "LIVENESS_NEEDS_FRAMES"


def test_nobody_was_there() -> None:
    nothing = PassiveEvidence((ALIVE,), PassiveCalibration.built_in()).result()
    assert (nothing.score, nothing.reason) == (None, "LIVENESS_NO_FACE")
    assert watch(living(4), faces=[None] * 4).reason == "LIVENESS_NO_FACE"
    assert watch(living(4), faces=[face_at(inter_eye=5)] * 4).reason == "LIVENESS_NO_FACE"


def test_a_face_that_is_gone_most_of_the_time_is_no_answer() -> None:
    result = watch(living(6), faces=[FACE, None, None, FACE, None, None])
    assert (result.score, result.reason) == (None, "LIVENESS_FACE_LOST")


def test_frozen_frames_are_no_answer() -> None:
    result = watch([PERSON] * 6)
    assert (result.score, result.reason) == (None, "LIVENESS_FRAMES_FROZEN")


def test_a_loop_of_frames_is_no_answer() -> None:
    frames = living(3)
    result = watch([*frames, *frames])
    assert (result.score, result.reason) == (None, "LIVENESS_FRAMES_REPEAT")


def test_a_stream_whose_frames_come_twice_is_only_slow() -> None:
    frames = living(10)
    twice = list(itertools.chain.from_iterable(zip(frames, frames, strict=True)))
    result = watch(twice, fps=10.0)
    assert result.reason == ""
    assert result.score is not None
    assert result.score > OPERATING_POINT


def test_frames_too_near_to_each_other_are_too_few() -> None:
    result = watch(living(4), fps=30.0)
    assert (result.score, result.reason) == (None, "LIVENESS_TOO_FEW_FRAMES")


def test_a_camera_in_a_hand_is_not_held_against_anybody() -> None:
    shaking = [moved(frame, 4 * math.sin(n), 3 * math.cos(2 * n)) for n, frame in enumerate(living(6))]
    fixed = watch(shaking)
    free = watch(shaking, calibration=PassiveCalibration.built_in(camera_fixed=False))
    assert fixed.score is not None
    assert free.score is not None
    assert free.score > fixed.score


def test_a_result_may_be_asked_for_again_and_says_the_same() -> None:
    assert watch(living(5)) == watch(living(5))


def test_all_evidence_stays_within_its_limits() -> None:
    calibration = PassiveCalibration.built_in()
    for name, curve in calibration.curves.items():
        for value in (-1e9, -1.0, 0.0, 0.5, 1.0, 1e9):
            assert -curve.against <= calibration.evidence(name, value) <= curve.in_favour


def test_more_alive_is_never_less_alive() -> None:
    """Whatever the other cues say, a rising cue never lowers the score."""
    calibration = PassiveCalibration.built_in()
    for name, low in itertools.product(calibration.curves, (0.1, 0.5, 0.9)):
        others = dict.fromkeys(calibration.curves, low)
        scores = [
            calibration.score(others | {name: value}, CLIP) for value in (-5.0, 0.01, 0.3, 0.6, 0.99, 5.0)
        ]
        assert scores == sorted(scores)


def test_motion_cannot_make_up_for_what_the_network_saw() -> None:
    """However alive the motion is, it says nothing against a video that is played back."""
    calibration = PassiveCalibration.built_in()
    moving = {"face_motion": 1.0, "off_plane": 1.0, "non_rigid": 50.0}
    assert calibration.score({"texture": 0.02} | moving, CLIP) < OPERATING_POINT


BUILT_IN = PassiveCalibration.built_in()


def test_of_two_networks_that_err_together_the_unproven_one_counts_for_less() -> None:
    """By itself each has its say in full."""
    calibration = PassiveCalibration.built_in()
    assert calibration.alike["texture"] < calibration.alike["minifasnet"] <= 1.0

    def swing(name: str, **beside: float) -> float:
        low, high = (calibration.log_odds({name: share, **beside}) for share in (0.2, 0.6))
        return high - low

    assert swing("texture", minifasnet=0.5) == pytest.approx(calibration.alike["texture"] * swing("texture"))
    assert swing("minifasnet", texture=0.5) < swing("minifasnet")
    assert swing("texture", minifasnet=0.5) < swing("minifasnet", texture=0.5)


def told(**changes: str) -> str:
    """A small calibration as TOML, with some lines changed."""
    lines = {
        "version": "version = 1",
        "curve": 'curves.a = { form = "log", centre = 0.0, slope = 1.0, against = 1.0, in_favour = 1.0 }',
        "kind": "kinds.still = { share = 1.0, weights = { a = 1.0 } }",
        "points": "points.picture = { centre = 0, slope = 1 }\npoints.clip = { centre = 0, slope = 1 }",
    }
    return "\n".join((lines | changes).values())


def test_a_small_calibration_is_read() -> None:
    calibration = PassiveCalibration.parse(told())
    assert calibration.curves["a"] == Curve("log", 0.0, 1.0, 1.0, 1.0)
    assert calibration.score({"a": math.e}, PICTURE) == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": ""},
        {"curve": 'curves.a = { form = "square", centre = 0, slope = 1, against = 1, in_favour = 1 }'},
        {"curve": 'curves.a = { form = "log", centre = 0.0, slope = -1.0, against = 1.0, in_favour = 1.0 }'},
        {"curve": 'curves.a = { form = "log", centre = nan, slope = 1.0, against = 1.0, in_favour = 1.0 }'},
        {"kind": "kinds.still = { share = 1.0, weights = { a = -1.0 } }"},
        {"kind": "kinds.still = { share = 0.5, weights = { a = 1.0 } }"},
        {"kind": "kinds.still = { share = 1.0, weights = { b = 1.0 } }"},
        {"points": "points.picture = { centre = 0.0, slope = 1.0 }"},
        {"points": "points = 3"},
        {"kind": "= ="},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"calibration|weight|slopes|form"):
        PassiveCalibration.parse(told(**changes))


def test_the_built_in_calibration_has_the_evaluation_that_made_it() -> None:
    assert BUILT_IN.version >= 1
    assert dataclasses.replace(BUILT_IN, camera_fixed=False).optional == BUILT_IN.optional


@pytest.mark.parametrize("kind", ["print", "print_bent"])
def test_the_simulated_print_that_moves_is_caught_without_any_network(
    kind: PersonKind, model_store: ModelStore
) -> None:
    """By its motion, three seconds at three frames a second; a head is not taken for one."""
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    caught, head = presented(kind, detector), presented("live", detector)
    assert caught.score is not None
    assert caught.score < 0.3
    assert head.score is None or head.score > caught.score
    shares = [score_of(result, "face_motion") for result in (caught, head)]
    assert None not in shares
    assert shares[0] < 0.2 < shares[1]  # type: ignore[operator]


def presented(kind: PersonKind, detector: YuNetDetector) -> PassiveResult:
    scene = Scene(kind, portraits.load("grace_hopper"), seed=0)
    scene.show("LOOK_AT_CAMERA", 0.0)
    frames = [scene.frame(number / 3.0) for number in range(9)]
    faces = [next(iter(detector.detect(frame)), None) for frame in frames]
    return watch(frames, fps=3.0, experts=(), faces=faces)
