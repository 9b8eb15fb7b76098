"""The simulated attack instruments: each follows its seed, and differs from a person as it should."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from verifield_sim import portraits
from verifield_sim.camera import PersonKind, Scene
from verifield_sim.camera.display import DEVICES, Display
from verifield_sim.camera.figures import Person
from verifield_sim.camera.motion import Blinking, Drift, Gaping, Talking
from verifield_sim.camera.optics import FOCAL_PX, Image, Pose
from verifield_sim.camera.replay import Injection, Puppet, Recording, Sensor, random_colours
from verifield_sim.camera.subjects import head, jaw_down
from verifield_sim.errors import SimError
from verifield_sim.scenario import open_scenario, parse_scenario, scenario_names

KINDS: tuple[PersonKind, ...] = tuple(kind for kind in get_args(PersonKind) if kind not in ("none", "live"))
EYES, WALL = (slice(195, 225), slice(270, 370)), (slice(60, 160), slice(20, 60))


@cache
def portrait(name: str = "astronaut") -> Image:
    return portraits.load(name)


def film(seed: int, sensor: Sensor) -> Scene:
    return Scene("live", portrait(), seed=seed, sensor=sensor)


def difference(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_instrument_is_a_function_of_seed_prompts_light_and_time(kind: PersonKind) -> None:
    first, second, third = (Scene(kind, portrait(), seed=seed) for seed in (5, 5, 6))
    for scene in (first, second, third):
        scene.show("TURN_LEFT", 0.1)
        scene.light((255, 108, 255), 0.2)
    second.frame(0.7)  # looking in between changes nothing
    frame = first.frame(1.0)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, second.frame(1.0))
    assert difference(frame, third.frame(1.0)) > 2
    empty = Scene("none", None, seed=5).frame(1.0)
    assert (np.abs(frame.astype(int) - empty).max(axis=2) > 20)[180:300, 290:350].mean() > 0.5, (
        "it is in view"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_needs_a_portrait(kind: PersonKind) -> None:
    with pytest.raises(SimError, match="portrait"):
        Scene(kind, None, seed=0)


@pytest.mark.parametrize("kind", ["cutout", "mask"])
def test_who_holds_or_wears_it_is_somebody_else(kind: PersonKind) -> None:
    """Around the instrument another person's clothes are seen: each of the two portraits hides the other."""
    for name in portraits.NAMED:
        attack = Scene(kind, portrait(name), seed=4).frame(0.5)
        victim = Scene("live", portrait(name), seed=4).frame(0.5)
        assert difference(attack[420:], victim[420:]) > 15


def blink_of(person: Person) -> tuple[float, float]:
    """A moment with open eyes and one with shut ones, half a second apart."""
    blinking = person._blinking
    assert blinking is not None
    shut = next(t for t in np.arange(1.0, 8.0, 0.02) if blinking.shut(float(t) + 0.05))
    return float(shut) - 0.45, float(shut) + 0.05


def test_a_living_face_blinks_and_a_printed_one_does_not() -> None:
    live = Scene("live", portrait(), seed=9)
    assert isinstance(live._figure, Person)
    opened, shut = blink_of(live._figure)
    shell = Person(head(portrait(), portraits.face_box(portrait())), blinking=None, talking=None)
    relief = shell._head
    rows = slice(round(relief.origin[1]) - 8, round(relief.origin[1]) + 8)
    changes = []
    for figure in (live._figure, shell):
        faces = [figure._face(moment)[rows, :, :3].copy() for moment in (opened, shut)]
        changes.append(difference(*faces))
    assert changes[0] > 1.0
    assert changes[1] == 0.0


def test_lids_are_half_down_before_and_after_they_are_shut() -> None:
    blinking = Blinking(np.random.default_rng(3))
    states = [2 if blinking.shut(t) else int(blinking.half_shut(t)) for t in np.arange(0.0, 20.0, 0.01)]
    text = "".join(map(str, states)).strip("2").lstrip("1")
    blinks = [part for part in text.split("0") if part]
    assert len(blinks) >= 3
    assert all(part.strip("1").strip("2") == "" and part[0] == "1" for part in blinks)
    assert all(part[-1] == "1" for part in blinks[:-1])


