"""The pump of one verification: it carries out what the session asks for and reports back.

Every rule it applies lives in a stage or in the session; this file only moves values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge.answers import Accommodation, EarlierRecord, PrivateField, SessionAnswers, SignedIn, Step
from edge.attempts import ATTEMPTS_USED_UP
from edge.capture.stills import encode_portrait, encode_shot
from edge.contact import Arrival
from edge.errors import EdgeError, SetupError
from edge.face_capture import Asking, Eyes, FaceCapture, capture_face
from edge.interrupts import stops_held_back
from edge.interview import Interview
from edge.match.score import match as match_faces
from edge.model import Decision, Embedding, Evidence, IdDocument, Prompt, Purpose, Validity
from edge.outbox.records import StoredRecord
from edge.policy import LIVE_CHIP_PHOTO
from edge.ports import CardReader, GallerySearch
from edge.session.events import (
    DEVICE_LOCKED,
    OPERATOR_IDLE,
    OPERATOR_IS_APPLICANT,
    Abort,
    Begin,
    DocumentRead,
    Event,
    FaceCaptured,
    FacesCompared,
    GallerySearched,
    LivenessJudged,
    RecordStored,
)
from edge.session.machine import Command, Session
from edge.session.plan import ASKED_OF_PEOPLE, SessionPlan

ID_BYTES = 16  # of a session's id and of a challenge's nonce
NETWORKS_S = 20.0  # of a capture's time; what is left of it a lost camera may be waited for
LOCK_POLL_S = 1.0  # a lock is obeyed within a second, without a look at the disk for every frame

BEGINNINGS = frozenset({Command.ASK_CONSENT, Command.READ_DOCUMENT})
"""From the first of these on a person takes part: no such session may vanish."""

BEST_SHOT, DOCUMENT_PHOTO = "best_shot", "document_photo"
"""Names of the pictures that a policy may have kept."""

Attest = Callable[[Evidence, Decision], StoredRecord]


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage took, in seconds, for the story told to the operator."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one session. ``record``: its durable trace.

    ``fault``: what broke the session off, or what went wrong once the record was stored.
    """

    decision: Decision
    evidence: Evidence
    record: StoredRecord
    stages: tuple[Stage, ...]
    fault: EdgeError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a session needs of the device. ``check_ready``: raises EdgeError where none may begin.

    ``is_locked``: whether the cloud has locked the device meanwhile. ``note_begun``: makes durable that the
    session has begun, so that even a power cut leaves a record of it. ``judge_document``: whether a document
    counts today, as far as the device knows the time.
    ``awaits``: whether the session is for this document's holder; without a task it is for anybody.
    ``failed_lately``: attempts with this document that came to no yes, within the last quarter of an hour.
    ``mark``: where the device's own clock stands, by which that is judged.
    ``note_activity``: that something has happened in the operator's session; False where the operator is
    signed out, for having been idle or otherwise. ``is_applicant``: whether the face is the operator's own.
    """

    check_ready: Callable[[], None]
    is_locked: Callable[[], bool]
    note_begun: Callable[[SessionAnswers], None]
    judge_document: Callable[[IdDocument], Validity]
    note_activity: Callable[[SignedIn], bool]
    awaits: Callable[[IdDocument], bool] = lambda _document: True
    failed_lately: Callable[[IdDocument], int] = lambda _document: 0
    mark: Callable[[], Arrival] = lambda: Arrival("", 0)
    is_applicant: Callable[[SignedIn, Embedding], bool] = lambda _operator, _probe: False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One verification after another with the same parts.

    ``attest`` signs and stores; when it returns, the record is durable. ``random``: returns so many fresh
    random bytes. ``gallery``: None where nobody is enrolled. ``purpose``: what the records are made for.
    ``accommodation``: what the person needs to answer a challenge.
    """

    reader: CardReader
    eyes: Eyes
    interview: Interview
    gallery: GallerySearch | None
    guard: Guard
    attest: Attest
    plan: SessionPlan
    random: Callable[[int], bytes]
    card_timeout_s: float
    capture_timeout_s: float
    purpose: Purpose | None = None
    accommodation: Accommodation = field(default_factory=Accommodation)

    def run(self) -> Verification:
        """Run one session to its record. A fault on the way becomes an ABORTED outcome.

        Raises:
            EdgeError: no session may begin; nothing is recorded.
            StorageError: the record could not be stored, so nothing may be said of the person.
        """
        self._check_ready()
        opened = Session.open(
            self.plan, session_id=self.random(ID_BYTES), now=self.eyes.monotonic(), purpose=self.purpose
        )
        run = _Run(self, opened)
        with stops_held_back() as stops:  # nobody gets rid of an attempt by pressing stop once more
            try:
                with stops.obeyed():
                    run.until_attested()
                    run.media = self._media_of(run.session.evidence)
            except BaseException as error:  # a bug, or somebody pressed stop: signed too, then passed on
                run.abort(_abort_code(error))
                self._conclude(run)
                raise
            verification = self._conclude(run)
            self.eyes.screen.show(Prompt.DONE)
            return verification

    def _check_ready(self) -> None:
        self.guard.check_ready()
        if Step.GALLERY in self.plan.steps and self.gallery is None:
            raise SetupError(
                "GALLERY_MISSING",
                "The policy asks for a search in the device's gallery, and there is none.",
                hint="Publish a policy without that step for this device.",
            )

    def _conclude(self, run: _Run) -> Verification:
        """Have the session's one record stored; errors as :meth:`run`."""
        started = self.eyes.monotonic()
        evidence, decision = replace(run.session.evidence, media=run.media), run.session.decision()
        record = self.attest(evidence, decision)
        run.stages.append(Stage(Command.ATTEST.name.lower(), self.eyes.monotonic() - started))
        run.handle(RecordStored(record.attestation_id))
        fault = run.fault or self._remember(evidence, decision, record)
        return Verification(decision, evidence, record, tuple(run.stages), fault)

    def _media_of(self, evidence: Evidence) -> tuple[PrivateField, ...]:
        """Encode the pictures that the policy wants kept, as far as the session came to have them."""
        shot = evidence.capture.best_shot if evidence.capture else None
        photo = evidence.document.photo if evidence.document else None
        media = []
        if BEST_SHOT in self.plan.media and shot is not None:
            media.append(PrivateField(BEST_SHOT, encode_shot(shot.pixels)))
        if DOCUMENT_PHOTO in self.plan.media and photo is not None:
            media.append(PrivateField(DOCUMENT_PHOTO, encode_portrait(photo)))
        return tuple(media)

    def _remember(self, evidence: Evidence, decision: Decision, record: StoredRecord) -> EdgeError | None:
        """Note the record for the document's next session; that it failed takes nothing from the record."""
        if evidence.document is None or record.created_at is None:
            return None
        try:
            mark = self.guard.mark()
            earlier = EarlierRecord(
                record.attestation_id, decision.outcome, record.created_at, mark.boot_id, mark.monotonic_ns
            )
            self.interview.note(evidence.document, earlier)
        except EdgeError as error:
            return error
        return None


