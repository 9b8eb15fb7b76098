"""The scene before the camera, drawn for any moment that is asked for."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from verifield_sim import portraits
from verifield_sim.camera import subjects
from verifield_sim.camera.cutout import Box
from verifield_sim.camera.display import DEVICES, Display
from verifield_sim.camera.figures import Figure, Moment, Person
from verifield_sim.camera.instruments import cutout_of, mask_of, print_of
from verifield_sim.camera.lamp import Colour, Lamp
from verifield_sim.camera.motion import Blinking, Drift, Following, Gaping, Talking, Turning, Unrest
from verifield_sim.camera.optics import Image, Pose
from verifield_sim.camera.replay import Film, Injection, Puppet, Recording, Sensor
from verifield_sim.errors import SimError

PersonKind = Literal[
    "live",
    "print",
    "print_bent",
    "cutout",
    "phone",
    "tablet",
    "monitor",
    "replay_turns",
    "mask",
    "injection",
    "none",
]
PersonStart = Literal["ready", "far", "turned", "dark"]

DISTANCE_MM = 470.0  # an arm's length: some 80 pixels between the eyes
_EYES_ABOVE_CENTRE_MM = 22.0
_TOO_FAR_MM = 640.0  # farther than an arm's length: some 34 pixels between the eyes
_TURNED_AWAY = 0.72  # radians
_DARKNESS = 0.88  # of the light that is missing
_NOISE_SIGMA = 2.5  # grey levels, an ordinary sensor in office light

# Unrest in mm and radians (x, y, z, yaw, pitch, roll), and its pace in Hz.
_Unrest = tuple[tuple[float, float, float, float, float, float], float]
_BODY: _Unrest = (5.0, 2.5, 8.0, 0.02, 0.015, 0.012), 0.25
_HAND: _Unrest = (9.0, 7.0, 12.0, 0.04, 0.04, 0.025), 0.6
_DEVICE: _Unrest = (5.0, 4.0, 6.0, 0.03, 0.03, 0.02), 0.5
_STAND: _Unrest = (0.3, 0.3, 0.3, 0.001, 0.001, 0.001), 0.5  # a desk that somebody leans on
_UNREST: dict[PersonKind, _Unrest] = {
    "live": _BODY,
    "mask": _BODY,
    "phone": _DEVICE,
    "tablet": _DEVICE,
    "replay_turns": _DEVICE,
    "monitor": _STAND,
}


class Scene:
    """A person, something in somebody's hand, or nobody, in front of an office wall.

    The picture is a function of the seed, the prompts and colours shown so far and the time.
    """

    def __init__(
        self,
        person_kind: PersonKind,
        portrait: Image | None,
        *,
        seed: int,
        start: PersonStart = "ready",
        sensor: Sensor = "fresh",
    ) -> None:
        """Prepare the figure. ``portrait``: uint8 [height, width, 3] BGR, needed unless nobody is there.

        ``start``: what is wrong at first; the person does what the screen says against it. ``sensor``: of a
        recording that never saw a camera.

        Raises:
            SimError: no portrait, or none with a face.
        """
        rng = np.random.default_rng(seed)
        self._seed = seed
        self._sensor = sensor
        self._room = subjects.room(rng)
        self._noise = rng.normal(0, _NOISE_SIGMA, (720, 960, 3)).astype(np.int16)
        if person_kind != "none" and portrait is None:
            raise SimError(f"a scene of kind {person_kind} needs a portrait")
        box = (0, 0, 0, 0) if portrait is None or person_kind == "none" else portraits.face_box(portrait)
        paper = None
        if portrait is not None and person_kind in ("print", "print_bent"):
            paper = print_of(portrait, box, rng, bent=person_kind == "print_bent")
        like_a_head = person_kind in ("live", "mask")
        self._turning = Turning(rng, angle_deg=(27, 33) if like_a_head else (25, 38))
        sway, pace = _UNREST.get(person_kind, _HAND)
        self._unrest = Unrest(rng, sway, pace_hz=pace)
        blinking = Blinking(rng)
        self._far = Following(rng, prompts=frozenset({"COME_CLOSER"}), wrong=start == "far")
        self._away = Following(rng, prompts=frozenset({"LOOK_STRAIGHT"}), wrong=start == "turned")
        self._dark = Following(rng, prompts=frozenset({"MORE_LIGHT"}), wrong=start == "dark")
        self._lamp = Lamp(np.random.default_rng([seed, 3]))
        self._drift = Drift(np.random.default_rng([seed, 4]))
        self._centre = 0.0, -_EYES_ABOVE_CENTRE_MM, DISTANCE_MM
        self._slant = 0.0, 0.0
        self._turns_along = True  # the whole figure turns when the screen asks for it
        self._figure: Figure | None = paper
        self._stream: Injection | None = None
        if portrait is not None and paper is None:
            self._bring(person_kind, portrait, box, blinking)

    def _bring(self, kind: PersonKind, portrait: Image, box: Box, blinking: Blinking) -> None:
        """Set the figures that came after the first ones: what they draw has streams of its own."""
        seed = self._seed
        if kind == "live":
            talking = Talking(np.random.default_rng([seed, 5]))
            gaping = Gaping(np.random.default_rng([seed, 18]))
            head = subjects.head(portrait, box)
            self._figure = Person(head, blinking=blinking, talking=talking, gaping=gaping)
        elif kind in ("cutout", "mask"):
            impostor = _somebody_else(portrait)
            make = cutout_of if kind == "cutout" else mask_of
            self._figure = make(portrait, box, impostor, portraits.face_box(impostor), seed)
        elif kind == "injection":
            self._stream = Injection(_film_of(portrait), seed)
        elif kind != "none":
            self._bring_display(kind, portrait)

    def _bring_display(self, kind: PersonKind, portrait: Image) -> None:
        rng = np.random.default_rng([self._seed, 6])
        drawn = DEVICES[int(rng.integers(len(DEVICES)))]
        device = next((one for one in DEVICES if one == kind), drawn)
        recorded = bool(rng.random() < 0.5)  # an earlier session, else a video of somebody who just looks
        film = _film_of(portrait)
        video: Puppet | Recording
        if kind == "replay_turns":
            video = Puppet(film, self._seed, colours=True)
        else:
            video = Recording(film, self._seed, turns=recorded, colours=recorded)
        display = Display(device, video, self._room, self._seed)
        self._figure = display
        self._centre, self._slant = (0.0, 0.0, display.distance), display.slant
        # A device in the hand is turned like a print, unless what it shows turns.
        self._turns_along = display.held and kind != "replay_turns" and not recorded

    def show(self, prompt: str, now: float) -> None:
        """Tell the person (or the attacker, who plays along) what the screen says from ``now`` on."""
        if self._turns_along:
            self._turning.show(prompt, now)
        for part in (self._far, self._away, self._dark):
            part.show(prompt, now)
        for listener in (self._figure, self._stream):
            if listener is not None:
                listener.show(prompt, now)

    def light(self, colour: Colour | None, now: float) -> None:
        """Let the screen shine in ``colour`` (red, green, blue, sRGB 0..255) from ``now`` on; None: no more.

        Raises:
            SimError: no such colour.
        """
        if colour is not None and not (len(colour) == 3 and all(0 <= part <= 255 for part in colour)):
            raise SimError("a colour has three parts from 0 to 255")
        self._lamp.light(colour, now)
        for listener in (self._figure, self._stream):
            if listener is not None:
                listener.light(colour, now)

    def frame(self, now: float) -> Image:
        """Return what the camera sees at ``now``: uint8 [480, 640, 3] BGR."""
        if self._stream is not None:
            return self._stream.frame(now)
        beam = self._lamp.at(now)
        picture = self._room if beam is None else beam.on_room(self._room)
        if self._figure is not None:
            picture = self._figure.onto(picture, Moment(now, self._pose(now), beam))
        gain = self._drift.at(now) * (1.0 - _DARKNESS * self._dark.at(now))
        picture = cv2.convertScaleAbs(picture, alpha=gain).astype(np.uint8, copy=False)
        return self._grain(picture, now)

    def covered(self, now: float) -> Image:
        """Return what the camera sees behind a covered lens: its own noise."""
        return self._grain(np.zeros_like(self._room), now)

    def _pose(self, now: float) -> Pose:
        x, y, z, yaw, pitch, roll = self._unrest.at(now)
        turn = self._turning.yaw(now) + _TURNED_AWAY * self._away.at(now)
        distance = self._centre[2] + _TOO_FAR_MM * self._far.at(now)
        x, y = x + self._centre[0], y + self._centre[1]
        return Pose(x, y, distance + z, yaw + turn + self._slant[1], pitch + self._slant[0], roll)

    def _grain(self, picture: Image, now: float) -> Image:
        """Add sensor noise: a window of the noise sheet that depends on the moment alone."""
        if self._sensor == "none":
            return picture
        h, w = picture.shape[:2]
        drawn_for = 0 if self._sensor == "fixed" else int(now * 1e6) & 0xFFFFFFFF
        moment = np.random.default_rng([self._seed, drawn_for])
        y, x = moment.integers(0, (self._noise.shape[0] - h, self._noise.shape[1] - w))
        grain = self._noise[y : y + h, x : x + w]
        return cv2.add(picture, grain, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def _film_of(portrait: Image) -> Film:
    """Films the person of ``portrait`` with a camera of their own."""

    def film(seed: int, sensor: Sensor) -> Scene:
        return Scene("live", portrait, seed=seed, sensor=sensor)

    return film


def _somebody_else(portrait: Image) -> Image:
    """Another person than the one of ``portrait``, to hold and wear what shows them."""
    others = (portraits.load(name) for name in portraits.NAMED)
    return next(other for other in others if not np.array_equal(other, portrait))
