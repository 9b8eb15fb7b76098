"""What the turns of a head show of its depth: one track per turn, and the flattest of them counts."""

from __future__ import annotations

import statistics

import cv2

from edge.liveness.fusion import PLANAR_MOTION
from edge.liveness.planar import PlanarReading, PlanarTrack
from edge.model import ExpertScore, Face, Image
from edge.policy import LivenessPolicy


class TurnMotion:
    """Follows the face from the frontal frame before each turn; holds small grey pictures."""

    def __init__(self, policy: LivenessPolicy) -> None:
        self._policy = policy
        self._track: PlanarTrack | None = None
        self._turns: list[list[PlanarReading]] = []  # usable readings of each turn that was asked for
        self._broken = False

    @property
    def begun(self) -> int:
        """How many turns were begun."""
        return len(self._turns)

    def begin(self, image: Image, face: Face) -> None:
        """A turn was just asked for: this frame shows the face straight ahead."""
        self._turns.append([])
        self._track = None
        if not face.inter_eye >= self._policy.min_planar_inter_eye_px:
            return
        try:
            self._track = PlanarTrack(image, face)
        except cv2.error:
            self._broken = True

    def follow(self, image: Image) -> None:
        """Follow the points into the next frame."""
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

    def judge(self) -> ExpertScore:
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
