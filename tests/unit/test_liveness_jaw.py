"""The sign of life: a jaw that sinks is told from all that a rigid or bent picture of a face can do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.liveness.aligned import MIN_INTER_EYE
from edge.liveness.jaw import NO_SIGN, JawWatch
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.policy import LivenessPolicy
from tests.support.passive import HEIGHT, WIDTH, face_at, moved, noisy, texture
from verifield_sim import portraits
from verifield_sim.camera import PersonKind, Scene
from verifield_sim.camera.figures import Moment, Person
from verifield_sim.camera.optics import Pose
from verifield_sim.camera.subjects import head

POLICY = LivenessPolicy()
ASKED_S = 0.5
MASK_WITH_HOLES, CUTOUT_WITH_HOLES = 1, 2
"""Seeds: the eyes behind them blink."""
DATA = Path(os.environ.get("VERIFIELD_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
Frames = Iterator[tuple[Image, Face | None, float]]


def watch(frames: Frames, *, asked_at: float = ASKED_S) -> JawWatch:
    """Feed frames, ask when it is time."""
    jaw = JawWatch(POLICY)
    for image, face, now in frames:
        jaw.observe(image, face, now)
        if now >= asked_at:
            jaw.ask(now)
    return jaw


def drawn(
    *,
    eyes: float = 44.0,
    fps: float = 15.0,
    opens: Callable[[float], float] = lambda _now: 0.0,
    change: Callable[[Image, float], Image] = lambda picture, _now: picture,
    seed: int = 1,
    seconds: float = 2.2,
) -> Frames:
    """A drawn face whose part below the mouth sinks by ``opens`` (eye distances), with a sensor's noise."""
    still, face = texture(seed, grain=1.5 * eyes / 44.0), face_at(inter_eye=eyes)
    line = round(float(face.points[3:, 1].mean()))
    for step in range(round(seconds * fps)):
        now, picture = step / fps, still.copy()
        if sunk := round(opens(now) * eyes):
            picture[line + sunk :] = still[line:-sunk]
            picture[line : line + sunk] = 40
        yield noisy(change(picture, now), 1000 * seed + step), face, now


def on_request(now: float) -> float:
    """Open for a second, half a second after being asked: 12 mm, as far as lip and chin go."""
    return 0.2 * float(ASKED_S + 0.5 <= now < ASKED_S + 1.5)


@pytest.mark.parametrize(
    ("eyes", "fps"), [(24.0, 10.0), (24.0, 30.0), (44.0, 15.0), (80.0, 10.0), (80.0, 30.0)]
)
def test_a_mouth_that_opens_is_seen_near_and_far_and_at_any_rate(eyes: float, fps: float) -> None:
    jaw = watch(drawn(eyes=eyes, fps=fps, opens=on_request))
    assert jaw.seen
    judged = jaw.judge()
    assert judged.score == pytest.approx(0.2, abs=0.06)
    assert (judged.name, judged.threshold, judged.reason) == ("sign_of_life", POLICY.min_jaw_opening, "")


def coloured(picture: Image, now: float) -> Image:
    """Light of changing colour and strength, twice as much as any screen gives."""
    gains = 1.0 + 0.25 * np.sin(np.array([9.0, 12.0, 15.0]) * now)
    return np.clip(picture * gains, 0, 255).astype(np.uint8)


def test_changing_light_neither_hides_nor_makes_it() -> None:
    assert watch(drawn(opens=on_request, change=coloured)).seen
    shut = watch(drawn(change=coloured))
    assert shut.opening is not None
    assert shut.opening < POLICY.min_jaw_opening / 3


def covered(picture: Image, now: float) -> Image:
    """A hand before the mouth."""
    if on_request(now):
        picture = picture.copy()
        cv2.ellipse(picture, (240, 215), (50, 28), 0, 0, 360, (110, 140, 190), -1)
    return picture


@pytest.mark.req("E010")
@pytest.mark.parametrize(
    "frames",
    [
        drawn,
        lambda: drawn(change=covered),
        lambda: drawn(opens=lambda now: 0.2 * float(now < 0.2)),  # before anybody asked
        lambda: drawn(opens=lambda _now: 0.2),  # open all the time
        lambda: drawn(opens=lambda now: 0.2 * float(1.0 <= now < 1.06)),  # for one frame: a slip
        lambda: drawn(opens=lambda now: 0.3 * on_request(now)),  # 4 mm: hardly a word
        lambda: drawn(opens=on_request, eyes=MIN_INTER_EYE - 2),
        lambda: ((image, None, now) for image, _, now in drawn(opens=on_request)),
        lambda: ((np.full_like(image, 127), face, now) for image, face, now in drawn()),
    ],
    ids=["still", "covered", "early", "open", "slip", "word", "small", "nobody", "blank"],
)
def test_what_is_no_opened_mouth_gives_no_sign(frames: Callable[[], Frames]) -> None:
    jaw = watch(frames())
    assert not jaw.seen
    assert jaw.judge().reason == NO_SIGN
    assert not jaw.judge().passed


@pytest.mark.req("E010")
def test_pictures_that_are_none_break_it_and_never_pass() -> None:
    jaw = watch((image[:, :, 0], face, now) for image, face, now in drawn(opens=on_request))
    assert jaw.judge().reason == "LIVENESS_EXPERT_FAILED"
    assert jaw.judge().score is None


