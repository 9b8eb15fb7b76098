"""A sign of life: the lower jaw moves against the skull, which no rigid face can imitate.

Asked to open the mouth, a person takes lower lip and chin one to four centimetres away from the nose. A
print, a still picture, a mask, and whoever looks through holes in one, cannot: all of their face moves as one
(Kollreider, Fronthaler, Faraj and Bigun 2007 on the mouth as evidence of life). A blink is the better known
sign (Pan et al. 2007; Soukupova and Cech 2016), but eye holes are the first thing that is cut into prints and
masks, and the eyes behind them blink; glasses mirror; and within three seconds half of all people do not
blink by themselves.

In each frame with a straight face the face is brought to one size by its eyes. Three patches of the frame in
which the mouth was asked for, about the eyes, about the tip of the nose, and about lower lip and chin, are
looked for in it by normalised correlation (``edge.liveness.aligned``): light, exposure and contrast go out,
and a hand that covers the mouth is not found, instead of being taken for a movement. How far the lowest went
down from the eyes, in eye distances, less what a rigid head would do, is the opening. A rigid head moves its
patches against each other only by nodding: each as far as it stands out before the eyes (weak perspective).
The tip of the nose stands out most and tells how far the head nodded; lips and chin stand out by a share of
that between LEAST_OUT and MOST_OUT, on any head, and all that some such share explains counts as nodded.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.geometry import nose_drop, yaw_ratio
from edge.liveness.aligned import (
    EYES,
    EYES_AT,
    EYES_PX,
    HEIGHT,
    MIN_EYES,
    SLIPS,
    WIDTH,
    Box,
    align,
    box_at,
    find,
)
from edge.liveness.fusion import SIGN_OF_LIFE
from edge.model import ExpertScore, Face, Image
from edge.policy import LivenessPolicy

NO_SIGN = "LIVENESS_NO_SIGN_OF_LIFE"

# Patches in eye distances: half width, and rows from the nose tip and from between the mouth's corners.
UPPER = (0.36, -0.26, 0.20)
LOWER = (0.27, 0.05, 0.38)
ASIDE = 0.08  # a jaw goes down, hardly to a side
RISES, SINKS = 0.12, 0.5  # a mouth that was ajar when it was asked for closes; the widest opens by so much
LEAST_OUT, MOST_OUT = -0.1, 0.8

MIN_UPPER, MIN_LOWER = 0.6, 0.6  # correlation
MARGIN = 0.1  # by which a patch must fit better where it went than where it was
MAX_NOD = 0.13  # of the nose drop, against the frame of the patches: 13 degrees, or a mouth wide open
FILTER = 3  # readings whose median counts
MAX_GAP_S = 1.0  # between readings of one median
MAX_TURN = 0.08  # of the yaw ratio, against that frame: five points of a head at rest shake by half of that


@dataclass(frozen=True, slots=True)
class _Rest:
    """The frame in which the mouth was asked for: aligned, where its patches lie, and the head's pitch."""

    view: Image
    eyes: Box
    upper: Box
    lower: Box
    drop: float
    yaw: float


def _rest(view: Image, face: Face) -> _Rest | None:
    eyes = face.points[:2].astype(np.float64)
    along = complex(*(eyes[1] - eyes[0]))

    def placed(point: npt.NDArray[np.float64]) -> tuple[float, float]:
        at = complex(*(point - eyes.mean(axis=0))) / along * EYES_PX + complex(*EYES_AT)
        return at.real, at.imag

    points = face.points.astype(np.float64)
    nose, mouth = placed(points[2]), placed(points[3:].mean(axis=0))
    upper, lower = box_at(nose, UPPER), box_at(mouth, LOWER)
    inside = min(upper[:2] + lower[:2]) >= 0 and lower[3] <= HEIGHT and max(upper[2], lower[2]) <= WIDTH
    rest = _Rest(view, box_at(EYES_AT, EYES), upper, lower, nose_drop(face), yaw_ratio(face))
    return rest if inside and upper[1] < lower[1] else None


