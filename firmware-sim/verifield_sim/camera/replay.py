"""Videos of somebody who was before a camera earlier, and streams that never saw a camera.

A recording is a live scene of its own, with another seed: another room, another lamp, other blinks. One of an
earlier session holds that session's turns and, in the reflections on the face, that session's colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from verifield_sim.camera.lamp import Colour
from verifield_sim.camera.optics import Image

Sensor = Literal["fresh", "fixed", "none"]
"""Noise of a recording's own camera: new in each frame, the same in each frame, or none at all."""

_TURNS, _COLOURS = (2, 4), 8
_COLOUR_S = (0.26, 0.29)
_OFF, _ON = 108, 255  # of a channel, as the appliance's screen has them
_TURN_S = (1.4, 2.4)


class Filmed(Protocol):
    """A living person's scene."""

    def show(self, prompt: str, now: float) -> None: ...

    def light(self, colour: Colour | None, now: float) -> None: ...

    def frame(self, now: float) -> Image: ...


Film = Callable[[int, Sensor], Filmed]
"""Sets a living victim's scene, of a seed, before a camera of such noise."""


class Recording:
    """A video that plays in a loop. ``turns`` and ``colours``: what it holds of an earlier session."""

    def __init__(
        self, film: Film, seed: int, *, turns: bool, colours: bool, sensor: Sensor = "fresh"
    ) -> None:
        self._rng = np.random.default_rng([seed, 15])
        self._scene = film(int(self._rng.integers(1 << 31)), sensor)
        self._lasts = float(self._rng.uniform(6.0, 25.0))
        at = float(self._rng.uniform(0.8, 2.0))
        parts = [self._turns] * turns + [self._colours] * colours
        if self._rng.random() < 0.5:
            parts.reverse()
        for part in parts:
            at = part(at)
        if turns or colours:
            self._lasts = at + float(self._rng.uniform(0.5, 2.0))

    def show(self, prompt: str, now: float) -> None:
        """What was filmed hears nothing."""

    def light(self, colour: Colour | None, now: float) -> None:
        """Nor does it see."""

    def frame(self, now: float) -> Image:
        """The video's picture after ``now`` seconds: uint8 [480, 640, 3] BGR."""
        return self._scene.frame(now % self._lasts)

    def _turns(self, at: float) -> float:
        for _ in range(int(self._rng.integers(_TURNS[0], _TURNS[1] + 1))):
            for prompt in (str(self._rng.choice(["TURN_LEFT", "TURN_RIGHT"])), "LOOK_STRAIGHT"):
                self._scene.show(prompt, at)
                at += float(self._rng.uniform(*_TURN_S))
        return at

    def _colours(self, at: float) -> float:
        self._scene.show("OPEN_MOUTH", at)
        for colour in random_colours(self._rng):
            self._scene.light(colour, at)
            at += float(self._rng.uniform(*_COLOUR_S))
        self._scene.light(None, at)
        self._scene.show("LOOK_STRAIGHT", at)
        return at


class Puppet:
    """A video that does as it is told, from a store of clips or by a program; its light is an earlier one.

    Its colours begin when the screen's begin now: whoever plays it does the best that can be done.
    """

    def __init__(self, film: Film, seed: int, *, colours: bool, sensor: Sensor = "fresh") -> None:
        self._rng = np.random.default_rng([seed, 16])
        self._scene = film(int(self._rng.integers(1 << 31)), sensor)
        self._colours = random_colours(self._rng) if colours else []
        self._begun = False

    def show(self, prompt: str, now: float) -> None:
        """Turn, and open the mouth, when the screen says so."""
        self._scene.show(prompt, now)

    def light(self, colour: Colour | None, now: float) -> None:
        """Play the earlier session's colours, once, from the first of the screen's on."""
        if colour is None or self._begun:
            return
        self._begun = True
        for one in [*self._colours, None]:
            self._scene.light(one, now)
            now += float(self._rng.uniform(*_COLOUR_S))

    def frame(self, now: float) -> Image:
        """The video's picture at ``now``."""
        return self._scene.frame(now)


class Injection:
    """A stream fed in behind the camera: its frames are perfect, or come again, or carry the same noise."""

    RATE = 30.0

    def __init__(self, film: Film, seed: int) -> None:
        rng = np.random.default_rng([seed, 17])
        self.way = str(rng.choice(["clean", "fixed", "loop", "session"]))
        sensor: Sensor = "none" if self.way == "clean" else "fixed" if self.way == "fixed" else "fresh"
        self._puppet = Puppet(film, seed, colours=False, sensor=sensor) if sensor != "fresh" else None
        self._recording = Recording(
            film, seed, turns=self.way == "session", colours=self.way == "session", sensor=sensor
        )
        self._period = float(rng.uniform(1.2, 4.0))
        self._rate = float(rng.choice([15.0, 24.0, 25.0])) if self.way == "session" else self.RATE

    def show(self, prompt: str, now: float) -> None:
        """A puppet turns."""
        if self._puppet is not None:
            self._puppet.show(prompt, now)

    def light(self, colour: Colour | None, now: float) -> None:
        """No light of this room reaches it."""

    def frame(self, now: float) -> Image:
        """What is fed in at ``now``."""
        now = math.floor(now * self._rate) / self._rate
        if self._puppet is not None:
            return self._puppet.frame(now)
        if self.way == "loop":
            frames = round(self._period * self._rate)
            now = round(now * self._rate) % frames / self._rate
        return self._recording.frame(now)


def random_colours(rng: np.random.Generator) -> list[Colour]:
    """The sequence of another session's light challenge: no colour follows itself."""
    steps = rng.integers(1, 8, _COLOURS)
    codes = (int(code) for code in (rng.integers(8) + steps.cumsum()) % 8)
    return [
        (_ON if code & 4 else _OFF, _ON if code & 2 else _OFF, _ON if code & 1 else _OFF) for code in codes
    ]