@pytest.mark.parametrize("seed", [1, 2])
def test_a_picture_that_is_moved_turned_and_tilted_does_not_open_its_mouth(seed: int) -> None:
    corners = np.array([face_at().points], np.float32)

    def held() -> Frames:
        still, rng = texture(seed), np.random.default_rng(seed)
        for step in range(45):
            right, down, turn = (float(value) for value in rng.uniform(-12, 12, 3))
            tilt = float(rng.uniform(-4e-4, 4e-4))
            picture = moved(still, right, down, turn_deg=turn, tilt=tilt)
            # where the detector would find the face: five points slip by 2 % of the eyes' distance each
            probe = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            found = []
            for x, y in corners[0]:
                probe[:] = 0
                cv2.circle(probe, (round(float(x)), round(float(y))), 3, (255, 255, 255), -1)
                spots = moved(probe, right, down, turn_deg=turn, tilt=tilt)[:, :, 0]
                mass = cv2.moments(spots)
                found.append((mass["m10"] / mass["m00"], mass["m01"] / mass["m00"]))
            points = np.array(found) + rng.normal(0, 0.02 * 44, (5, 2))
            yield noisy(picture, step), Face(face_at().box, points.astype(np.float32), 0.9), step / 15

    jaw = watch(held())
    assert jaw.opening is not None
    assert jaw.opening < POLICY.min_jaw_opening * 0.75


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> LiveDetector:
    return LiveDetector(YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1))


def before_the_camera(
    detector: LiveDetector, kind: PersonKind, portrait: str, seed: int, *, seconds: float = 2.4
) -> JawWatch:
    """Asked from ASKED_S on, in the colours of a screen."""
    scene, jaw = Scene(kind, portraits.load(portrait), seed=seed), JawWatch(POLICY)
    for step in range(round(15 * seconds)):
        now = step / 15
        image = scene.frame(now)
        jaw.observe(image, next(iter(detector.detect(image)), None), now)
        if now >= ASKED_S:
            jaw.ask(now)
            scene.show("OPEN_MOUTH", now)
            if step % 4 == 0:
                scene.light(((255, 108, 108), (108, 255, 255), (255, 255, 255))[step // 4 % 3], now)
    return jaw


@pytest.mark.parametrize(("portrait", "seed"), [("astronaut", 11), ("grace_hopper", 12)])
def test_simulated_people_open_their_mouths_when_asked(
    detector: LiveDetector, portrait: str, seed: int
) -> None:
    jaw = before_the_camera(detector, "live", portrait, seed)
    assert jaw.seen, jaw.opening


@pytest.mark.parametrize(
    ("kind", "seed"), [("mask", MASK_WITH_HOLES), ("cutout", CUTOUT_WITH_HOLES), ("print_bent", 1)]
)
def test_masks_and_prints_cannot_whatever_blinks_behind_them(
    detector: LiveDetector, kind: PersonKind, seed: int
) -> None:
    jaw = before_the_camera(detector, kind, "astronaut", seed)
    assert not jaw.seen
    assert jaw.opening is None or jaw.opening < POLICY.min_jaw_opening * 0.75


def test_a_rigid_head_that_nods_does_not_open_its_mouth(detector: LiveDetector) -> None:
    portrait = portraits.load("astronaut")
    statue = Person(head(portrait, portraits.face_box(portrait)), blinking=None, talking=None)
    room, jaw, pitches = np.full((480, 640, 3), 150, np.uint8), JawWatch(POLICY), []
    for step in range(32):
        now = step / 15
        pitch = np.radians(20.0) * np.sin(2 * np.pi * now / 1.5)
        pose = Pose(0.0, -22.0, 470.0, float(np.radians(4)), float(pitch))
        image = noisy(statue.onto(room, Moment(now, pose)), step)
        jaw.observe(image, next(iter(detector.detect(image)), None), now)
        if now >= ASKED_S:
            jaw.ask(now)
        pitches.append(pitch)
    assert max(pitches) > np.radians(15)
    assert not jaw.seen, jaw.opening


@pytest.mark.skipif(
    not (DATA / "videos" / "intel-webcam").is_dir(), reason=f"no webcam clips in {DATA} (set VERIFIELD_DATA)"
)
@pytest.mark.parametrize("name", ["night", "school"])
def test_a_still_of_a_real_face_held_in_a_hand_gives_no_sign(name: str, detector: LiveDetector) -> None:
    clip = cv2.VideoCapture(str(DATA / "videos" / "intel-webcam" / f"{name}.mkv"))
    grabbed, still = clip.read()
    clip.release()
    assert grabbed
    still, rng = np.asarray(still, np.uint8), np.random.default_rng(7)
    still = np.asarray(cv2.resize(still, None, fx=1.5, fy=1.5), np.uint8)[100:580, 160:800]
    jaw = JawWatch(POLICY)
    for step in range(30):
        shift, turn = rng.uniform(-8, 8, 2), float(rng.uniform(-4, 4))
        image = moved(still, *map(float, shift), turn_deg=turn, tilt=float(rng.uniform(-2e-4, 2e-4)))
        image = noisy(image, step)
        jaw.observe(image, next(iter(detector.detect(image)), None), step / 15)
        if step == 5:
            jaw.ask(step / 15)
    assert not jaw.seen
    assert jaw.opening is None or jaw.opening < POLICY.min_jaw_opening
