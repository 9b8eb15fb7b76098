"""Wiring of a whole appliance: networks, camera, card reader, screens, desk. Nothing is opened at import."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from edge.answers import NotSignedIn, SessionAnswers, SignedIn, Step
from edge.attest.clock import bounded_now, judge_validity
from edge.attest.media import SealedMedia, seal_media
from edge.capture.sources import open_camera
from edge.config import EdgeConfig
from edge.desk import Lines, TerminalDesk
from edge.errors import EdgeError, HardwareError, SetupError
from edge.face_capture import Eyes, FaceCapture
from edge.interview import Interview
from edge.model import (
    CameraAssurance,
    Decision,
    Evidence,
    IdDocument,
    PeripheralKind,
    Standing,
    Validity,
)
from edge.models.store import ModelStore
from edge.operators.face import LiveFace
from edge.operators.service import Operators
from edge.outbox.records import BegunSession, StoredRecord
from edge.pipeline import ID_BYTES, Guard, Pipeline
from edge.policy import Policy
from edge.ports import Camera, CardReader, Clock, Desk, PhotoDecoder
from edge.reader.checkup import Finding, Level, check_reader
from edge.reader.lasting import LastingReader
from edge.reader.photo import NoPhotoDecoder, PictureDecoder, SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from edge.reader.vendor_photo import VendorPhotoDecoder
from edge.readiness import check_ready, forget_earlier, note_peripheral
from edge.recorder import Recorder
from edge.screen import open_screens
from edge.session.plan import SessionPlan, plan_session
from edge.state.store import StateStore
from edge.vision import Vision
from verifield.errors import VerifieldError

SERIAL_BY_ID = Path("/dev/serial/by-id")

_log = logging.getLogger(__name__)


def open_vision(config: EdgeConfig) -> Vision:
    """Load the default models; errors as ``Vision.open``."""
    return Vision.open(ModelStore.open(config.models_dir), threads=config.threads)


@contextmanager
def open_pipeline(
    config: EdgeConfig, recorder: Recorder, state: StateStore, *, operator: str | None = None
) -> Iterator[Pipeline]:
    """Open models, camera and reader; what they find is attested by ``recorder``.

    ``operator``: who signs in at the terminal, also where the policy asks for nobody.

    Raises:
        SetupError: MODEL_MISSING and the like, CAMERA_NOT_ALLOWED, or POLICY_INCOMPLETE.
        HardwareError: NO_CAMERA, NO_READER and the like.
    """
    policy, clock = recorder.policy, recorder.clock
    plan = _plan(config, recorder, operator)
    vision = open_vision(config)
    with (
        closing(_open_allowed_camera(config, clock)) as camera,
        closing(_open_reader(config)) as reader,
        recorder.outbox.open_for_sessions(),
    ):
        eyes = _open_eyes(config, policy, clock, camera, vision)
        operators = Operators(
            state.operators,
            key_store=recorder.identity.key_store,
            clock=clock,
            live_live=policy.match.live_live,
        )
        desk = _open_desk(config, operators, eyes, operator=operator)
        station = Station(recorder, state, camera, reader)
        kept = policy.retention.confirmed_records
        forget_earlier(
            recorder, state, retention=timedelta(days=config.retention_days) if kept is None else kept
        )
        yield Pipeline(
            reader=reader,
            eyes=eyes,
            interview=Interview(desk, plan, policy, earlier=state),
            gallery=None,
            guard=Guard(
                check_ready=station.check_ready,
                is_locked=station.is_locked,
                note_begun=station.note_begun,
                judge_document=station.judge_document,
                note_activity=operators.note_activity,
            ),
            attest=station.attest,
            plan=plan,
            random=secrets.token_bytes,
            card_timeout_s=config.card_timeout_s,
            capture_timeout_s=config.capture_timeout_s,
        )


@contextmanager
def open_face_check(config: EdgeConfig, policy: Policy, clock: Clock) -> Iterator[CameraFaceCheck]:
    """Open models and camera, to look at an operator; errors as :func:`open_pipeline`."""
    vision = open_vision(config)
    with closing(_open_allowed_camera(config, clock)) as camera:
        eyes = _open_eyes(config, policy, clock, camera, vision)
        yield CameraFaceCheck(eyes, timeout_s=config.capture_timeout_s)


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
    """An operator's own face, alive; implements ``edge.operators.face.FaceCheck``."""

    def __init__(self, eyes: Eyes, *, timeout_s: float) -> None:
        self._eyes = eyes
        self._timeout_s = timeout_s

    def capture(self) -> LiveFace:
        """Look at the person in front of the camera; errors as ``Camera.read``."""
        face = FaceCapture(self._eyes, nonce=secrets.token_bytes(ID_BYTES))
        face.run(self._timeout_s, stop_code=lambda: "")
        liveness = face.judge()
        return LiveFace(liveness.decision, face.probe)


