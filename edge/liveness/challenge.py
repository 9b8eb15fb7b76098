"""The head-turn challenge: an unpredictable sequence of turns, and the machine that follows the answers.

    state     what happened                                        next      prompt or reason
    SETTLING  frontal for the whole pause, turns are left          TURNING   the next turn
    SETTLING  frontal for the whole pause, no turn is left         PASSED
    SETTLING  a turn nobody asked for, after having been frontal   FAILED    LIVENESS_OUT_OF_STEP
    TURNING   turned as asked, not before a human could            SETTLING  LOOK_STRAIGHT
    TURNING   turned as asked, sooner than a human could           FAILED    LIVENESS_OUT_OF_STEP
    TURNING   turned the other way                                 FAILED    LIVENESS_WRONG_TURN
    both      no face came within the time for the first look      FAILED    LIVENESS_NO_FACE
    both      the time for this step is over                       FAILED    LIVENESS_TIMEOUT
    both      the face that was followed is gone for too long      FAILED    LIVENESS_FACE_LOST

Until the first turn was asked for, a lost face or an early turn only starts the first pause anew.
PASSED and FAILED are final. The length of each pause comes from the nonce like the directions do, so that
a replay of an earlier answer may be out of step even where its directions happen to be the same. Still,
turns alone are few: of replays against fresh nonces one in nine fits (three turns, 6,000 tries).
"""

from __future__ import annotations

import hashlib
import math
import statistics
from enum import StrEnum

from edge.liveness.nonce import NONCE_BYTES
from edge.model import Prompt
from edge.policy import LivenessPolicy

DOMAIN = b"verifield head-turn v1"  # keeps this use of the nonce apart from any other
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.3, 1.3  # longer tries patience, shorter leaves a replay in step
FINAL_PAUSE_S = 0.2  # the last look straight ahead has nothing to hide
TURNED_FRAMES = 3  # whose median counts: landmarks of a single frame slip by as much as a small turn
MAX_TURNS = 128  # bits taken from the hash for directions


class State(StrEnum):
    SETTLING = "SETTLING"
    TURNING = "TURNING"
    PASSED = "PASSED"
    FAILED = "FAILED"


