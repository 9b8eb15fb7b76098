"""Wiring of a whole appliance: networks, camera, card reader, screens, desk. Nothing is opened at import."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from edge.answers import Accommodation, NotSignedIn, SessionAnswers, SignedIn, Step
from edge.attempts import FAILED, count_failed
from edge.attest.clock import ZONE_WIDTH, TimeBounds, arrival_now, bounded_now, judge_validity
from edge.attest.media import SealedMedia, seal_media
from edge.capture.sources import open_camera
from edge.config import EdgeConfig
from edge.contact import Arrival
from edge.desk import Lines, TerminalDesk
from edge.documents import TYPING_S, Given, Typed, check_given, open_documents
from edge.errors import InputError, SetupError
from edge.face_capture import Eyes, capture_face
from edge.gallery.home import gallery_key, gallery_path
from edge.interview import Interview
from edge.model import (
    CameraAssurance,
    Decision,
    Evidence,
    IdDocument,
    PeripheralKind,
    Purpose,
    Standing,
    Validity,
)
from edge.models.store import ModelStore
from edge.operators.face import LiveFace
from edge.operators.service import Operators
from edge.outbox.records import BegunSession, StoredRecord
from edge.pipeline import ID_BYTES, Guard, Pipeline
from edge.policy import Policy
from edge.ports import Camera, CardReader, Clock, Desk, GallerySearch, Screen
from edge.readiness import check_ready, forget_earlier, note_peripheral
from edge.recorder import Recorder
from edge.screen import open_screens
from edge.session.plan import SessionPlan, plan_session
from edge.state.store import StateStore
from edge.tasks import WaitingTask
from edge.vision import Vision
from verifield.errors import VerifieldError

_log = logging.getLogger(__name__)


def open_vision(config: EdgeConfig) -> Vision:
    """Load the default models; errors as ``Vision.open``."""
    return Vision.open(ModelStore.open(config.models_dir), threads=config.threads)


@dataclass(frozen=True, slots=True)
class Counter:
    """Where people are served instead of the terminal that a command runs in.

    ``operators``: who may be signed in already. ``watch``: wraps the camera, to show what it sees.
    """

    desk: Desk
    screen: Screen
    operators: Operators
    vision: Vision
    watch: Callable[[Camera], Camera]


@contextmanager
def open_pipeline(
    config: EdgeConfig,
    recorder: Recorder,
    state: StateStore,
    *,
    operator: str | None = None,
    given: Given | None = None,
    task: WaitingTask | None = None,
    nonce: bytes = b"",
    counter: Counter | None = None,
    accommodation: Accommodation | None = None,
) -> Iterator[Pipeline]:
    """Open models, camera and reader; what they find is attested by ``recorder``.

    ``operator``: who signs in at the terminal, also where the policy asks for nobody. ``given``: what
    stands in the place of the card reader, or completes what it reads. ``task``: whom the session is for,
    with the steps that it asks for beside the policy's. ``nonce``: of a request that has no task.
    ``counter``: where people are served instead of the terminal. ``accommodation``: what the person needs.

    Raises:
        SetupError: MODEL_MISSING, CAMERA_NOT_ALLOWED, PRINTED_PHOTO_NOT_ACCEPTED, POLICY_INCOMPLETE...
        HardwareError: NO_CAMERA, NO_READER and the like.
    """
    policy, clock = recorder.policy, recorder.clock
    check_given(given, policy)
    card_timeout_s = TYPING_S if isinstance(given, Typed) else config.card_timeout_s
    plan = _plan(config, recorder, operator, task, card_timeout_s=card_timeout_s)
    vision = open_vision(config) if counter is None else counter.vision
    with (
        closing(_open_allowed_camera(config, clock, counter)) as camera,
        recorder.outbox.open_for_sessions(),
        ExitStack() as opened,
    ):
        eyes = _open_eyes(config, policy, clock, camera, vision, counter=counter)
        operators = _open_operators(recorder, state) if counter is None else counter.operators
        desk = _open_desk(config, operators, eyes, operator=operator) if counter is None else counter.desk
        pinned = state.pinned(PeripheralKind.READER)
        reader = open_documents(
            config, given, desk=desk, detector=vision.detector, clock=clock, pinned=pinned
        )
        opened.callback(reader.close)
        station = Station(recorder, state, camera, reader)
        gallery = None
        if Step.GALLERY in plan.steps and gallery_path(config.data_dir).exists():
            gallery = opened.enter_context(_open_gallery(config, recorder, state))
        forget_earlier(recorder, state, retention=_retention(config, policy))
        yield Pipeline(
            reader=reader,
            eyes=eyes,
            interview=Interview(desk, plan, policy, earlier=state),
            gallery=gallery,
            guard=_guard(station, operators, task),
            attest=station.attest,
            plan=plan,
            random=secrets.token_bytes,
            card_timeout_s=card_timeout_s,
            capture_timeout_s=config.capture_timeout_s,
            purpose=_purpose(task, nonce),
            accommodation=accommodation or Accommodation(),
        )


@contextmanager
def open_face_check(
    config: EdgeConfig, policy: Policy, clock: Clock, *, counter: Counter | None = None
) -> Iterator[CameraFaceCheck]:
    """Open models and camera, to look at an operator; errors as :func:`open_pipeline`."""
    vision = open_vision(config) if counter is None else counter.vision
    with closing(_open_allowed_camera(config, clock, counter)) as camera:
        eyes = _open_eyes(config, policy, clock, camera, vision, counter=counter)
        desk = None if counter is None else counter.desk
        yield CameraFaceCheck(eyes, timeout_s=config.capture_timeout_s, desk=desk)


class Station:
    """What one device knows of itself between two sessions."""

    def __init__(self, recorder: Recorder, state: StateStore, camera: Camera, reader: CardReader) -> None:
        self._recorder = recorder
        self._state = state
        self._camera = camera
        self._reader = reader
        self._standing = Standing.NORMAL

    def check_ready(self) -> None:
        """Refuse a session as ``edge.readiness.check_ready``; note a camera or reader that was changed."""
        self._standing = check_ready(self._recorder, self._state)
        for kind, current_id in (
            (PeripheralKind.CAMERA, self._camera.camera_id),
            (PeripheralKind.READER, self._reader.sam_id),
        ):
            note_peripheral(self._recorder, self._state, kind, current_id)

    def is_locked(self) -> bool:
        """Whether the cloud has locked or wiped the device, as far as the sync daemon has heard."""
        lock = self._state.lock()
        return lock.locked or lock.wiped

    def note_begun(self, session: SessionAnswers) -> None:
        """Make durable that a session has begun; errors as ``Outbox.begin``."""
        self._recorder.outbox.begin(BegunSession(session, self._standing))

    def judge_document(self, document: IdDocument) -> Validity:
        """Say whether a document counts today, by the time that is certain."""
        bounds = bounded_now(self._recorder.clock, contact=self._state.contact())
        return judge_validity(document.valid_from, document.valid_to, bounds)

    def failed_lately(self, document: IdDocument) -> int:
        """Count the failed attempts with this document on this device within the last quarter of an hour."""
        pseudonym = self._state.pseudonym(document.type, document.number)
        failed = self._state.earlier_with(pseudonym, FAILED)
        return count_failed(failed, wall=self._recorder.clock.wall(), mark=self.mark())

    def mark(self) -> Arrival:
        """Where the device's own clock stands, which nobody sets."""
        return arrival_now(self._recorder.clock)

    def attest(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        """Sign and store, as the device stood when the session began."""
        return self._recorder.record(
            evidence, decision, standing=self._standing, media=self._sealed(evidence)
        )

    def _sealed(self, evidence: Evidence) -> tuple[SealedMedia, ...]:
        """Encrypt the pictures to be kept. One that cannot be is left out: the record matters more."""
        key = self._recorder.policy.media.recipient_key
        sealed: list[SealedMedia] = []
        for item in evidence.media:
            try:
                sealed += seal_media((item,), recipient_key=key)
            except VerifieldError as error:
                _log.warning("the picture %s is not kept: %s", item.name, error.code)
        return tuple(sealed)


class CameraFaceCheck:
    """An operator's own face, alive; implements ``edge.operators.face.FaceCheck``.

    ``desk``: where somebody may press stop; None: nobody can.
    """

    def __init__(self, eyes: Eyes, *, timeout_s: float, desk: Desk | None = None) -> None:
        self._eyes = eyes
        self._timeout_s = timeout_s
        self._desk = desk

    def capture(self) -> LiveFace:
        """Look at the person in front of the camera; errors as ``Camera.read``.

        Raises:
            InputError: SIGN_IN_STOPPED: nobody was judged, so that it is no failed attempt.
        """
        face, stopped = capture_face(
            self._eyes,
            fresh_nonce=lambda: secrets.token_bytes(ID_BYTES),
            timeout_s=self._timeout_s,
            patience_s=self._timeout_s,
            stop_code=self._stop_code,
        )
        if stopped:
            raise sign_in_stopped()
        liveness = face.judge()
        return LiveFace(liveness.decision, face.probe)

    def _stop_code(self) -> str:
        stop = self._desk.stop_requested() if self._desk is not None else None
        return "" if stop is None else stop.value


def certain_day(bounds: TimeBounds) -> date:
    """A day that has certainly begun, in every time zone: whose last day lies before it has expired."""
    return (bounds.not_before - ZONE_WIDTH).date()


def sign_in_stopped() -> InputError:
    """Somebody pressed stop before the face was judged."""
    return InputError(
        "SIGN_IN_STOPPED", "The sign-in was stopped.", hint="Sign in with the PIN, or try again."
    )


def _retention(config: EdgeConfig, policy: Policy) -> timedelta:
    kept = policy.retention.confirmed_records
    return timedelta(days=config.retention_days) if kept is None else kept


def _guard(station: Station, operators: Operators, task: WaitingTask | None) -> Guard:
    return Guard(
        check_ready=station.check_ready,
        is_locked=station.is_locked,
        note_begun=station.note_begun,
        judge_document=station.judge_document,
        note_activity=operators.note_activity,
        is_applicant=operators.is_applicant,
        awaits=lambda document: task is None or task.awaits(document.number),
        failed_lately=station.failed_lately,
        mark=station.mark,
    )


def _purpose(task: WaitingTask | None, nonce: bytes) -> Purpose | None:
    if task is not None:
        return Purpose(task.nonce, task.task_id, task.number_salt)
    return Purpose(nonce) if nonce else None


@contextmanager
def _open_gallery(config: EdgeConfig, recorder: Recorder, state: StateStore) -> Iterator[GallerySearch]:
    from edge.gallery.asking import SessionGallery  # noqa: PLC0415 - loads the compiler
    from edge.gallery.decide import known_points  # noqa: PLC0415
    from edge.gallery.store import Gallery  # noqa: PLC0415
    from edge.match.calibration import measured_points  # noqa: PLC0415
    from edge.policy import LIVE_LIVE  # noqa: PLC0415

    path = gallery_path(config.data_dir)
    key = gallery_key(config.data_dir, recorder.identity.key_store)
    today = certain_day(bounded_now(recorder.clock, contact=state.contact()))
    with Gallery.open(path, key, today=today, threads=config.threads) as gallery:
        measured = measured_points(LIVE_LIVE, gallery.model.sha256)
        points = known_points(recorder.policy.match.live_live, measured)
        yield SessionGallery(gallery, points=points, fpir=config.gallery_fpir)


def _open_operators(recorder: Recorder, state: StateStore) -> Operators:
    return Operators(
        state.operators,
        key_store=recorder.identity.key_store,
        clock=recorder.clock,
        live_live=recorder.policy.match.live_live,
    )


def _open_desk(config: EdgeConfig, operators: Operators, eyes: Eyes, *, operator: str | None) -> Desk:
    """The terminal that this process runs in. Without a PIN it is the face that counts."""

    def check_operator(who: str, pin: str) -> SignedIn | NotSignedIn:
        face = None if pin else CameraFaceCheck(eyes, timeout_s=config.capture_timeout_s)
        return operators.try_sign_in(who, pin=pin, face=face)

    return TerminalDesk(
        config.language, Lines(sys.stdin), check_operator=check_operator, operator=operator or ""
    )


def _plan(
    config: EdgeConfig,
    recorder: Recorder,
    operator: str | None,
    task: WaitingTask | None,
    *,
    card_timeout_s: float,
) -> SessionPlan:
    plan = plan_session(
        recorder.policy,
        card_timeout_s=card_timeout_s,
        capture_timeout_s=config.capture_timeout_s,
        also=task.steps if task else (),
    )
    return plan if operator is None else dataclasses.replace(plan, steps=plan.steps | {Step.OPERATOR})


def _open_eyes(
    config: EdgeConfig,
    policy: Policy,
    clock: Clock,
    camera: Camera,
    vision: Vision,
    *,
    counter: Counter | None = None,
) -> Eyes:
    return Eyes(
        camera=camera,
        vision=vision,
        screen=open_screens(config.language, config.screen_url, page=counter.screen if counter else None),
        policy=policy,
        monotonic=lambda: clock.monotonic_ns() / 1e9,  # the clock that stamps the frames
        allow_simulated=config.allow_simulated_camera,
    )


def _open_allowed_camera(config: EdgeConfig, clock: Clock, counter: Counter | None = None) -> Camera:
    camera = open_camera(config.camera, clock=clock)
    if camera.assurance is CameraAssurance.SIMULATED and not config.allow_simulated_camera:
        camera.close()
        raise SetupError(
            "CAMERA_NOT_ALLOWED",
            "This camera is a file, a stream or a simulator, whose pictures could be made up.",
            hint="Use a camera attached to this device; for trials set allow_simulated_camera = true.",
        )
    return camera if counter is None else counter.watch(camera)
