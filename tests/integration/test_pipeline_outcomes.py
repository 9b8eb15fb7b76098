"""The pipeline over the simulated camera, in virtual time: swapping the people swaps the outcomes."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import FrameType
from typing import Any

import numpy as np
import pytest

from edge import interrupts as interrupts_module
from edge import pipeline as pipeline_module
from edge.answers import (
    ChallengeKind,
    EarlierRecord,
    GalleryCandidate,
    GalleryDecision,
    GalleryResult,
    SessionAnswers,
    SessionText,
    SignedIn,
    Step,
    Stop,
)
from edge.capture.pictures import decode_picture
from edge.desk import ScriptedDesk
from edge.errors import CameraLost, EdgeError, HardwareError, SetupError, StorageError
from edge.face_capture import Asking, Eyes
from edge.interrupts import STOPS
from edge.interview import Interview
from edge.model import (
    CameraAssurance,
    CaptureRecord,
    Colour,
    Decision,
    DocumentType,
    Embedding,
    Evidence,
    Frame,
    IdDocument,
    Image,
    LivenessResult,
    Outcome,
    Prompt,
    Validity,
)
from edge.models.store import ModelStore
from edge.outbox.records import RecordState, StoredRecord
from edge.pipeline import LOCK_POLL_S, Guard, Pipeline, Verification
from edge.policy import MediaPolicy, NumberSegment, Policy, SessionPolicy
from edge.ports import GallerySearch, Screen
from edge.reader.photo import SimulatorPhotoDecoder
from edge.screen import Screens
from edge.session import machine as machine_module
from edge.session.plan import plan_session
from edge.vision import Vision
from tests.support.evidence import CAPTURE, DOCUMENT, LIVE
from tests.support.liveness import QUICK
from verifield_sim import portraits
from verifield_sim.camera import Scene

FPS = 15
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
OWNER, STRANGER = "astronaut", "grace_hopper"


@cache
def card_of(portrait: str) -> IdDocument:
    photo = SimulatorPhotoDecoder().decode(
        portraits.encode_chip_photo(portraits.id_photo(portraits.load(portrait)))
    )
    assert photo is not None
    return dataclasses.replace(DOCUMENT, photo=photo)


@dataclass
class Room:
    """A camera, a screen and a reader around one scene; its clock moves by one frame at each look."""

    scene: Scene
    document: IdDocument | None
    lost_after: int | None = None
    now: float = 100.0
    number: int = 0
    shown: list[Prompt] = field(default_factory=list)
    attested: list[Decision] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    remembered: dict[str, list[EarlierRecord]] = field(default_factory=dict)
    locked: bool = False
    not_ready: EdgeError | None = None
    shown_before_attested: list[Prompt] = field(default_factory=list)
    begun: list[SessionAnswers] = field(default_factory=list)
    validity: Validity = Validity.VALID
    idle_from: int | None = None  # after so many steps the operator counts as gone
    active: list[SignedIn] = field(default_factory=list)

    camera_id = "test"
    assurance = CameraAssurance.SIMULATED
    sam_id = DOCUMENT.reader_sam_id

    def read(self, timeout_s: float) -> Frame:
        if self.number == self.lost_after:
            self.now += timeout_s
            raise CameraLost("CAMERA_LOST", "gone")
        self.now += 1 / FPS
        self.number += 1
        return Frame(self.scene.frame(self.now), self.now, self.number)

    def show(self, prompt: Prompt) -> None:
        self.shown.append(prompt)
        self.scene.show(prompt.value, self.now)

    can_light = True

    def light(self, colour: Colour | None) -> None:
        self.scene.light(colour, self.now)

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        screen.show(Prompt.PLACE_CARD)
        if self.document is None:
            raise HardwareError("NO_CARD", "no card")
        return self.document

    def attest(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        self.attested.append(decision)
        self.evidence.append(evidence)
        self.shown_before_attested = list(self.shown)
        return StoredRecord("id", 1, len(self.attested), b"", b"", RecordState.PENDING, "", WHEN)

    def check_ready(self) -> None:
        if self.not_ready is not None:
            raise self.not_ready

    def note_activity(self, operator: SignedIn) -> bool:
        self.active.append(operator)
        return self.idle_from is None or len(self.active) < self.idle_from

    def pseudonym(self, document_type: DocumentType, number: str) -> str:
        return hashlib.sha256(f"{document_type} {number}".encode()).hexdigest()

    def earlier(self, pseudonym: str) -> list[EarlierRecord]:
        return self.remembered.get(pseudonym, [])

    def note_earlier(self, pseudonym: str, record: EarlierRecord) -> None:
        self.remembered.setdefault(pseudonym, []).insert(0, record)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


def pipeline_of(
    room: Room,
    vision: Vision,
    *,
    policy: Policy | None = None,
    desk: ScriptedDesk | None = None,
    gallery: GallerySearch | None = None,
) -> Pipeline:
    policy = policy or Policy(liveness=QUICK)
    plan = plan_session(policy, card_timeout_s=1.0, capture_timeout_s=40.0)
    return Pipeline(
        reader=room,
        eyes=Eyes(room, vision, Screens([room]), policy, lambda: room.now, allow_simulated=True),
        interview=Interview(desk or ScriptedDesk(), plan, policy, earlier=room),
        gallery=gallery,
        guard=Guard(
            check_ready=room.check_ready,
            is_locked=lambda: room.locked,
            note_begun=room.begun.append,
            judge_document=lambda _: room.validity,
            note_activity=room.note_activity,
        ),
        attest=room.attest,
        plan=plan,
        random=lambda count: bytes(range(count)),
        card_timeout_s=1.0,
        capture_timeout_s=40.0,
    )


def verify(room: Room, vision: Vision) -> Verification:
    return pipeline_of(room, vision).run()


def room_with(kind: str, portrait: str | None, card: str | None, seed: int = 7) -> Room:
    picture: Image | None = None if portrait is None else portraits.load(portrait)
    return Room(Scene(kind, picture, seed=seed), None if card is None else card_of(card))


@pytest.mark.parametrize(
    ("kind", "person", "card", "outcome"),
    [
        ("live", OWNER, OWNER, Outcome.VERIFIED),
        ("live", STRANGER, OWNER, Outcome.NOT_MATCHED),
        ("print", OWNER, OWNER, Outcome.SPOOF),
        ("live", STRANGER, STRANGER, Outcome.VERIFIED),
        ("live", OWNER, STRANGER, Outcome.NOT_MATCHED),
        ("print", STRANGER, STRANGER, Outcome.SPOOF),
        ("none", None, OWNER, Outcome.INCONCLUSIVE),
    ],
)
def test_who_stands_there_decides(
    vision: Vision, kind: str, person: str | None, card: str, outcome: Outcome
) -> None:
    verification = verify(room_with(kind, person, card), vision)
    assert verification.decision.outcome is outcome, verification


def test_a_verified_person_left_a_whole_trace(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    verification = pipeline_of(room, vision, policy=Policy()).run()
    evidence = verification.evidence
    assert verification.fault is None
    assert [decision.outcome for decision in room.attested] == [Outcome.VERIFIED]
    assert room.shown[-1] is Prompt.DONE
    assert Prompt.DONE not in room.shown_before_attested
    assert evidence.match is not None
    assert evidence.liveness is not None
    assert evidence.capture is not None
    assert evidence.match.score >= evidence.match.threshold
    decisive = [expert for expert in evidence.liveness.experts if not expert.advisory]
    assert {expert.name for expert in decisive} >= {
        *("light", "light_shape", "sign_of_life", "passive", "identity_continuity"),
    }
    assert evidence.liveness.challenge.omitted == (ChallengeKind.TURNS,)  # nothing was in doubt
    assert all(expert.passed for expert in decisive)
    assert evidence.liveness.score is not None
    assert evidence.liveness.score >= evidence.liveness.threshold
    assert evidence.capture.best_shot is not None
    assert all(component.passed for component in evidence.capture.quality)


@pytest.mark.parametrize(
    ("validity", "reason"),
    [(Validity.EXPIRED, "DOCUMENT_EXPIRED"), (Validity.NOT_YET, "DOCUMENT_NOT_YET_VALID")],
)
def test_a_card_that_does_not_count_today_ends_the_session_before_anybody_poses(
    vision: Vision, validity: Validity, reason: str
) -> None:
    room = room_with("live", OWNER, OWNER)
    room.validity = validity
    verification = verify(room, vision)
    assert verification.decision == Decision(Outcome.ABORTED, (reason,))
    assert room.attested == [verification.decision]
    assert verification.evidence.document is not None
    assert verification.evidence.capture is None
    assert verification.fault is None
    assert room.number == 0  # no picture was taken


def test_a_card_that_may_have_expired_goes_on_and_the_record_says_so(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    room.validity = Validity.UNCERTAIN
    assert verify(room, vision).decision == Decision(Outcome.VERIFIED, ("DOCUMENT_VALIDITY_UNCERTAIN",))
    stranger = room_with("live", STRANGER, OWNER)
    stranger.validity = Validity.UNCERTAIN
    decision = verify(stranger, vision).decision
    assert decision.reasons == ("SCORE_BELOW_THRESHOLD", "DOCUMENT_VALIDITY_UNCERTAIN")


def test_a_session_is_noted_before_the_person_is_asked_anything(vision: Vision) -> None:
    """Once, and before the consent; signing in is no session yet."""
    consent = SessionText("c", {"en": "May we?"})
    policy = Policy(session=SessionPolicy(steps=(Step.OPERATOR, Step.CONSENT), consent=consent))
    operator = SignedIn("op-1", "clerk")
    for stop_at, noted in (({"identify": Stop.OPERATOR}, 0), ({"consent": Stop.PERSON}, 1), ({}, 1)):
        room = room_with("none", None, OWNER)
        desk = ScriptedDesk(operator=operator, stop_at=stop_at)
        verification = pipeline_of(room, vision, policy=policy, desk=desk).run()
        assert len(room.begun) == noted
        assert len(room.attested) == 1
        for begun in room.begun:
            assert begun.operator == operator
            assert verification.evidence.session is not None
            assert begun.session_id == verification.evidence.session.session_id
            assert begun.consent is None


def test_an_operator_who_was_idle_for_too_long_ends_the_session(vision: Vision) -> None:
    """Whatever the step was: also the last answer counts no more."""
    consent = SessionText("c", {"en": "May we?"})
    steps = (Step.OPERATOR, Step.CONSENT)
    policy = Policy(session=SessionPolicy(steps=steps, consent=consent))
    operator = SignedIn("op-1", "clerk")
    for idle_from in (1, 2, 3):
        room = room_with("none", None, OWNER)
        room.idle_from = idle_from
        verification = pipeline_of(room, vision, policy=policy, desk=ScriptedDesk(operator=operator)).run()
        assert verification.decision == Decision(Outcome.ABORTED, ("OPERATOR_IDLE",))
        assert room.active == [operator] * idle_from
    answers = verification.evidence.session
    assert answers is not None
    assert answers.consent is not None
    without = room_with("none", None, OWNER)
    without.idle_from = 1
    pipeline_of(without, vision).run()
    assert without.active == []  # nobody is signed in who could be idle


def test_a_session_that_cannot_be_noted_is_not_held(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)

    def refuse(_session: SessionAnswers) -> None:
        raise StorageError("OUTBOX_FULL", "full")

    pipeline = pipeline_of(room, vision)
    guard = dataclasses.replace(pipeline.guard, note_begun=refuse)
    verification = dataclasses.replace(pipeline, guard=guard).run()
    assert verification.decision == Decision(Outcome.ABORTED, ("OUTBOX_FULL",))
    assert verification.evidence.document is None


def test_a_camera_that_goes_away_is_attested_as_aborted(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    room.lost_after = 10
    verification = verify(room, vision)
    decision = verification.decision
    assert verification.fault is not None  # with its sentence and hint, for who stands there
    assert (verification.fault.code, verification.fault.message) == ("CAMERA_LOST", "gone")
    assert decision.outcome is Outcome.ABORTED
    assert decision.reasons == ("CAMERA_LOST",)


def test_no_card_is_attested_as_aborted(vision: Vision) -> None:
    decision = verify(room_with("live", OWNER, None), vision).decision
    assert decision.outcome is Outcome.ABORTED
    assert decision.reasons == ("NO_CARD",)


def test_a_card_whose_photo_shows_nobody_is_found_before_the_person_poses(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    room.document = dataclasses.replace(DOCUMENT, photo=np.full((126, 102, 3), 127, np.uint8))
    verification = verify(room, vision)
    assert verification.decision.outcome is Outcome.ABORTED
    assert verification.decision.reasons == ("CHIP_PHOTO_NO_FACE",)
    assert room.number == 0


def test_a_card_without_a_photo_is_never_verified(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    room.document = dataclasses.replace(DOCUMENT, photo=None)
    decision = verify(room, vision).decision
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert decision.reasons == ("NO_DOCUMENT_PHOTO",)


@pytest.mark.parametrize(
    ("fault", "code"), [(RuntimeError("a bug"), "INTERNAL_FAULT"), (KeyboardInterrupt(), "INTERRUPTED")]
)
def test_what_breaks_a_session_off_is_signed_before_it_is_passed_on(
    vision: Vision, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: str
) -> None:
    room = room_with("live", OWNER, OWNER)

    def fail(*_: object) -> Frame:
        raise fault

    monkeypatch.setattr(room, "read", fail)
    with pytest.raises(type(fault)):
        verify(room, vision)
    assert room.attested == [Decision(Outcome.ABORTED, (code,))]
    assert Prompt.DONE not in room.shown
    assert [len(notes) for notes in room.remembered.values()] == [1]  # its next session is shown this one


@pytest.mark.parametrize("number", STOPS)
def test_no_stop_comes_at_a_moment_that_costs_the_record(
    vision: Vision, canned: None, number: signal.Signals
) -> None:
    """A stop at each line of the session's code in turn, and another one at each line after it."""
    before = {one: signal.signal(one, signal.default_int_handler) for one in STOPS}
    try:
        moments, scene = 0, room_with("none", None, None).scene
        for moment in itertools.count(start=1):
            room = Room(scene, None)
            pipeline = pipeline_of(room, vision)
            with stopped_at_line(moment, number) as reached:
                try:
                    pipeline.run()
                except KeyboardInterrupt:
                    moments += 1
            begun = Prompt.PLACE_CARD in room.shown
            assert len(room.attested) == 1 or (not begun and not room.attested), moment
            if not reached:
                break
        assert moments > 20
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def stopped_at_line(moment: int, number: signal.Signals) -> Iterator[list[int]]:
    """Let ``number`` come when the session's code reaches its n-th line, and at every line from then on.

    Yields a list that is empty as long as there was no such line.
    """
    watched = (pipeline_module.__file__, machine_module.__file__, interrupts_module.__file__)
    lines = 0
    reached: list[int] = []

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in watched or frame.f_code.co_name == "hear":
            return None
        if event == "line":
            lines += 1
            if lines >= moment:
                reached.append(frame.f_lineno)
                signal.raise_signal(number)
        return trace

    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(None)


