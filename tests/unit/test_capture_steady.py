"""Frames that say nothing about now, and a camera that comes and goes; no pictures of people needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.latest import camera_lost
from edge.capture.run_up import MAX_YAW_SPREAD, MIN_FRAMES, GoodRun
from edge.capture.steady import RETRY_S, SteadyCamera
from edge.capture.watch import DARK, NOTICE_S, FrameWatch, Look, is_black, same_picture
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance, Frame, Image, QualityComponent
from tests.support.clocks import ManualClock
from tests.support.faces import face

STEP_S = 0.1
GOOD = (QualityComponent("sharpness", 1.0, passed=True),)
BAD = (QualityComponent("sharpness", 0.0, passed=False, reason="BLURRED"),)


def noisy(seed: int, level: int = 120) -> Image:
    return np.random.default_rng(seed).integers(level - 9, level + 9, (48, 64, 3)).astype(np.uint8)


BLACK = np.random.default_rng(0).integers(0, DARK, (48, 64, 3)).astype(np.uint8)


def looks(pictures: list[Image], step_s: float = STEP_S) -> list[Look]:
    watch = FrameWatch()
    return [watch.judge(Frame(picture, n * step_s, n)) for n, picture in enumerate(pictures)]


def test_new_pictures_are_fresh_and_repeats_are_withheld_then_said() -> None:
    assert looks([noisy(n) for n in range(5)]) == [Look.FRESH] * 5
    said = looks([noisy(1)] * 9)
    assert said[0] is Look.FRESH
    late = said.index(Look.FROZEN)
    assert late * STEP_S == pytest.approx(NOTICE_S)
    assert said == [Look.FRESH, *[Look.WITHHELD] * (late - 1), *[Look.FROZEN] * (9 - late)]
    assert looks([noisy(1), noisy(1), noisy(2)])[-1] is Look.FRESH


def test_black_is_withheld_then_said_and_light_ends_it() -> None:
    said = looks([BLACK] * 9 + [noisy(1)])
    assert Look.FRESH not in said[:-1]
    assert said[8] is Look.BLACK
    assert said[-1] is Look.FRESH
    dim = np.full((48, 64, 3), DARK + 1, np.uint8)
    assert is_black(BLACK)
    assert not is_black(dim)


def test_one_other_pixel_is_another_picture_and_an_older_frame_is_stale() -> None:
    other = noisy(1)
    other[40, 7, 2] ^= 1
    assert same_picture(noisy(1), noisy(1))
    assert not same_picture(noisy(1), other)
    assert not same_picture(noisy(1), noisy(1)[:40])
    watch = FrameWatch()
    watch.judge(Frame(noisy(1), 5.0, 1))
    assert watch.judge(Frame(noisy(2), 4.9, 2)) is Look.WITHHELD


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["new", "same", "black"]), max_size=40))
def test_nothing_but_new_pictures_ever_gets_through(course: list[str]) -> None:
    pictures: list[Image] = []
    for number, what in enumerate(course):
        repeat = pictures[-1] if pictures else noisy(number)
        pictures.append({"new": noisy(number), "same": repeat, "black": BLACK}[what])
    for number, look in enumerate(looks(pictures)):
        if look is Look.FRESH:
            assert not is_black(pictures[number])
            assert number == 0 or not np.array_equal(pictures[number], pictures[number - 1])


@dataclass
class Tape:
    """Implements ``ports.Camera``: gives what it was given; an exception is raised."""

    clock: ManualClock
    items: Iterator[Image | CameraLost]
    camera_id: str = "tape"
    assurance: CameraAssurance = CameraAssurance.HOST
    closed: list[str] = field(default_factory=list)

    def read(self, timeout_s: float) -> Frame:
        self.clock.advance(STEP_S)
        item = next(self.items, None)
        if item is None or isinstance(item, CameraLost):
            raise item or camera_lost("nothing more")
        return Frame(item, self.clock.now_s, 1)

    def close(self) -> None:
        self.closed.append(self.camera_id)


def steady(clock: ManualClock, *tapes: Tape | HardwareError) -> SteadyCamera:
    """The first tape; each time that it is opened again, the next."""
    left = list(tapes[1:])

    def reopen() -> Tape:
        item = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(item, HardwareError):
            raise item
        return item

    assert isinstance(tapes[0], Tape)
    return SteadyCamera(tapes[0], reopen=reopen if left else None, clock=clock, wait=clock.advance)


def test_a_lost_camera_is_opened_again_as_soon_as_it_is_there() -> None:
    clock = ManualClock()
    gone = HardwareError("NO_CAMERA", "no")
    lost = Tape(clock, iter([noisy(1), camera_lost("unplugged")]))
    camera = steady(clock, lost, gone, gone, gone, Tape(clock, iter([noisy(2)])))
    camera.read(1.5)
    with pytest.raises(CameraLost):
        camera.read(1.5)
    assert lost.closed
    before = clock.now_s
    assert np.array_equal(camera.read(1.5).pixels, noisy(2))
    assert clock.now_s - before <= 3 * RETRY_S + STEP_S + 0.01


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HardwareError("NO_CAMERA", "no"), "CAMERA_LOST"),
        (HardwareError("CAMERA_DENIED", "no"), "CAMERA_LOST"),
        (HardwareError("CAMERA_BUSY", "busy", hint="close it"), "CAMERA_BUSY"),
    ],
)
def test_what_keeps_it_from_coming_back_is_said_in_time(error: HardwareError, code: str) -> None:
    clock = ManualClock()
    camera = steady(clock, Tape(clock, iter([])), error)
    with pytest.raises(CameraLost):
        camera.read(1.5)
    before = clock.now_s
    with pytest.raises(CameraLost) as caught:
        camera.read(1.5)
    assert (caught.value.code, caught.value.message) == (code, error.message)
    assert clock.now_s - before == pytest.approx(1.5)


@pytest.mark.parametrize(
    "other", [{"camera_id": "another"}, {"assurance": CameraAssurance.SIMULATED}], ids=["id", "assurance"]
)
def test_another_camera_does_not_take_its_place(other: dict[str, object]) -> None:
    clock = ManualClock()
    stranger = Tape(clock, iter([noisy(3)]), **other)  # type: ignore[arg-type]
    camera = steady(clock, Tape(clock, iter([])), stranger)
    for _ in range(2):
        with pytest.raises(CameraLost):
            camera.read(1.0)
    assert stranger.closed
    assert (camera.camera_id, camera.assurance) == ("tape", CameraAssurance.HOST)


def test_a_frozen_picture_stays_frozen_after_the_camera_was_opened_again() -> None:
    clock = ManualClock()
    frozen = Tape(clock, iter([noisy(1)] * 60))
    camera = steady(clock, frozen, Tape(clock, iter([noisy(1), noisy(1), noisy(2)])))
    camera.read(1.5)
    codes = []
    for _ in range(60):
        try:
            assert np.array_equal(camera.read(1.5).pixels, noisy(2))
            break
        except CameraLost as lost:
            codes.append(lost.code)
    assert frozen.closed
    assert set(codes) == {"CAMERA_FROZEN"}


def test_what_is_played_once_is_not_played_again() -> None:
    clock = ManualClock()
    over = CameraLost("CAMERA_ENDED", "over")
    tape = Tape(clock, iter([noisy(1), *[noisy(1)] * 40, noisy(2), over, over]))
    camera = steady(clock, tape)
    camera.read(1.5)
    codes: list[str] = []
    while "CAMERA_ENDED" not in codes:
        try:
            camera.read(1.5)
        except CameraLost as lost:
            codes.append(lost.code)
    assert not tape.closed
    camera.close()
    assert tape.closed


@pytest.mark.parametrize("lost_before", [False, True])
def test_what_was_closed_is_not_opened_again(lost_before: bool) -> None:
    clock = ManualClock()
    first, second = Tape(clock, iter([noisy(1)])), Tape(clock, iter([noisy(2)]))
    camera = steady(clock, first, second)
    camera.read(1.5)
    if lost_before:
        with pytest.raises(CameraLost):
            camera.read(1.5)
    camera.close()
    for _ in range(2):
        with pytest.raises(CameraLost, match="closed") as caught:
            camera.read(1.5)
        assert caught.value.code == "CAMERA_ENDED", "who tries again after all else ends by this"
    assert first.closed
    assert next(second.items, None) is not None, "nobody looked at it"


def test_what_is_closed_while_it_is_opened_again_is_closed_too() -> None:
    clock = ManualClock()
    second = Tape(clock, iter([noisy(2)]))

    def reopen() -> Tape:
        camera.close()  # as another thread may
        return second

    camera = SteadyCamera(Tape(clock, iter([])), reopen=reopen, clock=clock, wait=clock.advance)
    with pytest.raises(CameraLost):
        camera.read(1.5)
    with pytest.raises(CameraLost, match="closed"):
        camera.read(1.5)
    assert second.closed


@dataclass
class Slow(Tape):
    """A tape that keeps to time-outs: its first picture takes ``left_s``, each other ``every_s``."""

    every_s: float = 0.45
    left_s: float = 0.45

    def read(self, timeout_s: float) -> Frame:
        waited = min(timeout_s, self.left_s)
        self.clock.advance(waited)
        self.left_s -= waited
        if self.left_s > 0:
            raise camera_lost("no picture in time")
        self.left_s = self.every_s
        return Frame(next(self.items), self.clock.now_s, 1)  # type: ignore[arg-type]


def test_a_look_takes_no_longer_than_it_may_however_many_frames_are_withheld() -> None:
    clock = ManualClock()
    tape = Slow(clock, iter([noisy(1), noisy(1), noisy(2), noisy(2), noisy(3)]))
    camera = steady(clock, tape, HardwareError("NO_CAMERA", "no"))
    camera.read(0.5)
    for picture in (2, 3):
        before = clock.now_s
        with pytest.raises(CameraLost):
            camera.read(0.5)
        assert clock.now_s - before == pytest.approx(0.5)
        assert np.array_equal(camera.read(0.5).pixels, noisy(picture)), "it was not given up"


def test_a_camera_that_is_slow_to_start_is_not_closed_before_its_first_picture() -> None:
    clock = ManualClock()
    slow = Slow(clock, iter([noisy(2)]), every_s=1.0, left_s=1.0)
    gone = HardwareError("NO_CAMERA", "no")
    camera = steady(clock, Tape(clock, iter([])), gone, gone, gone, slow, gone)
    with pytest.raises(CameraLost):
        camera.read(1.5)
    before = clock.now_s
    with pytest.raises(CameraLost):
        camera.read(1.5)  # half of it for finding the camera
    assert clock.now_s - before == pytest.approx(1.5)
    assert not slow.closed
    assert np.array_equal(camera.read(1.5).pixels, noisy(2))
    with pytest.raises(CameraLost):
        camera.read(0.5)
    assert slow.closed, "silence for a whole look"


def first_yes(frames: list[tuple[float, bool]], *, seconds: float = 0.4) -> int | None:
    """Index of the frame (shift of the nose, whether its quality is good) that ends the run."""
    run = GoodRun(seconds=seconds, max_yaw=0.15)
    for number, (shift, good) in enumerate(frames):
        if run.offer(face(scale=3, nose_shift=shift), GOOD if good else BAD, number * STEP_S):
            return number
    return None


def test_a_run_is_good_frames_of_a_head_at_rest_for_long_enough() -> None:
    still = (0.0, True)
    assert first_yes([still] * 9) == 4
    assert first_yes([still] * 9, seconds=0.05) == MIN_FRAMES - 1
    assert first_yes([still] * 3 + [(0.0, False)] + [still] * 9) == 8
    assert first_yes([(20 * 0.16, True)] * 20) is None  # good, but not looking straight
    turning = [(20 * 0.14 - 20 * 0.04 * n, True) for n in range(4)]
    assert first_yes([*turning, *[still] * 9]) in range(6, 10)
    assert 0.04 < MAX_YAW_SPREAD < 0.14
    run = GoodRun(seconds=0.0, max_yaw=1.0)
    assert not any(run.offer(None, GOOD, n * STEP_S) for n in range(9))
    assert not any(run.offer(face(scale=3), (), n * STEP_S) for n in range(9))
