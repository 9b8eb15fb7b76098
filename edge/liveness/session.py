"""One liveness session: light, then turns, the passive signals beside them, and one face that stays the same.

    phase   what is fed                                        ends when
    light   LightSession, where the plan asks for it           all colours were shown, or it failed
    early   JawWatch, where the policy has turns when needed   the verdict stands, and turns are left out; or
                                                               more lacks than the sign of life; or time is up
    turns   HeadTurnChallenge and TurnMotion, where asked for  the last turn was answered, or it failed
    mouth   JawWatch, where the mouth was not opened yet       it was opened, something accuses, or time is up

The mouth is asked for with the first colour, else when the turns are over. All frames go to the passive
signals, to JawWatch and to the watch for injected frames, whatever the phase.
"""

from __future__ import annotations

import logging
from typing import Protocol

from edge.answers import ChallengeKind, ChallengeVariant, TurnsWhen
from edge.geometry import yaw_ratio
from edge.liveness.challenge import HeadTurnChallenge, State
from edge.liveness.continuity import FaceContinuity
from edge.liveness.fusion import CAMERA_ORIGIN, HEAD_TURN, LIGHT, PASSIVE, SPOOF, judge_liveness, why_turns
from edge.liveness.injection import InjectionWatch
from edge.liveness.jaw import NO_SIGN, JawWatch
from edge.liveness.light import LightState
from edge.liveness.lit import LightSession
from edge.liveness.nonce import NONCE_BYTES
from edge.liveness.passive import PassiveResult
from edge.liveness.plan import ChallengePlan, plan_challenge
from edge.liveness.turns import TurnMotion
from edge.model import ChallengeRecord, Colour, ExpertScore, Face, Image, LivenessResult, Prompt
from edge.policy import LivenessPolicy

_log = logging.getLogger(__name__)

MAX_KEYFRAMES = 12
"""More than any policy has turns; each is a picture in memory."""


class Passive(Protocol):
    """``edge.liveness.passive.PassiveEvidence`` is one."""

    def observe(self, image: Image, face: Face | None, at: float) -> None: ...

    def result(self) -> PassiveResult: ...