def test_a_record_that_cannot_be_stored_ends_without_a_word(
    vision: Vision, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_with("none", None, None)

    def full(*_: object) -> StoredRecord:
        raise StorageError("OUTBOX_FULL", "full")

    monkeypatch.setattr(room, "attest", full)
    with pytest.raises(StorageError):
        verify(room, vision)
    assert Prompt.DONE not in room.shown


class Nobody:
    """A gallery in which one person stands, who is not this one."""

    def __init__(self) -> None:
        self.probes: list[Embedding] = []

    def search(self, probe: Embedding) -> GalleryResult:
        self.probes.append(probe)
        return GalleryResult(3, 1, (GalleryCandidate("p-1", 0.1),), GalleryDecision.UNKNOWN)


class CannedFace:
    """A face that was captured and judged before: the tests of what people are asked need no camera."""

    def __init__(self, eyes: Eyes, *, nonce: bytes, asking: Asking) -> None:
        room = eyes.camera
        assert isinstance(room, Room)
        room.number += 1
        photo = card_of(OWNER).photo
        assert photo is not None
        self.shot = Frame(portraits.id_photo(portraits.load(OWNER)), room.now, room.number)
        self.probe = eyes.vision.embed_chip_photo(photo)

    def run(self, timeout_s: float, *, stop_code: Callable[[], str]) -> str:
        return stop_code()

    def record(self) -> CaptureRecord:
        return dataclasses.replace(CAPTURE, best_shot=self.shot)

    def judge(self) -> LivenessResult:
        return LIVE


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.face_capture.FaceCapture", CannedFace)


CONSENT = SessionText("consent-1", {"en": "May we look at your face?", "es": "¿Podemos ver su cara?"})
NOTICES = (SessionText("notice-1", {"en": "Keep this."}),)
ASKING = Policy(
    liveness=QUICK,
    session=SessionPolicy(
        steps=tuple(Step), consent=CONSENT, notices=NOTICES, customer_fields=("phone", "address")
    ),
    number_segments=(NumberSegment("138", 11),),
    media=MediaPolicy(("best_shot", "document_photo"), bytes(32)),
)


def willing(**changes: Any) -> ScriptedDesk:
    """A desk at which everybody says yes, unless told otherwise."""
    answers: dict[str, Any] = {
        "operator": SignedIn("op-1", "clerk"),
        "customer": {"phone": ["12345", "+86 138-0000-0000"], "address": ["Sample Road 1"]},
        "signature": b"strokes",
        "language": "es",
    }
    return ScriptedDesk(**(answers | changes))


def test_a_session_with_every_step_asks_in_order_and_keeps_the_answers(vision: Vision, canned: None) -> None:
    room, desk, gallery = room_with("live", OWNER, OWNER), willing(), Nobody()
    verification = pipeline_of(room, vision, policy=ASKING, desk=desk, gallery=gallery).run()
    assert verification.decision == Decision(Outcome.VERIFIED, ())
    asked = [
        "identify",
        "consent",
        "field phone",
        "field phone",
        "field address",
        "notice notice-1",
        "signature",
    ]
    assert desk.asked == asked  # nobody is shown earlier records where there are none
    answers = verification.evidence.session
    assert answers is not None
    assert answers.operator == SignedIn("op-1", "clerk")
    assert answers.consent == CONSENT.answered("es", accepted=True)
    assert answers.earlier_records == 0
    assert [item.value for item in answers.customer] == [b"13800000000", b"Sample Road 1"]
    assert [notice.accepted for notice in answers.notices] == [True]
    assert answers.signature == b"strokes"
    assert verification.evidence.gallery is not None
    assert len(gallery.probes) == 1
    assert [stage.name for stage in verification.stages] == [
        *("identify", "ask_consent", "read_document", "show_earlier", "capture_face", "judge_liveness"),
        *("compare_faces", "search_gallery", "ask_customer", "show_notices", "ask_signature", "attest"),
    ]


def test_the_pictures_that_the_policy_wants_are_handed_on(vision: Vision, canned: None) -> None:
    room = room_with("live", OWNER, OWNER)
    policy = dataclasses.replace(ASKING, session=SessionPolicy())
    evidence = pipeline_of(room, vision, policy=policy).run().evidence
    media = {item.name: item.value for item in evidence.media}
    assert set(media) == {"best_shot", "document_photo"}
    assert evidence.document is not None
    assert evidence.capture is not None
    assert evidence.capture.best_shot is not None
    photo, shot = evidence.document.photo, evidence.capture.best_shot.pixels
    assert photo is not None
    assert np.array_equal(decode_picture(media["document_photo"], name="photo"), photo)
    kept = decode_picture(media["best_shot"], name="shot")
    assert kept.shape == shot.shape
    assert np.abs(kept.astype(int) - shot).mean() < 5  # a JPEG of the very picture
    assert verify(room_with("live", OWNER, OWNER), vision).evidence.media == ()  # none without a policy


def test_the_second_session_of_a_document_is_shown_the_first(vision: Vision, canned: None) -> None:
    room = room_with("none", None, OWNER)
    policy = Policy(session=SessionPolicy(steps=(Step.EARLIER_RECORDS,)))
    desk = willing()
    pipeline = pipeline_of(room, vision, policy=policy, desk=desk)
    pipeline.run()
    assert desk.asked == []
    second = pipeline.run()
    assert desk.asked == ["earlier 1"]
    assert second.evidence.session is not None
    assert second.evidence.session.earlier_records == 1
    desk.go_on = False
    before = room.number
    third = pipeline.run()
    assert third.decision == Decision(Outcome.ABORTED, ("EXITED_AT_EARLIER_RECORDS",))
    assert room.number == before  # nobody was looked at
    assert DOCUMENT.number not in repr(room.remembered)
    assert [record.outcome for record in next(iter(room.remembered.values()))] == [
        *("ABORTED", "VERIFIED", "VERIFIED")
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"consent": False}, "CONSENT_REFUSED"),
        ({"operator": None}, "OPERATOR_STOPPED"),
        ({"stop_at": {"identify": Stop.PERSON}}, "PERSON_STOPPED"),
        ({"stop_at": {"consent": Stop.PERSON}}, "PERSON_STOPPED"),
        ({"stop": Stop.OPERATOR}, "OPERATOR_STOPPED"),
    ],
)
def test_what_is_refused_before_the_card_is_attested_and_nobody_looked_at(
    vision: Vision, canned: None, changes: dict[str, Any], reason: str
) -> None:
    room = room_with("live", OWNER, OWNER)
    desk = willing(**changes)
    verification = pipeline_of(room, vision, policy=ASKING, desk=desk, gallery=Nobody()).run()
    assert verification.decision == Decision(Outcome.ABORTED, (reason,))
    assert room.attested == [verification.decision]
    assert room.number == 0
    assert verification.evidence.document is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"customer": {"phone": ["1", "2", ""]}}, "CUSTOMER_DATA_REFUSED"),
        ({"stop_at": {"field address": Stop.OPERATOR}}, "OPERATOR_STOPPED"),
        ({"notice": False}, "NOTICE_REFUSED"),
        ({"stop_at": {"notice notice-1": Stop.PERSON}}, "PERSON_STOPPED"),
        ({"signature": b""}, "SIGNATURE_REFUSED"),
        ({"stop_at": {"signature": Stop.OPERATOR}}, "OPERATOR_STOPPED"),
    ],
)
def test_what_is_refused_after_the_decision_is_no_verification_but_keeps_its_evidence(
    vision: Vision, canned: None, changes: dict[str, Any], reason: str
) -> None:
    room = room_with("live", OWNER, OWNER)
    verification = pipeline_of(room, vision, policy=ASKING, desk=willing(**changes), gallery=Nobody()).run()
    assert verification.decision == Decision(Outcome.ABORTED, (reason,))
    assert verification.evidence.match is not None
    assert verification.evidence.match.matched


