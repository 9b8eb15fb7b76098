"""The light challenge over pictures: from each frame to what it shows of the face, and to two experts."""

from __future__ import annotations

import cv2

from edge.geometry import yaw_ratio
from edge.liveness.aligned import Anchor
from edge.liveness.fusion import LIGHT, LIGHT_SHAPE
from edge.liveness.light import LightChallenge
from edge.liveness.light_response import Backdrop, LightReading, LightSample
from edge.model import ExpertScore, Face, Image, LightRecord
from edge.policy import LivenessPolicy


class LightSession:
    """Holds numbers only, no pictures. Give it every frame until ``challenge`` is done."""

    def __init__(self, nonce: bytes, policy: LivenessPolicy, *, time_factor: float) -> None:
        self.challenge = LightChallenge(nonce, policy, time_factor=time_factor)
        self._policy = policy
        self._backdrop: Backdrop | None = None
        self._anchor = Anchor()
        self._size: tuple[int, ...] = ()
        self._reading: LightReading | None = None
        self._broken = False

    def observe(self, image: Image, face: Face | None, now: float) -> None:
        """Take the next frame (uint8 BGR) and the one face in it."""
        sample = None if face is None else self._sample(image, face)
        self.challenge.handle(sample, now, seen=face is not None)

    def judge(self) -> tuple[ExpertScore, ExpertScore]:
        """Time and colour as one expert, shape as the other."""
        policy, reading = self._policy, self._judged()
        why = "LIVENESS_EXPERT_FAILED" if self._broken else self.challenge.failure
        if reading is not None:
            why = why or reading.reason
            if not why and reading.strength < policy.min_light_strength:
                why = "LIVENESS_LIGHT_TOO_WEAK"
        if why or reading is None:
            return (
                ExpertScore(LIGHT, None, policy.min_light_bits, why),
                ExpertScore(LIGHT_SHAPE, None, policy.min_light_shape, why),
            )
        matched, shaped = reading.bits >= policy.min_light_bits, reading.shape >= policy.min_light_shape
        return (
            ExpertScore(
                LIGHT, reading.bits, policy.min_light_bits, "" if matched else "LIVENESS_LIGHT_MISMATCH"
            ),
            ExpertScore(
                LIGHT_SHAPE, reading.shape, policy.min_light_shape, "" if shaped else "LIVENESS_LIGHT_FLAT"
            ),
        )

    def record(self) -> LightRecord:
        """Sequence and response, as far as they came."""
        shown = self.challenge.shown
        reading = self._judged() or LightReading()
        return LightRecord(
            colours=self.challenge.colours,
            shown_ms=tuple(round(1000 * (item.at - shown[0].at)) for item in shown),
            response=reading.response,
            lag_ms=round(1000 * reading.lag_s),
        )

    def _judged(self) -> LightReading | None:
        if self._reading is None and not self._broken:
            try:
                self._reading = self.challenge.judge()
            except (ArithmeticError, ValueError):  # no numbers of a camera: broken, which is never a pass
                self._broken = True
        return self._reading

    def _sample(self, image: Image, face: Face) -> LightSample | None:
        if not abs(yaw_ratio(face)) <= self._policy.frontal_yaw_ratio:
            return None
        try:
            if self._backdrop is None or (self._size != image.shape and not self.challenge.begun):
                self._backdrop, self._size = Backdrop(image, face), image.shape
                self._anchor = Anchor()
            if self._size != image.shape:
                self._broken = True  # another camera, or somebody between: nothing can be compared
                return None
            return self._backdrop.sample(image, self._anchor.steady(image, face))
        except (cv2.error, ValueError, IndexError):
            self._broken = True
            return None
