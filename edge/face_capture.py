"""One person in front of the camera: frames to a best shot, a judged challenge and a template.

The pump of capture and liveness, for whoever needs a live face: a verification, or an operator's sign-in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from edge.answers import Accommodation
from edge.capture.choose import Chosen, FaceChooser, MultipleFaces
from edge.capture.quality import SHARPNESS, assess, crowd
from edge.capture.run_up import RUN_AFTER_BREAK_S, RUN_S, GoodRun
from edge.capture.steady import CAMERA_ENDED
from edge.errors import CameraLost
from edge.geometry import yaw_ratio
from edge.liveness.fusion import with_identity_continuity
from edge.liveness.plan import plan_challenge
from edge.liveness.session import LivenessSession
from edge.match.score import match
from edge.model import (
    CameraAssurance,
    CaptureRecord,
    Colour,
    Embedding,
    Face,
    Frame,
    LivenessResult,
    Prompt,
    QualityComponent,
)
from edge.policy import LIVE_LIVE, Policy
from edge.ports import Camera, Screen
from edge.vision import Vision

FRAME_TIMEOUT_S = 1.5  # a camera that gives nothing for this long is gone: its loss shows within two seconds
SHARP_ENOUGH = 60.0  # from about here on more sharpness helps the match no more
CROWD_REMEMBERED_S = 1.5  # a challenge that ends so soon after two people were in view ended by that
MAX_INTERRUPTIONS = 5  # then the camera is broken, or somebody pulls its plug to get another challenge


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looks. ``monotonic``: seconds, of the clock that stamps the frames.

    ``allow_simulated``: whether frames may come from a file or a simulator.
    """

    camera: Camera
    vision: Vision
    screen: Screen
    policy: Policy
    monotonic: Callable[[], float]
    allow_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """For whom the challenge is. ``attempt``: 1 for the first with this document of late."""

    accommodation: Accommodation = field(default_factory=Accommodation)
    attempt: int = 1


def capture_face(
    eyes: Eyes,
    *,
    fresh_nonce: Callable[[], bytes],
    timeout_s: float,
    patience_s: float,
    stop_code: Callable[[], str],
    asking: Asking | None = None,
) -> tuple[FaceCapture, str]:
    """Have one challenge answered, and why it was stopped if it was.

    A camera that is lost pauses the capture with a word to whoever stands there. When it is back, all that
    was seen is forgotten and a challenge of a fresh nonce begins: what was interrupted is no answer, neither
    passed nor an attack. ``timeout_s``: for one challenge, longer where the person was given more time;
    ``patience_s``: for all of it, with the pauses.

    Raises:
        CameraLost: the camera did not come back in that time, or was lost too often.
    """
    asking = asking or Asking()
    if asking.accommodation.more_time:
        timeout_s, patience_s = (
            eyes.policy.liveness.more_time_factor * seconds for seconds in (timeout_s, patience_s)
        )
    deadline = eyes.monotonic() + patience_s
    face = FaceCapture(eyes, nonce=fresh_nonce(), asking=asking)
    while True:
        try:
            stopped = face.run(min(timeout_s, deadline - eyes.monotonic()), stop_code=stop_code)
        except CameraLost as lost:
            if lost.code == CAMERA_ENDED or face.interruptions >= MAX_INTERRUPTIONS:
                raise
            stopped = _pause(eyes, lost, deadline, stop_code)
            face = face.afresh(fresh_nonce())
            if not stopped:
                continue
        return face, stopped


def _pause(eyes: Eyes, lost: CameraLost, deadline: float, stop_code: Callable[[], str]) -> str:
    """Guide until the camera gives a fresh frame, or until ``stop_code`` says why to stop: returned."""
    while eyes.monotonic() < deadline:
        if stopped := stop_code():
            return stopped
        with contextlib.suppress(ValueError):
            eyes.screen.show(Prompt(lost.code))
        try:
            eyes.camera.read(FRAME_TIMEOUT_S)
        except CameraLost as error:
            lost = error
        else:
            return ""
    raise lost


