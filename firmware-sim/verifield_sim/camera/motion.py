"""How a person moves: reaction to what the screen asks, and the small unrest of every living body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# What the screen may ask, and the way the nose goes in the unmirrored picture.
TURNS = {"TURN_LEFT": 1.0, "TURN_RIGHT": -1.0}
STRAIGHT = frozenset({"LOOK_STRAIGHT", "LOOK_AT_CAMERA"})


@dataclass(frozen=True, slots=True)
class _Move:
    start: float
    lasts: float
    origin: float
    target: float

    def at(self, now: float) -> float:
        """Minimum-jerk path (Flash and Hogan 1985)."""
        share = min(max((now - self.start) / self.lasts, 0.0), 1.0)
        return self.origin + (self.target - self.origin) * share**3 * (10 - 15 * share + 6 * share**2)


class Turning:
    """The yaw of somebody who answers the prompts after a human's reaction time."""

    def __init__(self, rng: np.random.Generator, *, angle_deg: tuple[float, float]) -> None:
        self._rng = rng
        self._angle = angle_deg
        self._moves: list[_Move] = []
        self._answered = ""

    def show(self, prompt: str, now: float) -> None:
        """Take notice of ``prompt``, unless it asks for no turn or is the one being answered."""
        if prompt == self._answered:
            return
        if prompt in TURNS:
            target = TURNS[prompt] * float(np.radians(self._rng.uniform(*self._angle)))
        elif prompt in STRAIGHT:
            target = 0.0
        else:
            return
        self._answered = prompt
        start = now + float(self._rng.uniform(0.3, 0.6))
        lasts = float(self._rng.uniform(0.55, 0.8))
        self._moves = [*self._moves[-1:], _Move(start, lasts, self.yaw(start), target)]

    def yaw(self, now: float) -> float:
        """Radians, positive with the nose to the right of the picture."""
        begun = [move for move in self._moves if move.start <= now]
        if begun:
            return begun[-1].at(now)
        return self._moves[0].origin if self._moves else 0.0


class Following:
    """Something that is wrong at first, and that the person puts right when the screen says so.

    From 1 to 0 after a human's reaction time, for good, once one of ``prompts`` was shown.
    """

    def __init__(self, rng: np.random.Generator, *, prompts: frozenset[str], wrong: bool) -> None:
        self._rng = rng
        self._prompts = prompts
        self._move: _Move | None = None
        self._wrong = wrong

    def show(self, prompt: str, now: float) -> None:
        """Take notice of ``prompt``."""
        if self._wrong and self._move is None and prompt in self._prompts:
            start = now + float(self._rng.uniform(0.3, 0.6))
            self._move = _Move(start, float(self._rng.uniform(1.0, 1.6)), 1.0, 0.0)

    def at(self, now: float) -> float:
        """How much of it is still wrong, 0..1."""
        return float(self._wrong) if self._move is None else self._move.at(now)


class Unrest:
    """Six slow quasi-periodic motions (x, y, z, yaw, pitch, roll) of seeded phase around zero."""

    def __init__(self, rng: np.random.Generator, scale: tuple[float, ...], pace_hz: float) -> None:
        self._scale = np.array(scale)
        self._rates = rng.uniform(0.6, 1.4, (3, len(scale))) * np.array([[1.0], [2.3], [5.1]]) * pace_hz
        self._phases = rng.uniform(0, 2 * np.pi, (3, len(scale)))

    def at(self, now: float) -> list[float]:
        waves = np.sin(2 * np.pi * self._rates * now + self._phases) * np.array([[0.6], [0.3], [0.1]])
        return [float(value) for value in self._scale * waves.sum(axis=0)]


class Blinking:
    """Whether the eyes are shut: every three to six seconds for 0.15 seconds."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._every = float(rng.uniform(3.0, 6.0))
        self._first = float(rng.uniform(0.0, self._every))

    def shut(self, now: float) -> bool:
        return (now + self._first) % self._every < 0.15