def test_a_mouth_opens_at_the_mouth_and_nowhere_else() -> None:
    figure = head(portrait(), portraits.face_box(portrait()))
    rows, cols, still = jaw_down(figure, figure.texture, 0.0)
    assert np.array_equal(still, figure.texture[rows, cols])
    opened = jaw_down(figure, figure.texture, 5.0)[2]
    changed = np.abs(opened.astype(int) - still).max(axis=2) > 12
    px = 1.0 / figure.mm_per_px
    middle = changed[: round(25 * px), round(60 * px) : round(100 * px)]
    assert middle.mean() > 0.2
    assert changed[-round(3 * px) :].mean() < 0.05, "the chin's edge stays"
    assert changed[:, : round(40 * px)].mean() < 0.05
    wide = jaw_down(figure, figure.texture, 25.0)[2]
    dark = [
        int((part[: round(40 * px), :, :3].sum(axis=2).astype(int) < 140).sum()) for part in (opened, wide)
    ]
    assert dark[1] > 2 * dark[0], "behind the lips it is dark, the more the wider"


def test_a_mouth_opens_when_asked_and_shuts_when_something_else_is_asked() -> None:
    for seed in range(20):
        gaping = Gaping(np.random.default_rng(seed))
        for prompt, now in (
            ("LOOK_AT_CAMERA", 0.0),
            ("OPEN_MOUTH", 1.0),
            ("OPEN_MOUTH", 1.1),
            ("WATCH_SCREEN", 3.0),
        ):
            gaping.show(prompt, now)
        openings = {round(t, 2): gaping.at(t) for t in np.arange(0.0, 6.0, 0.02)}
        assert max(opening for t, opening in openings.items() if t < 1.3) == 0.0, "nobody is that quick"
        assert 13.0 <= max(openings.values()) <= 28.0
        assert max(opening for t, opening in openings.items() if t > 4.0) == 0.0
        assert max(np.abs(np.diff(list(openings.values())))) < 6.0, "not faster than a jaw: 300 mm/s"
        gaping.show("OPEN_MOUTH", 10.0)
        assert gaping.at(11.2) > 12.0, "and again"


def test_jaws_are_hardly_still_and_some_people_talk() -> None:
    widest = []
    for seed in range(40):
        talking = Talking(np.random.default_rng(seed))
        openings = [talking.at(t) for t in np.arange(0.0, 20.0, 0.05)]
        assert min(openings) >= 0.0
        assert max(np.abs(np.diff(openings))) < 9.0, "not faster than people speak: 180 mm/s"
        widest.append(max(openings))
    assert 5 <= sum(opening > 1.5 for opening in widest) <= 25
    assert max(widest) < 8.0


def test_exposure_drifts_by_a_percent_at_most() -> None:
    for seed in range(10):
        drift = Drift(np.random.default_rng(seed))
        gains = [drift.at(t) for t in np.arange(0.0, 60.0, 0.5)]
        assert 0.987 < min(gains) < 1.0 < max(gains) < 1.013


@pytest.mark.parametrize("device", DEVICES)
def test_a_display_is_a_plane_with_a_frame_around_an_upright_face(device: PersonKind) -> None:
    scene = Scene(device, portrait(), seed=2)
    display = scene._figure
    assert isinstance(display, Display)
    assert display.held == (device != "monitor")
    pose = Pose(0.0, 0.0, display.distance)
    to_camera = np.asarray(display._homography(pose), np.float64)
    assert to_camera[2, :2] == pytest.approx(0.0, abs=1e-6), "seen straight on it stays a rectangle"
    eyes_px = 84.0 * to_camera[0, 0]  # of the camera's picture
    assert 60 < eyes_px < 90, "the face is as large as somebody's at arm's length"
    turned = np.asarray(display._homography(Pose(0.0, 0.0, display.distance, yaw=0.3)), np.float64)
    corner = turned @ np.array([0.0, display._panel.shape[0] / 2, 1.0])
    mm = display._panel.shape[1] / 2 * display._mm_per_px
    expected = -FOCAL_PX * mm * np.cos(0.3) / (display.distance - mm * np.sin(0.3)) + 320
    assert corner[0] / corner[2] == pytest.approx(expected, abs=1.5)


def test_sub_pixels_beat_against_the_sensor_in_colours_and_the_more_the_coarser_they_are() -> None:
    sizes = {}
    for device in DEVICES:
        beats = []
        for seed in range(12):
            display = Scene(device, portrait(), seed=seed)._figure
            assert isinstance(display, Display)
            beats.append(display._cell)
            assert display._cell.mean() == pytest.approx(1.0, abs=1e-3)
            assert display._cell.max() < 1.11
        sizes[device] = float(np.mean([np.ptp(beat) for beat in beats]))
        channels = beats[0] - beats[0].mean(axis=2, keepdims=True)
        assert np.ptp(channels) >= 0.5 * np.ptp(beats[0]), "the stripes have colours"
    assert max(sizes.values()) > 0.005


def test_a_video_comes_at_its_own_rate() -> None:
    scene = Scene("monitor", portrait(), seed=3)
    display = scene._figure
    assert isinstance(display, Display)
    step = 1.0 / display._rate
    one = display._screen(10 * step + 0.001).copy()
    assert np.array_equal(one, display._screen(10 * step + 0.6 * step))
    assert not np.array_equal(one, display._screen(11 * step + 0.001))


