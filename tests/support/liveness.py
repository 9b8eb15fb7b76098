"""Liveness in tests: passive signals that are as told, policies that take little time, sessions on frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge.answers import ChallengeKind
from edge.liveness.passive import PassiveResult
from edge.liveness.session import LivenessSession
from edge.model import Colour, Face, Image, LivenessResult
from edge.policy import LivenessPolicy

Seen = tuple[Image, Face | None, float]

TURNS_ONLY = LivenessPolicy(challenges=(ChallengeKind.TURNS,))
"""Without light: three seconds fewer, for tests of something else."""

QUICK = dataclasses.replace(TURNS_ONLY, challenge_turns=1)
"""The least that a session can be: one turn of the head."""


@dataclass
class Told:
    """Passive signals that say what they are told. Implements ``edge.liveness.session.Passive``."""

    answer: PassiveResult = field(default_factory=lambda: PassiveResult(0.9, (), ""))

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        """Whatever comes."""

    def result(self) -> PassiveResult:
        return self.answer


@dataclass
class Lamp:
    """Shows what a session wants, as ``FaceCapture`` does; ``changes``: when, and which colour."""

    shine: Callable[[Colour | None, float], None] = lambda _colour, _now: None
    changes: list[tuple[float, Colour | None]] = field(default_factory=list)
    shown: Colour | None = None

    def follow(self, session: LivenessSession, now: float) -> None:
        if session.light == self.shown:
            return
        self.shown = session.light
        self.changes.append((now, self.shown))
        self.shine(self.shown, now)
        if self.shown is not None:
            session.lit(now)


def replay(session: LivenessSession, seen: Iterable[Seen]) -> LivenessResult:
    """Feed frames that were seen before; the screen lights up as this session wants, and they do not care."""
    lamp, last = Lamp(), 0.0
    for image, face, now in seen:
        session.observe(image, face, now)
        lamp.follow(session, now)
        last = now
    return session.result(last)