def _open_desk(config: EdgeConfig, operators: Operators, eyes: Eyes, *, operator: str | None) -> Desk:
    """The terminal that this process runs in. Without a PIN it is the face that counts."""

    def check_operator(who: str, pin: str) -> SignedIn | NotSignedIn:
        face = None if pin else CameraFaceCheck(eyes, timeout_s=config.capture_timeout_s)
        return operators.try_sign_in(who, pin=pin, face=face)

    return TerminalDesk(
        config.language, Lines(sys.stdin), check_operator=check_operator, operator=operator or ""
    )


def _plan(config: EdgeConfig, recorder: Recorder, operator: str | None) -> SessionPlan:
    plan = plan_session(
        recorder.policy, card_timeout_s=config.card_timeout_s, capture_timeout_s=config.capture_timeout_s
    )
    return plan if operator is None else dataclasses.replace(plan, steps=plan.steps | {Step.OPERATOR})


def _open_eyes(config: EdgeConfig, policy: Policy, clock: Clock, camera: Camera, vision: Vision) -> Eyes:
    return Eyes(
        camera=camera,
        vision=vision,
        screen=open_screens(config.language, config.screen_url),
        policy=policy,
        monotonic=lambda: clock.monotonic_ns() / 1e9,  # the clock that stamps the frames
    )


def _open_allowed_camera(config: EdgeConfig, clock: Clock) -> Camera:
    camera = open_camera(config.camera, clock=clock)
    if camera.assurance is CameraAssurance.SIMULATED and not config.allow_simulated_camera:
        camera.close()
        raise SetupError(
            "CAMERA_NOT_ALLOWED",
            "This camera is a file, a stream or a simulator, whose pictures could be made up.",
            hint="Use a camera attached to this device; for trials set allow_simulated_camera = true.",
        )
    return camera


def check_up_reader(config: EdgeConfig) -> Iterator[Finding]:
    """Look at the card reader for ``verifield-edge doctor``; a port that is not clear is a finding too."""
    try:
        port, decoder = _reader_port(config), _photo_decoder(config)
    except EdgeError as error:
        yield Finding(error.code, Level.FAIL, error.message, error.hint)
        return
    baud = None if config.reader_baud == "auto" else config.reader_baud
    yield from check_reader(port, baud=baud, expected_sam_id=config.reader_sam_id, decoder=decoder)


def _open_reader(config: EdgeConfig) -> CardReader:
    def reopen(sam_id: str | None) -> CardReader:
        return SamVReader.open(
            _reader_port(config),
            baud=None if config.reader_baud == "auto" else config.reader_baud,
            decoder=_photo_decoder(config),
            expected_sam_id=sam_id,
        )

    return LastingReader(reopen, expected_sam_id=config.reader_sam_id)


def _reader_port(config: EdgeConfig) -> str:
    if config.reader_port != "auto":
        return config.reader_port
    found = sorted(SERIAL_BY_ID.glob("*")) if SERIAL_BY_ID.is_dir() else []
    if len(found) == 1:
        return str(found[0])
    names = ", ".join(path.name for path in found) or "none"
    raise HardwareError(
        "NO_READER",
        f"The card reader's port is not clear: found {names} under {SERIAL_BY_ID}.",
        hint="Plug the reader in, or name its port with reader_port or --reader.",
    )


def _photo_decoder(config: EdgeConfig) -> PhotoDecoder:
    match config.photo_decoder:
        case "simulator":
            return SimulatorPhotoDecoder()
        case "pictures":
            return PictureDecoder()
        case "none":
            return NoPhotoDecoder()
        case abi:
            if config.photo_library is None or not config.photo_library_symbol:
                raise SetupError(
                    "PHOTO_LIBRARY",
                    f"The photo decoder {abi} needs a vendor's library and the name of its function.",
                    hint="Set photo_library and photo_library_symbol.",
                )
            return VendorPhotoDecoder(config.photo_library, abi, config.photo_library_symbol)