def _opening(rest: _Rest, view: Image) -> float | None:
    """How far the jaw sank since ``rest``, in eye distances; None where a patch is not found."""
    around = round(SLIPS * EYES_PX)
    skull = find(rest.view, view, rest.eyes, (0, 0), (around, around, around))
    nose = find(rest.view, view, rest.upper, (0, 0), (around, around, around))
    if skull is None or nose is None or skull.fit < MIN_EYES or nose.fit < MIN_UPPER:
        return None
    start, nodded = (round(nose.across), round(skull.down)), nose.down - skull.down
    search = (round(ASIDE * EYES_PX), round(RISES * EYES_PX), round(SINKS * EYES_PX))
    found = find(rest.view, view, rest.lower, start, search)
    if found is None or found.fit < MIN_LOWER or found.down - start[1] >= search[2]:
        return None  # at the end of the search it would have been better beyond, and is none
    sunk = found.down - skull.down
    if abs(sunk) > 2 and found.fit - found.unmoved < MARGIN:
        return None
    shares = sorted((LEAST_OUT * nodded, MOST_OUT * nodded))
    return (sunk - min(max(sunk, shares[0]), shares[1])) / EYES_PX


class JawWatch:
    """Fed with every frame; knows whether the mouth opened after it was asked for. Holds a small picture."""

    def __init__(self, policy: LivenessPolicy) -> None:
        self._policy = policy
        self._newest: _Rest | None = None
        self._rest: _Rest | None = None
        self._asked_at: float | None = None
        self._readings: deque[tuple[float, float]] = deque(maxlen=FILTER)
        self._narrow = math.inf
        self._wide = -math.inf
        self._broken = False

    @property
    def asked_at(self) -> float | None:
        """Monotonic seconds since when the person is asked; None: not yet."""
        return self._asked_at

    @property
    def opening(self) -> float | None:
        """How far the jaw went, in eye distances; None where nothing could be measured."""
        opened = self._wide - self._narrow
        return opened if math.isfinite(opened) else None

    @property
    def seen(self) -> bool:
        """Whether the mouth was opened."""
        opened = self.opening
        return not self._broken and opened is not None and opened >= self._policy.min_jaw_opening

    @property
    def ajar(self) -> bool:
        """Whether the mouth stands open just now: no picture to compare with a card's photo."""
        newest = self._readings[-1][1] if self._readings else 0.0
        return newest - min(self._narrow, 0.0) > self._policy.min_jaw_opening / 2

    def ask(self, now: float) -> None:
        """The person is asked since ``now``; another time changes nothing."""
        self._asked_at = now if self._asked_at is None else self._asked_at

    def pause(self) -> None:
        """The person is asked for something else: what was seen counts no more, unless it was enough."""
        if not self.seen:
            self._newest = self._rest = self._asked_at = None
            self._readings.clear()
            self._narrow, self._wide = math.inf, -math.inf

    def observe(self, image: Image, face: Face | None, now: float) -> None:
        """Take the next frame (uint8 BGR) and the one face in it."""
        if face is None or self._broken or not abs(yaw_ratio(face)) <= self._policy.frontal_yaw_ratio:
            return
        try:
            self._look(image, face, now)
        except (cv2.error, ValueError, ArithmeticError):  # no picture of a camera: broken, never a pass
            self._broken = True

    def judge(self) -> ExpertScore:
        """The opening against the policy's; seen or not, it accuses nobody."""
        limit = self._policy.min_jaw_opening
        if self._broken:
            return ExpertScore(SIGN_OF_LIFE, None, limit, "LIVENESS_EXPERT_FAILED")
        return ExpertScore(SIGN_OF_LIFE, self.opening, limit, "" if self.seen else NO_SIGN)

    def _look(self, image: Image, face: Face, now: float) -> None:
        view = align(image, face)
        if view is None:
            return
        if self._asked_at is None or (self._rest is None and self._newest is None):
            self._newest = _rest(view, face) or self._newest
            return
        rest = self._rest = self._rest or self._newest
        if rest is None or not abs(nose_drop(face) - rest.drop) <= MAX_NOD:
            return
        if not abs(yaw_ratio(face) - rest.yaw) <= MAX_TURN:
            return
        opening = _opening(rest, view)
        if opening is None:
            return
        if self._readings and now - self._readings[-1][0] > MAX_GAP_S:
            self._readings.clear()
        self._readings.append((now, opening))
        if len(self._readings) == FILTER:
            middle = statistics.median(value for _, value in self._readings)
            self._narrow = min(self._narrow, middle)
            if now - self._asked_at >= self._policy.min_reaction_s:
                self._wide = max(self._wide, middle)
