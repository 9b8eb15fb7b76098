"""The scene before the camera, drawn for any moment that is asked for."""

from __future__ import annotations

import dataclasses
from typing import Literal

import cv2
import numpy as np

from verifield_sim import portraits
from verifield_sim.camera import subjects
from verifield_sim.camera.motion import Blinking, Following, Turning, Unrest
from verifield_sim.camera.optics import Image, Pose, Relief, draw
from verifield_sim.errors import SimError

PersonKind = Literal["live", "print", "print-bent", "none"]
PersonStart = Literal["ready", "far", "turned", "dark"]

DISTANCE_MM = 470.0  # an arm's length: some 80 pixels between the eyes
_EYES_ABOVE_CENTRE_MM = 22.0
_TOO_FAR_MM = 640.0  # farther than an arm's length: some 34 pixels between the eyes
_TURNED_AWAY = 0.72  # radians
_DARKNESS = 0.88  # of the light that is missing
_NOISE_SIGMA = 2.5  # grey levels, an ordinary sensor in office light


class Scene:
    """A person, a print in somebody's hand, or nobody, in front of an office wall.

    The picture is a function of the seed, the prompts shown so far and the time.
    """

    def __init__(
        self,
        person_kind: PersonKind,
        portrait: Image | None,
        *,
        seed: int,
        start: PersonStart = "ready",
    ) -> None:
        """Prepare the figure. ``portrait``: uint8 [height, width, 3] BGR, needed unless nobody is there.

        ``start``: what is wrong at first; the person does what the screen says against it.

        Raises:
            SimError: no portrait, or none with a face.
        """
        rng = np.random.default_rng(seed)
        self._seed = seed
        self._room = subjects.room(rng)
        self._noise = rng.normal(0, _NOISE_SIGMA, (720, 960, 3)).astype(np.int16)
        self._figure: Relief | None = None
        self._shut: Relief | None = None
        live = person_kind == "live"
        if person_kind != "none":
            if portrait is None:
                raise SimError(f"a scene of kind {person_kind} needs a portrait")
            box = portraits.face_box(portrait)
            if live:
                self._figure = subjects.head(portrait, box)
                self._shut = dataclasses.replace(self._figure, texture=subjects.closed_eyes(self._figure))
            else:
                bend = float(rng.uniform(8, 18)) if person_kind == "print-bent" else 0.0
                self._figure = subjects.paper_print(portrait, box, rng, bend_mm=bend)
        self._turning = Turning(rng, angle_deg=(27, 33) if live else (25, 38))
        sway = (5.0, 2.5, 8.0, 0.02, 0.015, 0.012) if live else (9.0, 7.0, 12.0, 0.04, 0.04, 0.025)
        self._unrest = Unrest(rng, sway, pace_hz=0.25 if live else 0.6)
        self._blinking = Blinking(rng)
        self._far = Following(rng, prompts=frozenset({"COME_CLOSER"}), wrong=start == "far")
        self._away = Following(rng, prompts=frozenset({"LOOK_STRAIGHT"}), wrong=start == "turned")
        self._dark = Following(rng, prompts=frozenset({"MORE_LIGHT"}), wrong=start == "dark")

    def show(self, prompt: str, now: float) -> None:
        """Tell the person (or the attacker, who plays along) what the screen says from ``now`` on."""
        self._turning.show(prompt, now)
        for part in (self._far, self._away, self._dark):
            part.show(prompt, now)

    def frame(self, now: float) -> Image:
        """Return what the camera sees at ``now``: uint8 [480, 640, 3] BGR."""
        picture = self._room
        figure = self._figure
        if figure is not None:
            if self._shut is not None and self._blinking.shut(now):
                figure = self._shut
            drawn, cover = draw(figure, self._pose(now))
            picture = cv2.blendLinear(drawn, picture, cover, 1.0 - cover).astype(np.uint8, copy=False)
        if (missing := _DARKNESS * self._dark.at(now)) > 0:
            picture = cv2.convertScaleAbs(picture, alpha=1.0 - missing).astype(np.uint8, copy=False)
        return self._grain(picture, now)

    def covered(self, now: float) -> Image:
        """Return what the camera sees behind a covered lens: its own noise."""
        return self._grain(np.zeros_like(self._room), now)

    def _pose(self, now: float) -> Pose:
        x, y, z, yaw, pitch, roll = self._unrest.at(now)
        turn = self._turning.yaw(now) + _TURNED_AWAY * self._away.at(now)
        distance = DISTANCE_MM + _TOO_FAR_MM * self._far.at(now)
        return Pose(x, y - _EYES_ABOVE_CENTRE_MM, distance + z, yaw + turn, pitch, roll)

    def _grain(self, picture: Image, now: float) -> Image:
        """Add sensor noise: a window of the noise sheet that depends on the moment alone."""
        h, w = picture.shape[:2]
        moment = np.random.default_rng([self._seed, int(now * 1e6) & 0xFFFFFFFF])
        y, x = moment.integers(0, (self._noise.shape[0] - h, self._noise.shape[1] - w))
        grain = self._noise[y : y + h, x : x + w]
        return cv2.add(picture, grain, dtype=cv2.CV_8U).astype(np.uint8, copy=False)