class FaceCapture:
    """One challenge, from its first frame to its verdict. ``nonce``: 16 fresh random bytes.

    Until the first good run of frames the person is guided and nothing is asked; then the challenge begins
    by itself.
    """

    def __init__(
        self, eyes: Eyes, *, nonce: bytes, asking: Asking | None = None, shots: _BestShot | None = None
    ) -> None:
        self._eyes = eyes
        self._nonce = nonce
        self._asking = asking = asking or Asking()
        self._plan = plan_challenge(
            eyes.policy.liveness, asking.accommodation, can_light=eyes.screen.can_light
        )
        self._lit: Colour | None = None
        self._liveness = self._fresh_session()
        self._shots = shots or _BestShot()
        self._chooser = FaceChooser()
        self._run_up = GoodRun(
            seconds=RUN_AFTER_BREAK_S if self._shots.interruptions else RUN_S,
            max_yaw=eyes.policy.liveness.frontal_yaw_ratio,
        )
        self._begun = False
        self.probe: Embedding | None = None  # of the best shot, once judged

    @property
    def interruptions(self) -> int:
        """How many challenges before this one the camera broke off."""
        return self._shots.interruptions

    def afresh(self, nonce: bytes) -> FaceCapture:
        """Begin again after an interruption: of what was seen only the counts stay."""
        return FaceCapture(self._eyes, nonce=nonce, asking=self._asking, shots=self._shots.afresh())

    def run(self, timeout_s: float, *, stop_code: Callable[[], str]) -> str:
        """Feed frames until the challenge is over, time is up, or ``stop_code`` says why to stop: returned.

        Raises:
            CameraLost: as ``Camera.read``.
        """
        eyes, guide = self._eyes, _Guide(self._eyes.screen)
        deadline = eyes.monotonic() + timeout_s
        try:
            with ThreadPoolExecutor(1, "motion") as beside:
                return self._look(guide, beside, deadline, stop_code)
        finally:
            eyes.screen.light(None)

    def _look(
        self, guide: _Guide, beside: ThreadPoolExecutor, deadline: float, stop_code: Callable[[], str]
    ) -> str:
        eyes = self._eyes
        while not self._liveness.done and eyes.monotonic() < deadline:
            if stopped := stop_code():
                return stopped
            frame = eyes.camera.read(FRAME_TIMEOUT_S)
            following = beside.submit(self._liveness.follow, frame.pixels, frame.captured_at)
            try:
                faces = eyes.vision.watch(frame.pixels)
            finally:
                following.result()
            choice = self._chooser.choose(faces, frame.pixels)
            face = choice.face if isinstance(choice, Chosen) else None
            quality = () if face is None else assess(frame.pixels, face, eyes.policy.quality)
            if isinstance(choice, MultipleFaces):
                quality = (crowd(choice.count),)
            asked = self._ask(frame, face, quality)
            self._shots.offer(frame, face, quality, still=not self._liveness.mouth_open)
            guide.tell(asked, quality)
            self._show_light()
        return ""

    def _show_light(self) -> None:
        """Let the screen be as the challenge wants it; the time is that of the order, before it is obeyed."""
        colour = self._liveness.light
        if colour == self._lit:
            return
        self._lit = colour
        ordered_at = self._eyes.monotonic()
        self._eyes.screen.light(colour)
        if colour is not None and self._eyes.screen.can_light:
            self._liveness.lit(ordered_at)

    def _fresh_session(self) -> LivenessSession:
        eyes = self._eyes
        return LivenessSession(
            self._nonce,
            eyes.policy.liveness,
            plan=self._plan,
            passive=eyes.vision.passive(),
            made_up_frames_pass=eyes.allow_simulated,
            attempt=self._asking.attempt,
        )

    def _ask(self, frame: Frame, face: Face | None, quality: tuple[QualityComponent, ...]) -> Prompt | None:
        """Let the challenge see the frame once it has begun; until then only how long nobody is there."""
        if not self._begun and (face is not None or quality):
            self._liveness = self._fresh_session()
            self._begun = self._run_up.offer(face, quality, frame.captured_at)
            if not self._begun:
                return Prompt.LOOK_AT_CAMERA if face is None or self._straight(face) else Prompt.LOOK_STRAIGHT
        elif not self._begun:
            self._run_up.offer(None, (), frame.captured_at)
        return self._liveness.observe(frame.pixels, face, frame.captured_at)

    @property
    def _crowded(self) -> bool:
        """Whether the challenge was not passed, and a second person may be why."""
        return not self._liveness.passed and self._shots.crowded

    def _straight(self, face: Face) -> bool:
        return abs(yaw_ratio(face)) <= self._eyes.policy.liveness.frontal_yaw_ratio

    def record(self) -> CaptureRecord:
        """What was seen."""
        record = self._shots.record(self._eyes.camera, crowded=self._crowded)
        if self._liveness.injection_signs:  # whatever the camera says it is
            record = replace(record, assurance=CameraAssurance.SIMULATED)
        return record

    def judge(self) -> LivenessResult:
        """Judge the challenge; the face that answered it must be the one that will be matched."""
        eyes, best = self._eyes, None if self._crowded else self._shots.best
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

    @property
    def rank(self) -> float:
        """Large, sure, straight and sharp faces are matched best."""
        sharpness = next((part.value for part in self.quality if part.name == SHARPNESS), 0.0)
        straight = max(0.0, 1.0 - abs(yaw_ratio(self.face)))
        return self.face.score * self.face.inter_eye * straight * sharpness / (sharpness + SHARP_ENOUGH)


