"""One liveness session: the challenge, the tracks of each turn, and the face that must stay the same."""

from __future__ import annotations

import statistics

import cv2

from edge.geometry import yaw_ratio
from edge.liveness.challenge import HeadTurnChallenge, State
from edge.liveness.continuity import FaceContinuity
from edge.liveness.fusion import HEAD_TURN, PLANAR_MOTION, judge_liveness
from edge.liveness.planar import PlanarReading, PlanarTrack
from edge.model import ChallengeRecord, ExpertScore, Face, Image, LivenessResult, Prompt
from edge.policy import LivenessPolicy


class LivenessSession:
    """Fed with every frame until ``done``; holds a few key frames and small grey pictures, no video."""

    def __init__(self, nonce: bytes, policy: LivenessPolicy) -> None:
        self._nonce = nonce
        self._policy = policy
        self._challenge = HeadTurnChallenge(nonce, policy)
        self._continuity = FaceContinuity(policy.min_face_overlap)
        self._frames = 0
        self._last_at: float | None = None
        self._followed_at: float | None = None
        self._greeted = False
        self._keyframes: list[tuple[Image, Face]] = []
        self._track: PlanarTrack | None = None
        self._turns: list[list[PlanarReading]] = []  # usable readings of each turn that was asked for
        self._broken = False

    @property
    def done(self) -> bool:
        return self._challenge.done

    @property
    def passed(self) -> bool:
        """Whether every turn was answered; what the answers are worth is said by ``result``."""
        return self._challenge.state is State.PASSED

    @property
    def keyframes(self) -> list[tuple[Image, Face]]:
        """Frontal frames, one before each turn and one after the last: all must show the matched face."""
        return list(self._keyframes)

    def follow(self, image: Image, now: float) -> None:
        """Follow the motion into the next frame before ``observe`` is told of it: faces need not be known.

        So both can be looked for at the same time. A frame that is not newer than the last is ignored.
        """
        if not self.done and (self._last_at is None or now > self._last_at) and now != self._followed_at:
            self._followed_at = now
            self._advance_track(image)

    def observe(self, image: Image, face: Face | None, now: float) -> Prompt | None:
        """Take the next frame (uint8 BGR) and the one face in it; return the prompt to show if it changes.

        ``now``: monotonic seconds of the frame; a frame that is not newer than the last is ignored.
        """
        if self.done or (self._last_at is not None and now <= self._last_at):
            return None
        self.follow(image, now)
        self._last_at = now
        if face is not None:
            self._frames += 1
            self._check_continuity(face)
        prompt = self._challenge.handle(None if face is None else yaw_ratio(face), now)
        if face is not None:
            self._note_frontal(image, face)
        if not self._greeted:
            self._greeted = True
            return prompt or Prompt.LOOK_AT_CAMERA
        return prompt

    def result(self, now: float) -> LivenessResult:
        """Judge what was seen until ``now``; a session that is not done is never LIVE."""
        self._challenge.handle(None, now)
        challenge = self._challenge
        failure = challenge.failure or ("" if challenge.done else "LIVENESS_UNFINISHED")
        record = ChallengeRecord(self._nonce, challenge.actions, challenge.completed)
        return judge_liveness((self._head_turn(), self._planar_motion()), record, failure=failure)

    def _check_continuity(self, face: Face) -> None:
        if not self._continuity.switched(face):
            return
        if self._challenge.begun:
            self._challenge.fail("FACE_SWITCHED")
        else:
            self._challenge.restart_pause()

    def _note_frontal(self, image: Image, face: Face) -> None:
        """A turn was just asked for, or the last one is over: this frame shows the face straight ahead."""
        state, asked = self._challenge.state, self._challenge.completed // 2 + 1
        if state is State.TURNING and len(self._turns) < asked:
            self._turns.append([])
            self._keyframes.append((image, face))
            self._start_track(image, face)
        elif state is State.PASSED:
            self._keyframes.append((image, face))

    def _start_track(self, image: Image, face: Face) -> None:
        self._track = None
        if not face.inter_eye >= self._policy.min_planar_inter_eye_px:
            return
        try:
            self._track = PlanarTrack(image, face)
        except cv2.error:
            self._broken = True

    def _advance_track(self, image: Image) -> None:
        if self._track is None:
            return
        try:
            reading = self._track.advance(image)
        except cv2.error:  # a frame of another size, say: the expert is broken, which is never a pass
            self._track, self._broken = None, True
            return
        if reading is None or reading.points < self._policy.min_planar_points:
            self._track = None  # lost points do not come back
        elif reading.tilt_deg >= self._policy.min_tilt_deg:
            self._turns[-1].append(reading)

    def _head_turn(self) -> ExpertScore:
        challenge, limit = self._challenge, self._policy.turn_yaw_ratio
        if self._frames < self._policy.min_frames:
            return ExpertScore(HEAD_TURN, None, limit, challenge.failure or "LIVENESS_TOO_FEW_FRAMES")
        if challenge.state is not State.PASSED:
            return ExpertScore(HEAD_TURN, None, limit, challenge.failure)
        return ExpertScore(HEAD_TURN, challenge.weakest_turn, limit)

    def _planar_motion(self) -> ExpertScore:
        """The flattest turn counts; with a turn that could not be judged only flatness gives a score."""
        policy = self._policy
        limit = policy.min_planar_relief
        if self._broken:
            return ExpertScore(PLANAR_MOTION, None, limit, "LIVENESS_EXPERT_FAILED")
        judged = [
            statistics.median(reading.relief for reading in turn)
            for turn in self._turns
            if len(turn) >= policy.min_planar_readings
        ]
        flattest = min(judged, default=None)
        if flattest is not None and flattest < policy.max_flat_relief:
            return ExpertScore(PLANAR_MOTION, flattest, limit, "SPOOF_PLANAR_MOTION")
        if flattest is None or len(judged) < policy.challenge_turns:
            return ExpertScore(PLANAR_MOTION, None, limit, "LIVENESS_TOO_LITTLE_MOTION")
        return ExpertScore(
            PLANAR_MOTION, flattest, limit, "" if flattest >= limit else "LIVENESS_NEARLY_FLAT"
        )