def _abort_code(error: BaseException) -> str:
    if isinstance(error, EdgeError):
        return error.code
    return "INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "INTERNAL_FAULT"


class _Run:
    """One session, and what it has in hand between its stages."""

    def __init__(self, parts: Pipeline, session: Session) -> None:
        self._parts = parts
        self.session = session
        self.stages: list[Stage] = []
        self.media: tuple[PrivateField, ...] = ()
        self.fault: EdgeError | None = None
        self._locked_at = session.since  # when the lock was looked at last
        self._begun = False  # the durable mark is there
        self._failed_before = 0  # attempts with this document of late
        self._face: FaceCapture | None = None
        self._reference: Embedding | None = None  # of the card's photo
        self._probe: Embedding | None = None  # of the best shot

    def until_attested(self) -> None:
        """Carry out what the session asks for, until it has nothing left but to be attested."""
        (command,) = self.handle(Begin())
        while command is not Command.ATTEST:
            started = self._parts.eyes.monotonic()
            event, stopped = self._carry_out(command), self._stop_code() or self._idle_code()
            if stopped and self.session.state in ASKED_OF_PEOPLE:
                event = Abort(stopped)  # the last answer of a session must not outrun a lock
            commands = self.handle(event)  # first: a spoof that was seen stays one
            if stopped:
                commands += self.handle(Abort(stopped))
            self.stages.append(Stage(command.name.lower(), self._parts.eyes.monotonic() - started))
            command = commands[-1] if commands else command  # none: the same question again

    def handle(self, event: Event) -> tuple[Command, ...]:
        self.session, commands = self.session.handle(event, self._parts.eyes.monotonic())
        return commands

    def abort(self, code: str) -> None:
        """End the session from outside; where it has ended already, nothing changes."""
        self.handle(Abort(code))

    def _remaining(self) -> float:
        return self.session.remaining_s(self._parts.eyes.monotonic()) or 0.0

    def _stop_code(self) -> str:
        """Why the session has to end now, whatever its step says; empty: it need not."""
        now = self._parts.eyes.monotonic()
        if now - self._locked_at >= LOCK_POLL_S:
            self._locked_at = now
            if self._parts.guard.is_locked():
                return DEVICE_LOCKED
        return self._parts.interview.stop_code()

    def _idle_code(self) -> str:
        """As :meth:`_stop_code`: nobody goes on in the name of an operator who is signed out."""
        session = self.session.evidence.session
        if session is None or session.operator is None or self._parts.guard.note_activity(session.operator):
            return ""
        return OPERATOR_IDLE

    def _carry_out(self, command: Command) -> Event:
        try:
            if command in BEGINNINGS:
                self._note_begun()
            return self._steps()[command]()
        except EdgeError as error:
            self.fault = error
            return Abort(error.code)

    def _note_begun(self) -> None:
        session = self.session.evidence.session
        if not self._begun and session is not None:
            self._parts.guard.note_begun(session)
            self._begun = True

    def _steps(self) -> dict[Command, Callable[[], Event]]:
        ask = self._parts.interview
        return {
            Command.IDENTIFY: lambda: ask.identify(self._remaining),
            Command.ASK_CONSENT: lambda: ask.ask_consent(self._remaining),
            Command.READ_DOCUMENT: self._read_document,
            Command.SHOW_EARLIER: self._show_earlier,
            Command.CAPTURE_FACE: self._capture,
            Command.JUDGE_LIVENESS: self._judge_liveness,
            Command.COMPARE_FACES: self._compare,
            Command.SEARCH_GALLERY: self._search,
            Command.ASK_CUSTOMER: lambda: ask.ask_customer(self._remaining),
            Command.SHOW_NOTICES: lambda: ask.show_notices(self._remaining),
            Command.ASK_SIGNATURE: lambda: ask.ask_signature(self._remaining),
        }

    def _read_document(self) -> Event:
        parts = self._parts
        document = parts.reader.read_document(parts.card_timeout_s, parts.eyes.screen)
        if document.photo is not None:  # judged now: a person need not pose for a photo that is no use
            self._reference = parts.eyes.vision.embed_chip_photo(document.photo)
        guard = parts.guard
        self._failed_before = guard.failed_lately(document)
        return DocumentRead(document, guard.judge_document(document), guard.awaits(document))

    def _show_earlier(self) -> Event:
        document = self.session.evidence.document
        if document is None:
            raise AssertionError("earlier records come after the document")
        return self._parts.interview.show_earlier(document, self._remaining)

    def _capture(self) -> Event:
        parts = self._parts
        if self._failed_before >= parts.eyes.policy.liveness.max_attempts:
            return Abort(ATTEMPTS_USED_UP)
        self._face, stopped = capture_face(
            parts.eyes,
            fresh_nonce=lambda: parts.random(ID_BYTES),
            timeout_s=parts.capture_timeout_s,
            patience_s=max(parts.capture_timeout_s, self._remaining() - NETWORKS_S),
            stop_code=self._stop_code,
            asking=Asking(parts.accommodation, self._failed_before + 1),
        )
        return Abort(stopped) if stopped else FaceCaptured(self._face.record())

    def _judge_liveness(self) -> Event:
        if self._face is None:
            raise AssertionError("liveness is judged after the capture")
        liveness = self._face.judge()
        self._probe = self._face.probe
        return LivenessJudged(liveness)

    def _compare(self) -> Event:
        if self._probe is None:
            return FacesCompared(None)
        session = self.session.evidence.session
        if session and session.operator and self._parts.guard.is_applicant(session.operator, self._probe):
            return Abort(OPERATOR_IS_APPLICANT)
        if self._reference is None:  # the document has no photo
            return FacesCompared(None)
        threshold = self._parts.eyes.policy.match.live_chip_photo
        return FacesCompared(
            match_faces(self._probe, self._reference, threshold=threshold, domain=LIVE_CHIP_PHOTO)
        )

    def _search(self) -> Event:
        gallery = self._parts.gallery
        if gallery is None or self._probe is None:
            return GallerySearched(None)
        return GallerySearched(gallery.search(self._probe))