def new_challenge(nonce: bytes, policy: LivenessPolicy) -> tuple[Prompt, ...]:
    """Derive the turns from ``nonce`` (16 random bytes); after each comes LOOK_STRAIGHT.

    Every sequence is equally likely: each turn takes one bit of SHAKE-256.

    Raises:
        ValueError: a nonce of another length, or a policy that asks for no turn or for too many.
    """
    bits = int.from_bytes(_stream(nonce, policy)[: MAX_TURNS // 8])
    turns = [
        Prompt.TURN_LEFT if bits >> index & 1 else Prompt.TURN_RIGHT
        for index in range(policy.challenge_turns)
    ]
    return tuple(prompt for turn in turns for prompt in (turn, Prompt.LOOK_STRAIGHT))


def new_pauses(nonce: bytes, policy: LivenessPolicy) -> tuple[float, ...]:
    """Seconds that the face must look straight before each turn is asked for, from ``nonce``."""
    stream = _stream(nonce, policy)[MAX_TURNS // 8 :]
    span = LONGEST_PAUSE_S - SHORTEST_PAUSE_S
    return tuple(
        SHORTEST_PAUSE_S + span * int.from_bytes(stream[2 * index : 2 * index + 2]) / 65536
        for index in range(policy.challenge_turns)
    )


def _stream(nonce: bytes, policy: LivenessPolicy) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    if not 1 <= policy.challenge_turns <= MAX_TURNS:
        raise ValueError(f"a challenge has 1 to {MAX_TURNS} turns")
    return hashlib.shake_256(DOMAIN + nonce).digest(MAX_TURNS // 8 + 2 * policy.challenge_turns)


class HeadTurnChallenge:
    """Fed with one yaw ratio per frame; see the table at the top of this file.

    ``time_factor``: of the time limits, never of what a human can do at the soonest.
    """

    def __init__(self, nonce: bytes, policy: LivenessPolicy, *, time_factor: float = 1.0) -> None:
        self.actions = new_challenge(nonce, policy)
        self.state = State.SETTLING
        self.completed = 0  # actions answered in order
        self.failure = ""  # a reason code once FAILED
        self._policy = policy
        self._time_factor = time_factor
        self._pauses = (*new_pauses(nonce, policy), FINAL_PAUSE_S)
        self._step_began: float | None = None
        self._last_seen: float | None = None
        self._frontal_since: float | None = None
        self._frontal_yaws: list[float] = []
        self._straight = 0.0  # yaw ratio of this person looking straight ahead, at the last pause
        self._peaks: list[float] = []  # how far each answered turn went
        self._changes: list[float] = []  # of the yaw ratio against straight ahead, frame by frame

    @property
    def done(self) -> bool:
        return self.state in (State.PASSED, State.FAILED)

    @property
    def weakest_turn(self) -> float | None:
        """How far the smallest of the answered turns went, as a change of the yaw ratio."""
        return min(self._peaks, default=None)

    @property
    def answered(self) -> tuple[float, ...]:
        """How far each answered turn went, in order."""
        return tuple(self._peaks)

    @property
    def begun(self) -> bool:
        """Whether a turn was asked for already."""
        return self.completed > 0 or self.state is not State.SETTLING

    def handle(self, yaw: float | None, now: float) -> Prompt | None:
        """Take one frame's yaw ratio, None where no face was seen; return the prompt that comes next."""
        if self.done:
            return None
        began = self._step_began = now if self._step_began is None else self._step_began
        policy = self._policy
        limit = policy.turn_time_limit_s if self.begun else policy.first_look_time_limit_s
        if now - began > limit * self._time_factor:
            self.fail("LIVENESS_NO_FACE" if self._last_seen is None else "LIVENESS_TIMEOUT")
            return None
        if yaw is None or not math.isfinite(yaw):
            self._not_seen(now)
            return None
        self._last_seen = now
        if self.state is State.SETTLING:
            return self._settling(yaw, now)
        return self._turning(yaw, now, began)

    def fail(self, reason: str) -> None:
        """End the challenge; the first reason stays."""
        if not self.done:
            self.state, self.failure = State.FAILED, reason

    def restart_pause(self) -> None:
        """Forget the pause so far: somebody else has come before the camera, and nothing was asked yet."""
        self._frontal_since = None
        self._frontal_yaws.clear()
        self._changes.clear()

    def _not_seen(self, now: float) -> None:
        if self._last_seen is None or now - self._last_seen <= self._policy.max_face_gap_s:
            return
        if self.begun:
            self.fail("LIVENESS_FACE_LOST")
        else:
            self.restart_pause()

    def _settling(self, yaw: float, now: float) -> Prompt | None:
        if self._frontal(yaw):
            self._changes.clear()
            self._frontal_yaws.append(yaw)
            if self._frontal_since is None:
                self._frontal_since = now
            if now - self._frontal_since >= self._pauses[(self.completed + 1) // 2]:
                return self._straight_answered(now)
            return None
        self._frontal_since = None
        if self.begun and not self._frontal_yaws:
            self._changes.append(yaw - self._straight)
            if len(self._changes) >= TURNED_FRAMES:
                reached = abs(statistics.median(self._changes[-TURNED_FRAMES:]))
                self._peaks[-1] = max(self._peaks[-1], reached)
        elif self._frontal_yaws:
            self._changes.append(yaw - statistics.median(self._frontal_yaws))
            if self._turned_to() != 0:
                self._moved_unasked()
        return None

    def _frontal(self, yaw: float) -> bool:
        """Before the first turn: near enough to straight. Later: back where this person began."""
        if self.begun:
            return abs(yaw - self._straight) <= self._policy.turn_yaw_ratio / 2
        return abs(yaw) <= self._policy.frontal_yaw_ratio

    def _moved_unasked(self) -> None:
        if self.begun:
            self.fail("LIVENESS_OUT_OF_STEP")
        else:
            self.restart_pause()

    def _straight_answered(self, now: float) -> Prompt | None:
        self._straight = statistics.median(self._frontal_yaws)
        self.restart_pause()
        if self.completed > 0:
            self.completed += 1
        if self.completed == len(self.actions):
            self.state = State.PASSED
            return None
        self.state, self._step_began = State.TURNING, now
        return self.actions[self.completed]

    def _turning(self, yaw: float, now: float, began: float) -> Prompt | None:
        self._changes.append(yaw - self._straight)
        asked = 1 if self.actions[self.completed] is Prompt.TURN_LEFT else -1
        turned = self._turned_to()
        if turned == 0:
            return None
        if turned != asked:
            self.fail("LIVENESS_WRONG_TURN")
        elif now - began < self._policy.min_reaction_s:
            self.fail("LIVENESS_OUT_OF_STEP")
        else:
            self._peaks.append(abs(statistics.median(self._changes[-TURNED_FRAMES:])))
            self._changes.clear()
            self.completed += 1
            self.state, self._step_began = State.SETTLING, now
            return Prompt.LOOK_STRAIGHT
        return None

    def _turned_to(self) -> int:
        """1 turned to the person's left, -1 to the right, 0 neither, by the newest frames."""
        if len(self._changes) < TURNED_FRAMES:
            return 0
        change, limit = statistics.median(self._changes[-TURNED_FRAMES:]), self._policy.turn_yaw_ratio
        return int(change >= limit) - int(change <= -limit)
