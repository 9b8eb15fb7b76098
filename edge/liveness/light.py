"""The light challenge: an unpredictable sequence of colours on the screen, which the face must reflect.

    state     what happened                                        next      colour or reason
    WAITING   straight before the camera (and at rest, before      SHOWING   the first
              anybody asks: edge.capture.run_up)
    SHOWING   the colour was up for its time and seen in enough    SHOWING   the next
              frames, and more are left
    SHOWING   the last colour was up for its time                  WATCHED   none
    SHOWING   the screen did not take the colour in time           FAILED    LIVENESS_LIGHT_UNAVAILABLE
    SHOWING   pictures stopped coming, so that a colour stood      FAILED    LIVENESS_LIGHT_STALLED
    both      no face came within the time for the first look      FAILED    LIVENESS_NO_FACE
    WAITING   a face came, but never straight                      FAILED    LIVENESS_TIMEOUT
    SHOWING   the face is gone for too long                        FAILED    LIVENESS_FACE_LOST

WATCHED says that the challenge ran its course; what the face answered is judged by ``light_response``.

After Tang et al., "Face Flashing" (NDSS 2018), and Liu et al., "Aurora Guard" (2019): light travels at once,
so that neither a recording of another sequence nor a picture made on demand is in time.

Safe for people with photosensitive epilepsy as far as WCAG 2.2, success criterion 2.3.1, says: at most four
changes of colour in any second, that is two flashes (pairs of opposing changes), where three are allowed; and
no colour is a saturated red in its sense. Nobody has to look at it: there is a variant without light.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from edge.liveness.light_response import LightReading, LightSample, ShownColour, judge_response
from edge.liveness.nonce import NONCE_BYTES
from edge.model import Colour
from edge.policy import LivenessPolicy

DOMAIN = b"verifield light v1"  # keeps this use of the nonce apart from any other
NULL_DOMAIN = b"verifield light, others, v1"

DIM, FULL = 108, 255
"""sRGB of a channel that is off and on: 15 % and 100 % of the screen's light. Nothing is wholly dark, so that
no colour is a saturated red (R / (R + G + B) >= 0.8 in linear light, WCAG 2.2) and no change the largest."""

PALETTE: tuple[Colour, ...] = tuple(
    (FULL if code & 4 else DIM, FULL if code & 2 else DIM, FULL if code & 1 else DIM) for code in range(8)
)
COLOURS = 8
SEQUENCES = len(PALETTE) * (len(PALETTE) - 1) ** (COLOURS - 1)
"""All equally likely; no colour follows itself. 6,588,344, or 2^22.6."""

SHORTEST_S, LONGEST_S = 0.252, 0.265
"""How long a colour is up: any four for more than a second (WCAG), and not quite the same beat twice."""

LAST_LONGER_S = 0.12  # the camera sees the last colour late, too
TAKE_S = 2.0  # a screen that has not taken a colour by then is away
SEEN_FRAMES = 3
"""Of each colour, where the device is slow; then it stays up to SLOWEST_S instead of its time."""

SLOWEST_S = 1.4
LATE_S = 0.1  # frames that come sooner after a change may still show the colour before
STALL_S = 1.5  # frames that far apart tell nothing of a sequence of this beat
OTHERS = 8191
"""Sequences that the response is held against: enough to tell one in 2^13."""


class LightState(StrEnum):
    WAITING = "WAITING"
    SHOWING = "SHOWING"
    WATCHED = "WATCHED"
    FAILED = "FAILED"


def new_sequence(nonce: bytes) -> tuple[Colour, ...]:
    """Derive the colours from ``nonce`` (16 random bytes), every sequence as likely as any other.

    Raises:
        ValueError: a nonce of another length.
    """
    # 256 bits modulo the number of sequences: the bias is under 2^-233.
    number = int.from_bytes(_stream(nonce)[:32]) % SEQUENCES
    number, code = divmod(number, len(PALETTE))
    codes = [code]
    for _ in range(COLOURS - 1):
        number, step = divmod(number, len(PALETTE) - 1)
        codes.append((codes[-1] + 1 + step) % len(PALETTE))
    return tuple(PALETTE[code] for code in codes)


def new_durations(nonce: bytes) -> tuple[float, ...]:
    """Seconds for which each colour stays, from ``nonce``."""
    stream = _stream(nonce)[32:]
    span = LONGEST_S - SHORTEST_S
    times = [
        SHORTEST_S + span * int.from_bytes(stream[2 * index : 2 * index + 2]) / 65536
        for index in range(COLOURS)
    ]
    times[-1] += LAST_LONGER_S
    return tuple(times)


class LightChallenge:
    """Fed with one sample per frame; see the table at the top of this file.

    ``colour`` is what the screen should show now. Whoever shows it says when it was up (``lit``).
    ``time_factor``: of the time for the first look.
    """

    def __init__(self, nonce: bytes, policy: LivenessPolicy, *, time_factor: float = 1.0) -> None:
        self.colours = new_sequence(nonce)
        self.state = LightState.WAITING
        self.failure = ""  # a reason code once FAILED
        self._nonce = nonce
        self._policy = policy
        self._first_look_s = policy.first_look_time_limit_s * time_factor
        self._durations = new_durations(nonce)
        self._began: float | None = None
        self._last_frame: float | None = None
        self._last_seen: float | None = None
        self._asked_at: float | None = None
        self._shown: list[ShownColour] = []
        self._samples: list[tuple[float, LightSample]] = []

    @property
    def done(self) -> bool:
        return self.state in (LightState.WATCHED, LightState.FAILED)

    @property
    def begun(self) -> bool:
        """Whether a colour was asked for already."""
        return self.state is not LightState.WAITING

    @property
    def colour(self) -> Colour | None:
        """What the screen should show now; None: nothing in particular."""
        if self.state is not LightState.SHOWING:
            return None
        return self.colours[len(self._shown) - (self._asked_at is None)]

    @property
    def shown(self) -> Sequence[ShownColour]:
        """The colours that were up so far, with their times."""
        return tuple(self._shown)

    def lit(self, at: float) -> None:
        """Say that ``colour`` has been up since ``at``, by the clock that stamps the frames."""
        colour = self.colour
        if colour is not None and self._asked_at is not None:
            self._shown.append(ShownColour(colour, at))
            self._asked_at = None

    def handle(self, sample: LightSample | None, now: float, *, seen: bool) -> None:
        """Take one frame: what it shows of a face that looks straight; ``seen``: whether of any face."""
        if self.done:
            return
        began = self._began = now if self._began is None else self._began
        gap = 0.0 if self._last_frame is None else now - self._last_frame
        self._last_frame = now
        if seen:
            self._last_seen = now
        if self.state is LightState.WAITING:
            self._waiting(sample, now, began)
        else:
            self._showing(sample, now, gap)

    def fail(self, reason: str) -> None:
        """End the challenge; the first reason stays."""
        if not self.done:
            self.state, self.failure = LightState.FAILED, reason

    def judge(self) -> LightReading | None:
        """Judge the response; None where the challenge did not run its course."""
        if self.state is not LightState.WATCHED:
            return None
        digest = hashlib.sha256(NULL_DOMAIN + self._nonce).digest()
        return judge_response(
            self._shown, self._samples, palette=PALETTE, others=OTHERS, seed=int.from_bytes(digest[:8])
        )

    def _stood(self, up_s: float) -> bool:
        """Whether the newest colour, up for so long, may go."""
        since = self._shown[-1].at + LATE_S
        seen = sum(at >= since for at, _ in self._samples[-SEEN_FRAMES:])
        return up_s >= self._durations[len(self._shown) - 1] and (seen >= SEEN_FRAMES or up_s >= SLOWEST_S)

    def _waiting(self, sample: LightSample | None, now: float, began: float) -> None:
        if sample is not None:
            self.state, self._asked_at = LightState.SHOWING, now
        elif now - began > self._first_look_s:
            self.fail("LIVENESS_NO_FACE" if self._last_seen is None else "LIVENESS_TIMEOUT")

    def _showing(self, sample: LightSample | None, now: float, gap: float) -> None:
        if gap > STALL_S:
            self.fail("LIVENESS_LIGHT_STALLED")
        elif sample is not None:
            self._samples.append((now, sample))
        elif self._last_seen is None or now - self._last_seen > self._policy.max_face_gap_s:
            self.fail("LIVENESS_FACE_LOST")
        if self.done:
            return
        if self._asked_at is not None:
            if now - self._asked_at > TAKE_S:
                self.fail("LIVENESS_LIGHT_UNAVAILABLE")
        elif self._stood(now - self._shown[-1].at):
            if len(self._shown) == COLOURS:
                self.state = LightState.WATCHED
            else:
                self._asked_at = now


def _stream(nonce: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    return hashlib.shake_256(DOMAIN + nonce).digest(32 + 2 * COLOURS)