def test_a_monitor_does_not_turn_and_a_puppet_does() -> None:
    told, quiet = (Scene("monitor", portrait(), seed=3) for _ in range(2))
    told.show("TURN_LEFT", 0.1)
    assert np.array_equal(told.frame(2.0), quiet.frame(2.0))
    told, quiet = (Scene("replay_turns", portrait(), seed=3) for _ in range(2))
    told.show("TURN_LEFT", 0.1)
    assert np.array_equal(told.frame(0.2), quiet.frame(0.2))
    assert difference(told.frame(2.0), quiet.frame(2.0)) > 1.5


def test_a_recording_of_an_earlier_session_holds_its_turns_and_its_colours() -> None:
    still, acted = (Recording(film, 4, turns=told, colours=told, sensor="none") for told in (False, True))
    start, spread = acted.frame(0.1), 0.0
    tints = set()
    for now in np.arange(0.3, acted._lasts, 0.4):
        picture = acted.frame(float(now))
        spread = max(spread, difference(picture[:, 240:400], start[:, 240:400]))
        face = cv2.GaussianBlur(picture, (0, 0), 5)[170:190, 310:330].reshape(-1, 3).mean(axis=0)
        tints.add(tuple(np.round(face / face.mean(), 2)))
    quiet = max(difference(still.frame(t)[:, 240:400], still.frame(0.1)[:, 240:400]) for t in (1.0, 3.0, 5.0))
    assert spread > 1.5 * quiet
    assert len(tints) > 3
    assert np.array_equal(acted.frame(0.5), acted.frame(0.5 + acted._lasts)), "it plays in a loop"


def test_a_puppet_plays_the_old_colours_from_the_first_new_one_on() -> None:
    lights: list[tuple[float, object]] = []

    class Noted:
        def __init__(self, seed: int) -> None:
            self._scene = film(seed, "none")

        def show(self, prompt: str, now: float) -> None:
            self._scene.show(prompt, now)

        def light(self, colour: object, now: float) -> None:
            lights.append((now, colour))

        def frame(self, now: float) -> Image:
            return self._scene.frame(now)

    puppet = Puppet(lambda seed, _sensor: Noted(seed), 4, colours=True)
    puppet.light(None, 1.0)
    assert lights == []
    puppet.light((255, 255, 255), 2.0)
    puppet.light((108, 108, 108), 2.4)
    assert [colour for _, colour in lights[:-1]] == puppet._colours
    assert lights[0][0] == 2.0
    assert lights[-1][1] is None


def test_old_sequences_look_like_the_appliances_own() -> None:
    seen = [tuple(random_colours(np.random.default_rng(seed))) for seed in range(30)]
    assert len(set(seen)) == 30
    for colours in seen:
        assert len(colours) == 8
        assert {part for colour in colours for part in colour} <= {108, 255}
        assert all(one != other for one, other in itertools.pairwise(colours))


def test_each_way_of_injection_shows_its_sign() -> None:
    ways: dict[str, Injection] = {}
    for seed in range(40):
        one = Injection(film, seed)
        ways.setdefault(one.way, one)
        if len(ways) == 4:
            break
    assert set(ways) == {"clean", "fixed", "loop", "session"}

    changes = {way: difference(one.frame(1.0)[WALL], one.frame(1.5)[WALL]) for way, one in ways.items()}
    assert max(changes["clean"], changes["fixed"]) < 1.5, "no noise, and the same noise"
    assert changes["session"] > 1.8, "a sensor's noise is new each time"
    assert changes["clean"] < changes["session"]
    rough = {way: ways[way].frame(1.0)[WALL].astype(np.float32) for way in ("clean", "fixed")}
    grain = {way: float((wall - cv2.medianBlur(wall, 5)).std()) for way, wall in rough.items()}
    assert grain["fixed"] > grain["clean"] + 0.5
    loop = ways["loop"]
    later = round(loop._period * loop._rate) / loop._rate
    assert np.array_equal(loop.frame(0.5), loop.frame(0.5 + later))
    assert not np.array_equal(loop.frame(0.5), loop.frame(0.7))


def test_every_instrument_has_a_scenario() -> None:
    kinds = {open_scenario(name).person.kind for name in scenario_names()}
    assert kinds == set(get_args(PersonKind))


def test_the_old_spelling_is_refused_with_those_there_are() -> None:
    text = '[person]\nkind = "print-bent"\nportrait = "astronaut"'
    with pytest.raises(SimError, match="print_bent"):
        parse_scenario(text, name="test", folder=Path())