class LivenessSession:
    """Fed with every frame until ``done``; holds a few key frames and small grey pictures, no video.

    ``plan``: what is asked for; as for a screen that can light where it is left out. ``passive``: fresh; None
    never passes. ``made_up_frames_pass``: whether frames may come from a file or a simulator here.
    ``attempt``: 1 for the first with this document of late.
    """

    def __init__(
        self,
        nonce: bytes,
        policy: LivenessPolicy,
        *,
        plan: ChallengePlan | None = None,
        passive: Passive | None = None,
        made_up_frames_pass: bool = False,
        attempt: int = 1,
    ) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        self._nonce = nonce
        self._policy = policy
        self._plan = plan = plan or plan_challenge(policy, can_light=True)
        self._attempt = attempt
        self._passive = passive
        self._passive_broken = False
        self._injection = InjectionWatch()
        self._made_up_frames_pass = made_up_frames_pass
        factor = plan.time_factor
        lit, turned = (kind in plan.kinds for kind in (ChallengeKind.LIGHT, ChallengeKind.TURNS))
        self._light = LightSession(nonce, policy, time_factor=factor) if lit else None
        self._turns = HeadTurnChallenge(nonce, policy, time_factor=factor) if turned else None
        self._motion = TurnMotion(policy)
        self._jaw = JawWatch(policy)
        self._omitted = False  # turns, for good
        self._early_until = self._early_end(plan)
        self._mouth_since: float | None = None
        self._mouth_over = False
        self._continuity = FaceContinuity(policy.min_face_overlap)
        self._failure = plan.refusal
        self._frames = 0
        self._last_at: float | None = None
        self._followed_at: float | None = None
        self._prompt: Prompt | None = None
        self._keyframes: list[tuple[Image, Face]] = []

    @property
    def done(self) -> bool:
        if self._failure or not self._plan.kinds:
            return True
        if self._light is not None and self._light.challenge.state is not LightState.WATCHED:
            return self._light.challenge.state is LightState.FAILED
        if self._omitted or (self._turns is not None and self._turns.failure):
            return True
        return (self._turns is None or self._turns.done) and (self._jaw.seen or self._mouth_over)

    @property
    def passed(self) -> bool:
        """Whether every challenge was answered; what the answers are worth is said by ``result``."""
        return self.done and self._asked > 0 and self._completed == self._asked and self._jaw.seen

    @property
    def mouth_open(self) -> bool:
        """Whether the mouth stands open just now: no picture to compare with a card's photo."""
        return self._jaw.ajar

    @property
    def light(self) -> Colour | None:
        """What the screen should show now; whoever shows it says so to :meth:`lit`."""
        return None if self.done or self._light is None else self._light.challenge.colour

    @property
    def keyframes(self) -> list[tuple[Image, Face]]:
        """Frontal frames, before, between and after the answers: all must show the matched face."""
        return list(self._keyframes)

    @property
    def injection_signs(self) -> tuple[str, ...]:
        """Stable codes of what no camera does with its frames."""
        return self._injection.signs()

    def lit(self, at: float) -> None:
        """Say that the screen shows ``light`` since ``at``, monotonic seconds."""
        if self._light is not None:
            self._light.challenge.lit(at)

    def follow(self, image: Image, now: float) -> None:
        """Follow the motion into the next frame before ``observe`` is told of it: faces need not be known.

        So both can be looked for at the same time. A frame that is not newer than the last is ignored.
        """
        if not self.done and (self._last_at is None or now > self._last_at) and now != self._followed_at:
            self._followed_at = now
            self._motion.follow(image)

    def observe(self, image: Image, face: Face | None, now: float) -> Prompt | None:
        """Take the next frame (uint8 BGR) and the one face in it; return the prompt to show if it changes.

        ``now``: monotonic seconds of the frame. One that is not newer than the last answers no challenge;
        that time ran backwards is for the passive signals to say.
        """
        if self.done:
            return None
        self._look_passively(image, face, now)
        if self._last_at is not None and now <= self._last_at:
            return None
        self.follow(image, now)
        self._last_at = now
        if face is not None:
            self._frames += 1
            self._check_continuity(face)
        self._jaw.observe(image, face, now)
        prompt = self._challenge(image, face, now) or self._prompt or Prompt.LOOK_AT_CAMERA
        changed, self._prompt = prompt is not self._prompt, prompt
        return prompt if changed else None

    def result(self, now: float) -> LivenessResult:
        """Judge what was seen until ``now``; a session that is not done is never LIVE."""
        self._time_out(now)
        failure = self._failure or next((part.failure for part in self._parts() if part.failure), "")
        if not failure and not self.done:
            failure = "LIVENESS_UNFINISHED"
        return judge_liveness(self._experts(), self._record(), self._policy, failure=failure)

    def _challenge(self, image: Image, face: Face | None, now: float) -> Prompt | None:
        if self._light is not None and not self._light.challenge.done:
            self._shine(self._light, image, face, now)
            if self._light.challenge.state is LightState.WATCHED:
                return self._early(now) or Prompt.LOOK_STRAIGHT
            if not self._light.challenge.begun:
                return None
            self._jaw.ask(now)
            return Prompt.WATCH_SCREEN if self._jaw.seen else Prompt.OPEN_MOUTH
        if prompt := self._early(now):
            return prompt
        if self._turns is not None and not self._omitted and not self._turns.done:
            prompt = self._turns.handle(None if face is None else yaw_ratio(face), now)
            if face is not None:
                self._note_frontal(image, face)
            if not self._turns.done:
                return prompt
        return self._ask_mouth(now)

    def _shine(self, light: LightSession, image: Image, face: Face | None, now: float) -> None:
        begun = light.challenge.begun
        light.observe(image, face, now)
        watched = light.challenge.state is LightState.WATCHED
        if face is not None and (light.challenge.begun != begun or watched):
            self._keep(image, face)
        if watched and self._early_until is not None:
            self._early_until += now

    def _early_end(self, plan: ChallengePlan) -> float | None:
        """Seconds after light until when turns may still be left out; None where they may not."""
        both = ChallengeKind.LIGHT in plan.kinds and ChallengeKind.TURNS in plan.kinds
        early = both and plan.variant is ChallengeVariant.STANDARD
        if not early or self._policy.turns_when is not TurnsWhen.NEEDED:
            return None
        return self._policy.early_jaw_s * plan.time_factor

    def _early(self, now: float) -> Prompt | None:
        """Leave the turns out where the verdict stands, or wait for the mouth where that alone is missing."""
        if self._early_until is None:
            return None
        lacks = why_turns(self._experts(turned=False), self._policy)
        if lacks == (NO_SIGN,) and now < self._early_until:
            return Prompt.OPEN_MOUTH
        self._early_until = None
        self._omitted = not lacks and not self._failure
        if not self._omitted:
            self._jaw.pause()  # nobody opens the mouth while turning the head
        return None

    def _ask_mouth(self, now: float) -> Prompt | None:
        """The last thing, where it was not seen yet and nothing else has decided."""
        if self.done:
            return None
        self._mouth_since = now if self._mouth_since is None else self._mouth_since
        self._jaw.ask(now)
        late = now - self._mouth_since > self._policy.jaw_time_limit_s * self._plan.time_factor
        self._mouth_over = late or any(expert.reason.startswith(SPOOF) for expert in self._experts())
        return Prompt.OPEN_MOUTH

    def _look_passively(self, image: Image, face: Face | None, now: float) -> None:
        self._injection.observe(image, face, now)
        if self._passive is None or self._passive_broken:
            return
        try:
            self._passive.observe(image, face, now)
        except Exception:
            # whatever a signal trips over: it is missing from here on, which is never a pass
            _log.exception("a passive signal failed")
            self._passive_broken = True

    def _check_continuity(self, face: Face) -> None:
        if not self._continuity.switched(face):
            return
        if any(part.begun for part in self._parts()):
            self._failure = self._failure or "FACE_SWITCHED"
        elif self._light is None and self._turns is not None:
            self._turns.restart_pause()

    def _note_frontal(self, image: Image, face: Face) -> None:
        """A turn was just asked for, or the last one is over: this frame shows the face straight ahead."""
        if self._turns is None:
            return
        state, asked = self._turns.state, self._turns.completed // 2 + 1
        if state is State.TURNING and self._motion.begun < asked:
            self._keep(image, face)
            self._motion.begin(image, face)
        elif state is State.PASSED:
            self._keep(image, face)

    def _keep(self, image: Image, face: Face) -> None:
        if len(self._keyframes) < MAX_KEYFRAMES:
            self._keyframes.append((image, face))

    def _time_out(self, now: float) -> None:
        """Let the challenge that is under way see that time has passed."""
        if self.done:
            return
        if self._light is not None and not self._light.challenge.done:
            self._light.challenge.handle(None, now, seen=False)
        elif self._turns is not None and not self._turns.done:
            self._turns.handle(None, now)

    def _parts(self) -> list[_Part]:
        parts: list[_Part] = [] if self._light is None else [self._light.challenge]
        return parts if self._turns is None or self._omitted else [*parts, self._turns]

    @property
    def _asked(self) -> int:
        return len(self._actions)

    @property
    def _actions(self) -> tuple[Prompt, ...]:
        lit = () if self._light is None else (Prompt.WATCH_SCREEN,)
        return lit + (() if self._turns is None or self._omitted else self._turns.actions)

    @property
    def _completed(self) -> int:
        watched = self._light is not None and self._light.challenge.state is LightState.WATCHED
        return int(watched) + (0 if self._turns is None else self._turns.completed)

    def _record(self) -> ChallengeRecord:
        omitted = (ChallengeKind.TURNS,) if self._omitted else ()
        return ChallengeRecord(
            nonce=self._nonce,
            actions=self._actions,
            completed=self._completed,
            kinds=tuple(kind for kind in self._plan.kinds if kind not in omitted),
            variant=self._plan.variant,
            light=None if self._light is None else self._light.record(),
            turns=() if self._turns is None else self._turns.answered,
            time_factor=self._plan.time_factor,
            attempt=self._attempt,
            omitted=omitted,
        )

    def _experts(self, *, turned: bool = True) -> list[ExpertScore]:
        """``turned``: with those that turns have."""
        asked = self._challenge_experts(turned=turned and not self._omitted)
        return [*asked, self._jaw.judge(), *self._passive_experts(), self._camera_origin()]

    def _challenge_experts(self, *, turned: bool) -> list[ExpertScore]:
        policy = self._policy
        experts: list[ExpertScore] = []
        if self._light is not None:
            experts += self._light.judge()
        elif self._plan.light_missing:
            why = "LIVENESS_LIGHT_UNAVAILABLE"
            experts.append(ExpertScore(LIGHT, None, policy.min_light_bits, why, advisory=True))
        if self._turns is not None and turned:
            experts += [self._head_turn(self._turns), self._motion.judge()]
        return experts

    def _head_turn(self, turns: HeadTurnChallenge) -> ExpertScore:
        limit = self._policy.turn_yaw_ratio
        if self._frames < self._policy.min_frames:
            return ExpertScore(HEAD_TURN, None, limit, turns.failure or "LIVENESS_TOO_FEW_FRAMES")
        if turns.state is not State.PASSED:
            return ExpertScore(HEAD_TURN, None, limit, turns.failure)
        return ExpertScore(HEAD_TURN, turns.weakest_turn, limit)

    def _passive_experts(self) -> list[ExpertScore]:
        """The passive score, which decides, and each signal in it, which is shown."""
        policy, result = self._policy, PassiveResult(None, (), "LIVENESS_NO_PASSIVE")
        if self._passive is not None and not self._passive_broken:
            try:
                result = self._passive.result()
            except Exception:
                _log.exception("the passive signals could not be judged")
                self._passive_broken = True
        if self._passive_broken:
            result = PassiveResult(None, (), "LIVENESS_EXPERT_FAILED")
        score, reason = result.score, result.reason
        if score is not None and not reason and not score >= policy.passive_floor:
            reason = "LIVENESS_PASSIVE_LOW"
        if score is not None and score <= policy.max_passive_spoof:
            reason = "SPOOF_PASSIVE"
        parts = [_advisory(expert) for expert in result.experts]
        return [ExpertScore(PASSIVE, score, policy.passive_floor, reason), *parts]

    def _camera_origin(self) -> ExpertScore:
        """1 where nothing speaks against a sensor; what is seen decides unless made-up frames are allowed."""
        signs = self.injection_signs
        return ExpertScore(
            CAMERA_ORIGIN,
            0.0 if signs else 1.0,
            0.5,
            signs[0] if signs else "",
            advisory=bool(signs) and self._made_up_frames_pass,
        )


class _Part(Protocol):
    """What both challenges have in common."""

    failure: str

    @property
    def begun(self) -> bool: ...


def _advisory(expert: ExpertScore) -> ExpertScore:
    return ExpertScore(
        expert.name, expert.score, expert.threshold, expert.reason, expert.model_sha256, advisory=True
    )
