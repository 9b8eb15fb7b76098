"""How a person moves: reaction to what the screen asks, and the small unrest of every living body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# What the screen may ask, and the way the nose goes in the unmirrored picture.
TURNS = {"TURN_LEFT": 1.0, "TURN_RIGHT": -1.0}
_SHUT_S, _FALLING_S, _RISING_S = 0.15, 0.06, 0.09
_TALKERS = 0.35  # of people who are looked at by a machine
GAPE = "OPEN_MOUTH"
STRAIGHT = frozenset({"LOOK_STRAIGHT", "LOOK_AT_CAMERA"})


@dataclass(frozen=True, slots=True)
class _Move:
    start: float
    lasts: float
    origin: float
    target: float

    def at(self, now: float) -> float:
        """Minimum-jerk path (Flash and Hogan 1985)."""
        return self.origin + (self.target - self.origin) * _eased((now - self.start) / self.lasts)


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
    """The lids: every three to six seconds they fall, stay shut for 0.15 seconds, and rise."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._every = float(rng.uniform(3.0, 6.0))
        self._first = float(rng.uniform(0.0, self._every))

    def shut(self, now: float) -> bool:
        return (now + self._first) % self._every < _SHUT_S

    def half_shut(self, now: float) -> bool:
        """On the way down or up."""
        since = (now + self._first) % self._every
        return _SHUT_S <= since < _SHUT_S + _RISING_S or since >= self._every - _FALLING_S


class Talking:
    """How far the jaw is open, in mm: hardly ever quite still, and some people talk now and then."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._talks = bool(rng.random() < _TALKERS)
        self._wide = float(rng.uniform(2.0, 5.0))
        self._idle = float(rng.uniform(0.2, 0.8))
        self._syllables = rng.uniform(2.5, 5.5, 3)  # a second
        self._phases = rng.uniform(0, 2 * np.pi, 5)
        self._episode = float(rng.uniform(4.0, 9.0)), float(rng.uniform(0.25, 0.6))  # period, share of it

    def at(self, now: float) -> float:
        """Millimetres, 0 or more."""
        slow = float(np.sin(2 * np.pi * 0.31 * now + float(self._phases[3])))
        idle = self._idle * (0.5 + 0.5 * slow)
        period, share = self._episode
        place = float(now / period + self._phases[4]) % 1.0
        if not self._talks or place > share:
            return idle
        waves = np.sin(2 * np.pi * self._syllables * now + self._phases[:3])
        # Words begin and end softly.
        swell = math.sqrt(math.sin(math.pi * place / share))
        return idle + self._wide * swell * max(0.0, 0.45 + float(waves.mean()))


class Gaping:
    """How far somebody opens the mouth, in mm, who is asked to: again and again until told something else."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._reacts = float(rng.uniform(0.3, 0.7))
        self._wide = float(rng.uniform(13.0, 28.0))
        self._opens, self._holds, self._shuts, self._rests = (
            float(rng.uniform(*span)) for span in ((0.2, 0.4), (0.9, 1.8), (0.25, 0.45), (0.5, 1.0))
        )
        self._spans: list[tuple[float, float]] = []  # asked, and told something else: seconds
        self._prompt = ""

    def show(self, prompt: str, now: float) -> None:
        """Take notice of ``prompt``."""
        if prompt == self._prompt:
            return
        if self._prompt == GAPE:
            self._spans[-1] = self._spans[-1][0], now + 0.5 * self._reacts
        if prompt == GAPE:
            self._spans = [*self._spans[-7:], (now + self._reacts, math.inf)]
        self._prompt = prompt

    def at(self, now: float) -> float:
        """Millimetres, 0 or more."""
        return self._wide * max((self._share(now, *span) for span in self._spans), default=0.0)

    def _share(self, now: float, asked: float, ended: float) -> float:
        if now < asked:
            return 0.0
        return self._cycle(min(now, ended) - asked) * (1.0 - _eased((now - ended) / self._shuts))

    def _cycle(self, since: float) -> float:
        """0..1: opens, stays open, shuts and rests."""
        since %= self._opens + self._holds + self._shuts + self._rests
        opened = _eased(since / self._opens)
        return opened - _eased((since - self._opens - self._holds) / self._shuts)


def _eased(share: float) -> float:
    """Minimum-jerk path from 0 to 1, for a share of its time."""
    share = min(max(share, 0.0), 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


class Drift:
    """The gain of a camera that looks for its exposure, around 1."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._size = float(rng.uniform(0.002, 0.012))
        self._rates = rng.uniform(0.05, 0.35, 2)
        self._phases = rng.uniform(0, 2 * np.pi, 2)

    def at(self, now: float) -> float:
        waves = np.sin(2 * np.pi * self._rates * now + self._phases)
        return 1.0 + self._size * float(waves.mean())
