"""The simulated screen's light: what it does to a face, to paper, to glass, and to the camera."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from verifield_sim import portraits
from verifield_sim.camera import PersonKind, Scene
from verifield_sim.camera.lamp import LATENCY_S, REFERENCE_MM, Lamp, Surface
from verifield_sim.camera.optics import Field, Pose, Relief, trace
from verifield_sim.errors import SimError
from verifield_sim.scenario import Scenario
from verifield_sim.server import SimServer
from verifield_sim.world import World

WHITE = (255, 255, 255)
SEEDS = (1, 2)
FACE, WALL = (slice(150, 260), slice(275, 365)), (slice(60, 300), slice(560, 630))
FOREHEAD = (slice(165, 190), slice(295, 345))
SIDES = (slice(222, 248), [*range(246, 256), *range(384, 394)])  # of the cheeks, where they turn away


@cache
def answer(
    kind: PersonKind, seed: int, colour: tuple[int, int, int] = WHITE, *, person: str = "astronaut"
) -> Field:
    """How much brighter each pixel gets, linear and BGR, against the same moment without light."""
    portrait = portraits.load(person)
    dark, lit = (Scene(kind, portrait, seed=seed) for _ in range(2))
    lit.light(colour, 1.0)
    with_light, without = (scene.frame(1.6).astype(np.float32) for scene in (lit, dark))
    both = [cv2.GaussianBlur((picture / 255.0) ** 2.2, (0, 0), 3.0) for picture in (with_light, without)]
    return np.asarray(both[0] / np.maximum(both[1], 0.02), np.float32)


def test_a_face_answers_light_by_a_few_percent_and_the_wall_behind_hardly() -> None:
    for seed in SEEDS:
        gain = answer("live", seed)
        # The camera's exposure may take a part of it back, alike everywhere: so the wall is the measure.
        against_wall = float(gain[FACE].mean() / gain[WALL].mean() - 1.0)
        assert 0.015 < against_wall < 0.13, seed
        assert abs(float(gain[WALL].mean()) - 1.0) < 0.04


def test_the_middle_of_a_face_answers_more_than_its_sides_and_of_a_print_all_alike() -> None:
    for seed in SEEDS:
        shares = {}
        for kind in ("live", "print"):
            gain = answer(kind, seed)
            room = float(gain[WALL].mean())
            front, sides = (float(gain[part].mean()) / room - 1.0 for part in (FOREHEAD, SIDES))
            shares[kind] = front / sides
        assert shares["live"] > 1.25, seed
        assert shares["print"] < 1.12, seed


@pytest.mark.parametrize(("colour", "channel"), [((255, 0, 0), 2), ((0, 255, 0), 1), ((0, 0, 255), 0)])
def test_the_answer_has_the_colour_of_the_light(colour: tuple[int, int, int], channel: int) -> None:
    gain = answer("live", 2, colour)
    face = [float(gain[FACE][..., part].mean() / gain[WALL][..., part].mean()) for part in range(3)]
    others = [value for part, value in enumerate(face) if part != channel]
    assert face[channel] > max(others) + 0.01
    assert max(abs(value - 1.0) for value in others) < 0.006


@pytest.mark.parametrize("kind", ["phone", "tablet", "monitor"])
def test_the_face_on_a_display_does_not_answer_but_its_glass_mirrors_the_screen(kind: PersonKind) -> None:
    for seed in SEEDS:
        gain = answer(kind, seed)
        inside = gain[60:420, 250:390].mean(axis=2)
        # A patch that shines, with an edge; beside it next to nothing, where a face would answer all over.
        assert float(np.percentile(inside, 10)) < 1.012, (kind, seed)
        face_like = answer("live", seed)[FACE].mean(axis=2)
        assert float(np.percentile(face_like, 10)) > float(np.percentile(inside, 10)), (kind, seed)


def test_no_light_of_this_room_reaches_an_injected_stream() -> None:
    portrait = portraits.load("astronaut")
    for seed in (1, 2):
        dark, lit = (Scene("injection", portrait, seed=seed) for _ in range(2))
        lit.light(WHITE, 0.5)
        assert np.array_equal(dark.frame(1.5), lit.frame(1.5))


def test_light_comes_after_the_latency_and_goes_as_it_came() -> None:
    for seed in range(10):
        lamp = Lamp(np.random.default_rng(seed))
        assert lamp.at(5.0) is None
        lamp.light(WHITE, 10.0)
        lamp.light(None, 11.0)
        times = np.arange(9.9, 11.6, 0.005)
        level = np.array([0.0 if (beam := lamp.at(t)) is None else beam.mean.mean() for t in times])
        full = level.max()
        assert 0.03 < full < 0.13
        first_half = times[np.argmax(level > full / 2)] - 10.0
        last_half = times[len(level) - 1 - np.argmax(level[::-1] > full / 2)] - 11.0
        assert LATENCY_S[0] <= first_half <= LATENCY_S[1] + 0.06
        assert last_half == pytest.approx(first_half, abs=0.01)
        assert level[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_rolling_shutter_sees_a_change_row_by_row() -> None:
    lamp = Lamp(np.random.default_rng(1))
    lamp.light(WHITE, 0.0)
    beams = [beam for t in np.arange(0.0, 0.25, 0.002) if (beam := lamp.at(float(t))) is not None]
    assert np.ptp(beams[-1].rows[:, 1]) == 0.0
    split = next(beam.rows for beam in beams if 0 < beam.rows[0, 1] < beam.rows[-1, 1])
    assert (np.diff(split[:, 1]) >= -1e-7).all(), "later rows saw more of the new colour"


def test_the_automatics_take_some_of_the_light_back_and_let_go_again() -> None:
    strengths = []
    for seed in range(8):
        lamp = Lamp(np.random.default_rng(seed))
        lamp.light((255, 108, 108), 0.0)
        soon, later = lamp.at(0.2), lamp.at(6.0)
        assert soon is not None
        assert later is not None
        assert (later.automatics <= soon.automatics + 0.01).all()
        strengths.append(1.0 - float(later.automatics.mean()))
        lamp.light(None, 6.0)
        gone = lamp.at(60.0)
        assert gone is not None
        assert gone.automatics == pytest.approx(np.ones(3), abs=1e-4)
    assert max(strengths) > 0.002
    assert min(strengths) >= 0.0


def test_light_falls_off_with_the_square_of_the_distance_and_the_cosine() -> None:
    flat = Relief(np.full((9, 9, 4), 255, np.uint8), np.zeros((9, 9), np.float32), (4, 4), 40.0, 40.0)
    surface = Surface(flat, gloss=0.0, sharpness=1.0)
    lamp = Lamp(np.random.default_rng(0))
    lamp.light(WHITE, 0.0)
    beam = lamp.at(1.0)
    assert beam is not None

    def middle(pose: Pose) -> float:
        return float(surface.shading(pose, trace(flat, pose), beam)[60, 80])

    near, far = middle(Pose(0, 0, REFERENCE_MM)), middle(Pose(0, 0, 2 * REFERENCE_MM))
    # The screen lies below the camera: its cosines, at the sheet and at itself, are nearer to 1 from afar.
    assert far / near == pytest.approx(0.25, rel=0.2)
    assert 0.6 < near < 1.1
    assert middle(Pose(0, 0, REFERENCE_MM, yaw=np.radians(60))) == pytest.approx(0.5 * near, rel=0.15)


@pytest.mark.parametrize("colour", [(-1, 0, 0), (256, 0, 0), (1, 2), (1, 2, 3, 4)])
def test_what_is_no_colour_is_refused(colour: Any) -> None:
    with pytest.raises(SimError):
        Scene("none", None, seed=0).light(colour, 0.0)


@dataclass
class Told:
    """A scene that notes what it is told."""

    colours: list[object] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def show(self, prompt: str, now: float) -> None:
        self.prompts.append(prompt)

    def light(self, colour: object, now: float) -> None:
        self.colours.append(colour)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Told]]:
    world = World.open(Scenario("test"), link=tmp_path / "reader")
    told = Told()
    world._scene = told  # type: ignore[assignment]
    with SimServer(world) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.port, told
        server.shutdown()
        thread.join()
    world.close()


def post(port: int, body: object) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/screen", body=json.dumps(body))
        got = connection.getresponse()
        return got.status, json.loads(got.read())
    finally:
        connection.close()


def test_the_screen_takes_light_as_a_colour_or_null(server: tuple[int, Told]) -> None:
    port, told = server
    for body in ({"light": "#FF8000"}, {"light": "#00aaff", "prompt": "LOOK_STRAIGHT"}, {"light": None}):
        assert post(port, body) == (200, {"ok": True})
    assert told.colours == [(255, 128, 0), (0, 170, 255), None]
    assert told.prompts == ["LOOK_STRAIGHT"]


@pytest.mark.parametrize(
    "light", ["red", "#12345", "#1234567", "#GG0000", "FF0000", "", 255, [255, 0, 0], True, {}, "#FF0000\n"]
)
def test_what_is_no_light_is_refused_before_anything_is_shown(
    server: tuple[int, Told], light: object
) -> None:
    port, told = server
    status, answered = post(port, {"prompt": "TURN_LEFT", "light": light})
    assert status == 400
    assert "light" in answered["error"]
    assert (told.colours, told.prompts) == ([], [])


def test_a_screen_that_is_given_neither_is_refused(server: tuple[int, Told]) -> None:
    port, told = server
    for body in ({}, {"colour": "#FF0000"}):
        assert post(port, body)[0] == 400
    assert told.colours == []
