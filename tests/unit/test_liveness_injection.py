"""Frames that no sensor gave: times on a grid, noise that is missing or comes again; and what follows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.liveness.injection import (
    MIN_INTERVALS,
    NO_NOISE,
    NOISE_REPEATS,
    TIMES_REPEAT,
    FrameTimes,
    InjectionWatch,
    SensorNoise,
)
from edge.liveness.session import LivenessSession
from edge.model import Face, Image
from edge.policy import LivenessPolicy
from tests.support.liveness import Told

POINTS = np.array([[140, 110], [180, 110], [160, 135], [145, 155], [175, 155]], np.float32)
FACE = Face((115.0, 70.0, 90.0, 110.0), POINTS, 1.0)
LOOK_S = 0.1


def times_of(intervals: list[float]) -> str:
    times, now = FrameTimes(), 100.0
    for interval in intervals:
        times.observe(now)
        now += interval
    return times.sign()


def jittered(seed: int, *, spread: float = 0.0005, count: int = 100) -> list[float]:
    return list(1 / 30 + np.random.default_rng(seed).normal(0, spread, count))


def test_a_bus_gives_frames_when_it_can() -> None:
    assert times_of(jittered(1)) == ""
    assert times_of(jittered(2, spread=0.01)) == ""  # a busy device
    assert times_of(jittered(3, spread=0.00002)) == ""  # a very calm one


@pytest.mark.req("E016")
@pytest.mark.parametrize(
    "intervals",
    [[1 / 30] * 60, [0.033, 0.034, 0.033] * 30, jittered(4, count=10) * 8],
    ids=["a grid", "a grid in milliseconds", "a loop"],
)
def test_times_on_a_grid_or_in_a_cycle_are_made(intervals: list[float]) -> None:
    assert times_of(intervals) == TIMES_REPEAT


def test_a_few_frames_say_nothing_of_time() -> None:
    assert times_of([1 / 30] * MIN_INTERVALS) == ""


def noise_of(frames: list[Image]) -> str:
    noise = SensorNoise()
    for step, frame in enumerate(frames):
        noise.observe(frame, FACE, step * LOOK_S)
    return noise.sign()


def sensor(seed: int, *, sigma: float, count: int = 30, walker: bool = False) -> list[Image]:
    """A room with structure before a sensor; ``walker``: somebody passes behind."""
    rng = np.random.default_rng(seed)
    room = 120 + 25 * np.sin(np.arange(320) / 20)[None, :, None] + rng.normal(0, 3, (240, 320, 1))
    frames = []
    for step in range(count):
        scene = room * (1 + 0.02 * np.sin(step))  # light changes a little
        if walker:
            scene = scene.copy()
            scene[:, 10 * step : 10 * step + 30] -= 40
        frames.append(np.clip(scene + rng.normal(0, sigma, (240, 320, 3)), 0, 255).astype(np.uint8))
    return frames


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("walker", [False, True])
def test_a_sensor_has_noise_and_never_the_same_twice(sigma: float, walker: bool) -> None:
    assert noise_of(sensor(1, sigma=sigma, walker=walker)) == ""


@pytest.mark.req("E016")
def test_a_background_without_noise_and_one_whose_noise_comes_again_are_made() -> None:
    still = sensor(2, sigma=2.0, count=1)
    assert noise_of(still * 30) == NO_NOISE
    assert noise_of(sensor(3, sigma=2.0, count=9) * 4) == NOISE_REPEATS


def test_too_little_to_see_says_nothing() -> None:
    assert noise_of([]) == ""
    assert noise_of(sensor(4, sigma=0.0, count=5)) == ""
    assert noise_of([np.zeros((480, 640, 3), np.uint8)] * 30) == ""  # black: noise cannot show
    assert noise_of([np.zeros((20, 20, 3), np.uint8)] * 30) == ""
    assert InjectionWatch().signs() == ()


@pytest.mark.req("E016")
@pytest.mark.parametrize(("allowed", "reason"), [(False, "INJECTION_FRAME_TIMES"), (True, None)])
def test_a_session_on_made_frames_is_refused_unless_they_are_allowed(
    allowed: bool, reason: str | None
) -> None:
    session = LivenessSession(bytes(16), LivenessPolicy(), passive=Told(), made_up_frames_pass=allowed)
    for step, frame in enumerate(sensor(5, sigma=2.0, count=40)):
        session.observe(frame, FACE, step / 30)
    assert session.injection_signs == (TIMES_REPEAT,)
    result = session.result(2.0)
    origin = next(expert for expert in result.experts if expert.name == "camera_origin")
    assert not origin.passed
    assert origin.reason == TIMES_REPEAT
    assert origin.advisory is allowed
    assert (reason in result.reasons) if reason else (TIMES_REPEAT not in result.reasons)


def test_a_camera_with_its_own_noise_and_time_has_no_sign() -> None:
    session = LivenessSession(bytes(16), LivenessPolicy(), passive=Told())
    now = 0.0
    for frame, interval in zip(sensor(6, sigma=2.0, count=40), jittered(7), strict=False):
        session.observe(frame, FACE, now)
        now += interval
    assert session.injection_signs == ()
    origin = next(expert for expert in session.result(now).experts if expert.name == "camera_origin")
    assert origin == dataclasses.replace(origin, score=1.0, reason="", advisory=False)
