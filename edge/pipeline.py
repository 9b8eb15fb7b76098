"""The pump of one verification: it carries out what the session asks for and reports back.

It reads the card, feeds frames through detection, choice, quality and liveness, keeps the best shot,
and compares. Every rule it applies lives in a stage or in the session; this file only moves values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge.capture.choose import Chosen, MultipleFaces, choose_face
from edge.capture.quality import assess
from edge.errors import CameraLost, EdgeError, InputError
from edge.liveness.fusion import with_identity_continuity
from edge.liveness.session import LivenessSession
from edge.match.score import match
from edge.model import (
    CaptureRecord,
    Decision,
    Evidence,
    Face,
    Frame,
    IdDocument,
    LivenessResult,
    MatchResult,
    Prompt,
    QualityComponent,
)
from edge.policy import Policy
from edge.ports import Camera, CardReader, Screen
from edge.session import (
    Begin,
    Command,
    DocumentRead,
    Event,
    FaceCaptured,
    FacesCompared,
    Failed,
    Session,
)
from edge.vision import Vision

FRAME_TIMEOUT_S = 2.0  # E002: a camera that gives nothing for this long is gone
LIVE_CHIP_PHOTO = "live/chip_photo"


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage took, in seconds, for the story told to the operator."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one session."""

    decision: Decision
    evidence: Evidence
    stages: tuple[Stage, ...]


@dataclass(slots=True)
class _Captured:
    """What the frames so far gave."""

    seen: int = 0
    used: int = 0
    best: tuple[Frame, Face, tuple[QualityComponent, ...]] | None = None
    best_rank: float = field(default=0.0)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One verification after another with the same parts. ``monotonic``: seconds."""

    reader: CardReader
    camera: Camera
    vision: Vision
    screen: Screen
    policy: Policy
    monotonic: Callable[[], float]
    new_nonce: Callable[[], bytes]
    card_timeout_s: float
    capture_timeout_s: float

    def run(self) -> Verification:
        """Run one session to its decision. A fault on the way becomes an ABORTED outcome."""
        session, command = Session().handle(Begin())
        stages: list[Stage] = []
        while command is not Command.ATTEST:
            started = self.monotonic()
            event = self._carry_out(command, session.evidence)
            stages.append(Stage(command.name.lower(), self.monotonic() - started))
            session, command = session.handle(event)
        self.screen.show(Prompt.DONE)
        return Verification(session.decision(), session.evidence, tuple(stages))

    def _carry_out(self, command: Command, evidence: Evidence) -> Event:
        try:
            match command:
                case Command.READ_DOCUMENT:
                    return DocumentRead(self.reader.read_document(self.card_timeout_s, self.screen))
                case Command.CAPTURE_FACE:
                    return self._capture()
                case Command.COMPARE_FACES:
                    return self._compare(evidence)
                case Command.ATTEST:
                    raise AssertionError("attesting is not the pipeline's work")
        except EdgeError as error:
            return Failed(error.code)

    def _capture(self) -> Event:
        liveness = LivenessSession(self.new_nonce(), self.policy.liveness)
        captured = _Captured()
        deadline = self.monotonic() + self.capture_timeout_s
        self.screen.show(Prompt.LOOK_AT_CAMERA)
        while not liveness.done and self.monotonic() < deadline:
            try:
                frame = self.camera.read(FRAME_TIMEOUT_S)
            except CameraLost:
                return Failed("CAMERA_LOST")
            self._judge_frame(frame, liveness, captured)
        return FaceCaptured(self._record(captured), liveness.result(self.monotonic()))

    def _judge_frame(self, frame: Frame, liveness: LivenessSession, captured: _Captured) -> None:
        captured.seen += 1
        choice = choose_face(self.vision.detect(frame.pixels), frame.pixels.shape[:2])
        if isinstance(choice, MultipleFaces):
            self.screen.show(Prompt.ONE_PERSON_ONLY)
        face = choice.face if isinstance(choice, Chosen) else None
        if face is not None:
            captured.used += 1
            components = assess(frame.pixels, face, self.policy.quality)
            self._keep_best(frame, face, components, captured)
        prompt = liveness.observe(frame.pixels, face, frame.captured_at)
        if prompt is not None:
            self.screen.show(prompt)

    def _keep_best(
        self, frame: Frame, face: Face, components: tuple[QualityComponent, ...], captured: _Captured
    ) -> None:
        """Among frames that pass every component, the largest and surest face wins."""
        if not all(component.passed for component in components):
            return
        rank = face.score * face.inter_eye
        if rank > captured.best_rank:
            captured.best_rank = rank
            captured.best = (frame, face, components)

    def _record(self, captured: _Captured) -> CaptureRecord:
        frame, face, quality = captured.best or (None, None, ())
        return CaptureRecord(
            camera_id=self.camera.camera_id,
            assurance=self.camera.assurance,
            frames_seen=captured.seen,
            frames_used=captured.used,
            best_shot=frame,
            best_face=face,
            quality=quality,
        )

    def _compare(self, evidence: Evidence) -> FacesCompared:
        ...
