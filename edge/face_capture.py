"""One person in front of the camera: frames to a best shot, a judged challenge and a template.

The pump of capture and liveness, for whoever needs a live face: a verification, or an operator's sign-in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.capture.choose import Chosen, MultipleFaces, choose_face
from edge.capture.quality import assess
from edge.liveness.fusion import with_identity_continuity
from edge.liveness.session import LivenessSession
from edge.match.score import match
from edge.model import CaptureRecord, Embedding, Face, Frame, LivenessResult, Prompt, QualityComponent
from edge.policy import LIVE_LIVE, Policy
from edge.ports import Camera, Screen
from edge.vision import Vision

FRAME_TIMEOUT_S = 2.0  # E002: a camera that gives nothing for this long is gone


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looks. ``monotonic``: seconds, of the clock that stamps the frames."""

    camera: Camera
    vision: Vision
    screen: Screen
    policy: Policy
    monotonic: Callable[[], float]


class FaceCapture:
    """One challenge, from its first frame to its verdict. ``nonce``: 16 fresh random bytes."""

    def __init__(self, eyes: Eyes, *, nonce: bytes) -> None:
        self._eyes = eyes
        self._liveness = LivenessSession(nonce, eyes.policy.liveness)
        self._shots = _BestShot()
        self.probe: Embedding | None = None  # of the best shot, once judged

    def run(self, timeout_s: float, *, stop_code: Callable[[], str]) -> str:
        """Feed frames until the challenge is over, time is up, or ``stop_code`` says why to stop: returned.

        Raises:
            CameraLost: as ``Camera.read``.
        """
        eyes, liveness = self._eyes, self._liveness
        guide = _Guide(eyes.screen)
        deadline = eyes.monotonic() + timeout_s
        while not liveness.done and eyes.monotonic() < deadline:
            if stopped := stop_code():
                return stopped
            frame = eyes.camera.read(FRAME_TIMEOUT_S)
            choice = choose_face(eyes.vision.detect(frame.pixels), frame.pixels.shape[:2])
            face = choice.face if isinstance(choice, Chosen) else None
            quality = () if face is None else assess(frame.pixels, face, eyes.policy.quality)
            self._shots.offer(frame, face, quality)
            asked = liveness.observe(frame.pixels, face, frame.captured_at)
            guide.tell(asked, quality, crowded=isinstance(choice, MultipleFaces))
        return ""

    def record(self) -> CaptureRecord:
        """What was seen."""
        return self._shots.record(self._eyes.camera)

    def judge(self) -> LivenessResult:
        """Judge the challenge; the face that answered it must be the one that will be matched."""
        eyes, best = self._eyes, self._shots.best
        result = self._liveness.result(eyes.monotonic())
        if best is None:
            return result
        self.probe = probe = eyes.vision.embed(best.frame.pixels, best.face)
        threshold = eyes.policy.match.live_live
        similarities = [
            match(eyes.vision.embed(image, face), probe, threshold=threshold, domain=LIVE_LIVE).score
            for image, face in self._liveness.keyframes
        ]
        return with_identity_continuity(
            result, similarities, threshold.threshold, model_sha256=probe.model_sha256
        )


@dataclass(frozen=True, slots=True)
class _Shot:
    frame: Frame
    face: Face
    quality: tuple[QualityComponent, ...]


class _BestShot:
    """Among frames that pass every component, the largest and surest face wins."""

    def __init__(self) -> None:
        self.best: _Shot | None = None
        self._refused: _Shot | None = None  # the best of those that did not pass, for its reasons
        self._seen = 0
        self._used = 0

    def offer(self, frame: Frame, face: Face | None, quality: tuple[QualityComponent, ...]) -> None:
        self._seen += 1
        if face is None:
            return
        self._used += 1
        shot = _Shot(frame, face, quality)
        if all(component.passed for component in quality):
            self.best = max(self.best or shot, shot, key=_rank)
        else:
            self._refused = max(self._refused or shot, shot, key=_rank)

    def record(self, camera: Camera) -> CaptureRecord:
        shown = self.best or self._refused
        return CaptureRecord(
            camera_id=camera.camera_id,
            assurance=camera.assurance,
            frames_seen=self._seen,
            frames_used=self._used,
            best_shot=self.best.frame if self.best else None,
            quality=shown.quality if shown else (),
        )


def _rank(shot: _Shot) -> float:
    return shot.face.score * shot.face.inter_eye


class _Guide:
    """What to tell the person: never a piece of advice over a turn that was asked for."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._asked = Prompt.LOOK_AT_CAMERA
        screen.show(self._asked)

    def tell(self, asked: Prompt | None, quality: tuple[QualityComponent, ...], *, crowded: bool) -> None:
        self._asked = asked or self._asked
        advice = next((c.advice for c in quality if not c.passed and c.advice is not None), None)
        if crowded:
            self._screen.show(Prompt.ONE_PERSON_ONLY)
        elif self._asked is Prompt.LOOK_AT_CAMERA and advice is not None:
            self._screen.show(advice)
        else:
            self._screen.show(self._asked)