def test_a_question_without_an_answer_ends_with_its_limit(vision: Vision, canned: None) -> None:
    room = room_with("live", OWNER, OWNER)

    class Slow(ScriptedDesk):
        """Says that time is up before it is, as a desk with a clock of its own may."""

        def ask_consent(self, text: SessionText, timeout_s: float) -> Stop:
            self.asked.append(f"consent {timeout_s:.0f}")
            room.now += 70.0
            return Stop.TIMEOUT

    desk = Slow(operator=SignedIn("op-1", "clerk"))
    verification = pipeline_of(room, vision, policy=ASKING, desk=desk, gallery=Nobody()).run()
    assert verification.decision == Decision(Outcome.ABORTED, ("TIMEOUT_CONSENT",))
    assert desk.asked == ["identify", "consent 120", "consent 50"]


def test_a_lock_from_the_cloud_ends_the_session_under_way(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    pipeline = pipeline_of(room, vision)
    looks: list[float] = []

    def is_locked() -> bool:
        looks.append(room.now)
        return room.number > 3 * FPS

    locked = dataclasses.replace(pipeline, guard=dataclasses.replace(pipeline.guard, is_locked=is_locked))
    verification = locked.run()
    assert verification.decision == Decision(Outcome.ABORTED, ("DEVICE_LOCKED",))
    assert room.number <= 3 * FPS + 1 + FPS * LOCK_POLL_S
    pauses = [after - before for before, after in itertools.pairwise(looks)]
    assert min(pauses) >= LOCK_POLL_S
    assert verification.evidence.document is not None


def test_a_lock_that_comes_while_the_last_answer_is_awaited_outruns_it(vision: Vision, canned: None) -> None:
    room = room_with("live", OWNER, OWNER)

    class Pensive(ScriptedDesk):
        def ask_signature(self, timeout_s: float) -> bytes | Stop:
            room.now += 2 * LOCK_POLL_S
            room.locked = True
            return super().ask_signature(timeout_s)

    desk = Pensive(
        operator=SignedIn("op-1", "clerk"),
        customer={"phone": ["13800000000"], "address": ["Sample Road 1"]},
        signature=b"strokes",
    )
    verification = pipeline_of(room, vision, policy=ASKING, desk=desk, gallery=Nobody()).run()
    assert verification.decision == Decision(Outcome.ABORTED, ("DEVICE_LOCKED",))


def test_a_spoof_that_was_seen_is_not_undone_by_a_stop(
    vision: Vision, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_with("print", OWNER, OWNER)
    desk = ScriptedDesk()
    pipeline = pipeline_of(room, vision, desk=desk)

    embed = vision.embed

    def embed_and_stop(image: Image, face: Any) -> Embedding:
        if room.number:
            desk.stop = Stop.OPERATOR  # pressed while the verdict is being reached
        return embed(image, face)

    monkeypatch.setattr(Vision, "embed", lambda _self, image, face: embed_and_stop(image, face))
    verification = pipeline.run()
    assert verification.decision.outcome is Outcome.SPOOF
    assert verification.decision.reasons[-1] == "OPERATOR_STOPPED"


@pytest.mark.parametrize(
    "refusal",
    [
        SetupError("DEVICE_LOCKED", "locked"),
        SetupError("DEVICE_STOPPED", "no word for too long"),
        StorageError("DISK_RESERVE", "hardly any room"),
    ],
)
def test_a_device_that_is_not_ready_begins_no_session(vision: Vision, refusal: EdgeError) -> None:
    room = room_with("live", OWNER, OWNER)
    room.not_ready = refusal
    with pytest.raises(type(refusal)) as caught:
        verify(room, vision)
    assert caught.value.code == refusal.code
    assert (room.attested, room.shown, room.number) == ([], [], 0)


def test_a_gallery_that_the_policy_asks_for_must_be_there(vision: Vision) -> None:
    room = room_with("live", OWNER, OWNER)
    with pytest.raises(SetupError) as caught:
        pipeline_of(room, vision, policy=ASKING, desk=willing()).run()
    assert caught.value.code == "GALLERY_MISSING"
    assert room.attested == []


def test_a_note_that_fails_takes_nothing_from_a_stored_record(
    vision: Vision, canned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_with("live", OWNER, OWNER)

    def refuse(*_: object) -> None:
        raise StorageError("STATE_FULL", "full")

    monkeypatch.setattr(room, "note_earlier", refuse)
    verification = verify(room, vision)
    assert verification.decision.outcome is Outcome.VERIFIED
    assert verification.fault is not None
    assert verification.fault.code == "STATE_FULL"
