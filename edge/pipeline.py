"""The pump of one verification: it carries out what the session asks for and reports back.

It reads the card, feeds frames through detection, choice, quality and liveness, keeps the best shot,
and compares. Every rule it applies lives in a stage or in the session; this file only moves values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.capture.choose import Chosen, MultipleFaces, choose_face
from edge.capture.quality import assess
from edge.errors import EdgeError
from edge.liveness.fusion import with_identity_continuity
from edge.liveness.session import LivenessSession
from edge.match.score import match as match_faces
from edge.model import (
    CaptureRecord,
    Decision,
    Embedding,
    Evidence,
    Face,
    Frame,
    LivenessResult,
    Prompt,
    QualityComponent,
)
from edge.outbox.records import StoredRecord
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, Policy
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


Attest = Callable[[Evidence, Decision], StoredRecord]


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage took, in seconds, for the story told to the operator."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one session. ``record``: its durable trace. ``fault``: what broke it off, if anything."""

    decision: Decision
    evidence: Evidence
    record: StoredRecord
    stages: tuple[Stage, ...]
    fault: EdgeError | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One verification after another with the same parts.

    ``attest`` signs and stores; when it returns, the record is durable. ``monotonic``: seconds.
    """

    reader: CardReader
    camera: Camera
    vision: Vision
    screen: Screen
    attest: Attest
    policy: Policy
    monotonic: Callable[[], float]
    new_nonce: Callable[[], bytes]
    card_timeout_s: float
    capture_timeout_s: float

    def run(self) -> Verification:
        """Run one session to its record. A fault on the way becomes an ABORTED outcome.

        Raises:
            StorageError: the record could not be stored, so nothing may be said of the person.
        """
        session, command = Session().handle(Begin())
        run = _Run(self)
        stages: list[Stage] = []
        while command is not Command.ATTEST:
            started = self.monotonic()
            try:
                event = run.carry_out(command)
            except BaseException as error:  # a bug, or somebody pressed stop: signed too, then passed on
                session, _ = session.handle(Failed(_abort_code(error)))
                self.attest(session.evidence, session.decision())
                raise
            stages.append(Stage(command.name.lower(), self.monotonic() - started))
            session, command = session.handle(event)
        started = self.monotonic()
        record = self.attest(session.evidence, session.decision())
        stages.append(Stage(command.name.lower(), self.monotonic() - started))
        self.screen.show(Prompt.DONE)
        return Verification(session.decision(), session.evidence, record, tuple(stages), run.fault)


def _abort_code(error: BaseException) -> str:
    return "INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "INTERNAL_FAULT"


class _Run:
    """What one session has in hand between its stages."""

    def __init__(self, parts: Pipeline) -> None:
        self._parts = parts
        self.fault: EdgeError | None = None
        self._reference: Embedding | None = None  # of the card's photo
        self._probe: Embedding | None = None  # of the best shot

    def carry_out(self, command: Command) -> Event:
        try:
            match command:
                case Command.READ_DOCUMENT:
                    return self._read_document()
                case Command.CAPTURE_FACE:
                    return self._capture()
                case Command.COMPARE_FACES:
                    return self._compare()
                case Command.ATTEST:
                    raise AssertionError("attesting is not the pipeline's work")
        except EdgeError as error:
            self.fault = error
            return Failed(error.code)

    def _read_document(self) -> Event:
        document = self._parts.reader.read_document(self._parts.card_timeout_s, self._parts.screen)
        if document.photo is not None:  # judged now: a person need not pose for a photo that is no use
            self._reference = self._parts.vision.embed_chip_photo(document.photo)
        return DocumentRead(document)

    def _capture(self) -> Event:
        parts = self._parts
        liveness = LivenessSession(parts.new_nonce(), parts.policy.liveness)
        shots = _BestShot()
        guide = _Guide(parts.screen)
        deadline = parts.monotonic() + parts.capture_timeout_s
        while not liveness.done and parts.monotonic() < deadline:
            frame = parts.camera.read(FRAME_TIMEOUT_S)
            choice = choose_face(parts.vision.detect(frame.pixels), frame.pixels.shape[:2])
            face = choice.face if isinstance(choice, Chosen) else None
            quality = () if face is None else assess(frame.pixels, face, parts.policy.quality)
            shots.offer(frame, face, quality)
            asked = liveness.observe(frame.pixels, face, frame.captured_at)
            guide.tell(asked, quality, crowded=isinstance(choice, MultipleFaces))
        result = self._with_continuity(liveness.result(parts.monotonic()), liveness, shots)
        return FaceCaptured(shots.record(parts.camera), result)

    def _with_continuity(
        self, result: LivenessResult, liveness: LivenessSession, shots: _BestShot
    ) -> LivenessResult:
        """The face that answered the challenge must be the one that is matched."""
        parts, best = self._parts, shots.best
        if best is None:
            return result
        self._probe = probe = parts.vision.embed(best.frame.pixels, best.face)
        threshold = parts.policy.match.live_live
        similarities = [
            match_faces(parts.vision.embed(image, face), probe, threshold=threshold, domain=LIVE_LIVE).score
            for image, face in liveness.keyframes
        ]
        return with_identity_continuity(
            result, similarities, threshold.threshold, model_sha256=probe.model_sha256
        )

    def _compare(self) -> Event:
        if self._probe is None or self._reference is None:
            return FacesCompared(None)
        threshold = self._parts.policy.match.live_chip_photo
        return FacesCompared(
            match_faces(self._probe, self._reference, threshold=threshold, domain=LIVE_CHIP_PHOTO)
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
