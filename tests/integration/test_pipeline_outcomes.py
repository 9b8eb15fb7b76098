"""The pipeline over the simulated camera, in virtual time: swapping the people swaps the outcomes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest

from edge.errors import CameraLost, HardwareError, StorageError
from edge.model import CameraAssurance, Decision, Evidence, Frame, IdDocument, Image, Outcome, Prompt
from edge.models.store import ModelStore
from edge.outbox.records import RecordState, StoredRecord
from edge.pipeline import Pipeline, Verification
from edge.policy import Policy
from edge.ports import Screen
from edge.reader.photo import SimulatorPhotoDecoder
from edge.screen import Screens
from edge.vision import Vision
from tests.support.evidence import DOCUMENT
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
    shown_before_attested: list[Prompt] = field(default_factory=list)

    camera_id = "test"
    assurance = CameraAssurance.SIMULATED
    sam_id = DOCUMENT.reader_sam_id

    def read(self, timeout_s: float) -> Frame:
        if self.number == self.lost_after:
            raise CameraLost("CAMERA_LOST", "gone")
        self.now += 1 / FPS
        self.number += 1
        return Frame(self.scene.frame(self.now), self.now, self.number)

    def show(self, prompt: Prompt) -> None:
        self.shown.append(prompt)
        self.scene.show(prompt.value, self.now)

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        if self.document is None:
            raise HardwareError("NO_CARD", "no card")
        return self.document

    def attest(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        self.attested.append(decision)
        self.shown_before_attested = list(self.shown)
        return StoredRecord("id", 1, len(self.attested), b"", b"", RecordState.PENDING, "", WHEN)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


def verify(room: Room, vision: Vision) -> Verification:
    return Pipeline(
        reader=room,
        camera=room,
        vision=vision,
        screen=Screens([room]),
        attest=room.attest,
        policy=Policy(),
        monotonic=lambda: room.now,
        new_nonce=lambda: bytes(range(16)),
        card_timeout_s=1.0,
        capture_timeout_s=40.0,
    ).run()


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
    verification = verify(room, vision)
    evidence = verification.evidence
    assert verification.fault is None
    assert [decision.outcome for decision in room.attested] == [Outcome.VERIFIED]
    assert room.shown[-1] is Prompt.DONE
    assert Prompt.DONE not in room.shown_before_attested
    assert evidence.match is not None
    assert evidence.liveness is not None
    assert evidence.capture is not None
    assert evidence.match.score >= evidence.match.threshold
    assert {expert.name for expert in evidence.liveness.experts} == {
        "head_turn",
        "planar_motion",
        "identity_continuity",
    }
    assert all(expert.passed for expert in evidence.liveness.experts)
    assert evidence.capture.best_shot is not None
    assert all(component.passed for component in evidence.capture.quality)


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