class _BestShot:
    """Among frames that pass every component, the one of the highest rank wins."""

    def __init__(self, *, seen: int = 0, used: int = 0, interruptions: int = 0) -> None:
        self.best: _Shot | None = None
        self.interruptions = interruptions
        self._refused: _Shot | None = None  # of those that did not pass, for its reasons
        self._newest_at = 0.0
        self._crowd: tuple[float, tuple[QualityComponent, ...]] = (0.0, ())  # when, and its reason
        self._seen = seen
        self._used = used

    def afresh(self) -> _BestShot:
        return _BestShot(seen=self._seen, used=self._used, interruptions=self.interruptions + 1)

    def offer(
        self, frame: Frame, face: Face | None, quality: tuple[QualityComponent, ...], *, still: bool
    ) -> None:
        """``still``: whether the face looks as on a card's photo, with the mouth closed."""
        self._seen += 1
        self._newest_at = frame.captured_at
        if face is None:
            self._crowd = (frame.captured_at, quality) if quality else self._crowd
            return
        self._used += 1
        shot = _Shot(frame, face, quality)
        if not all(component.passed for component in quality):
            self._refused = shot  # the newest: it says what was wrong when time was up
        elif still:
            self.best = max(self.best or shot, shot, key=lambda one: one.rank)

    @property
    def crowded(self) -> bool:
        """Whether there were two people in view just now."""
        at, quality = self._crowd
        return bool(quality) and self._newest_at - at <= CROWD_REMEMBERED_S

    def record(self, camera: Camera, *, crowded: bool) -> CaptureRecord:
        """``crowded``: nobody can be judged, because there was more than one."""
        best, shown = self.best, self.best or self._refused
        quality = shown.quality if shown else ()
        if crowded:
            best, quality = None, self._crowd[1]
        return CaptureRecord(
            camera_id=camera.camera_id,
            assurance=camera.assurance,
            frames_seen=self._seen,
            frames_used=self._used,
            best_shot=best.frame if best else None,
            quality=quality,
            interruptions=self.interruptions,
        )


class _Guide:
    """What to tell the person: never a piece of advice over a turn that was asked for."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._asked = Prompt.LOOK_AT_CAMERA
        screen.show(self._asked)

    def tell(self, asked: Prompt | None, quality: tuple[QualityComponent, ...]) -> None:
        self._asked = asked or self._asked
        advice = next((c.advice for c in quality if not c.passed and c.advice is not None), None)
        over_a_turn = advice is Prompt.ONE_PERSON_ONLY  # said also where something was asked for
        if advice is not None and (over_a_turn or self._asked is Prompt.LOOK_AT_CAMERA):
            self._screen.show(advice)
        else:
            self._screen.show(self._asked)
