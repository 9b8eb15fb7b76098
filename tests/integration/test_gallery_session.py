"""The gallery within a session: who looks alike is asked about, and nobody at the desk is the applicant."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.answers import GalleryDecision, SignedIn
from edge.attest.evidence import gallery_part
from edge.decision import GALLERY_REFERRED
from edge.errors import InputError, SetupError
from edge.gallery.asking import MAX_CANDIDATES, SessionGallery
from edge.gallery.decide import known_points
from edge.gallery.records import Entry, Kind, Model
from edge.gallery.store import Gallery
from edge.manual import check_attempt
from edge.model import Decision, Embedding, LivenessDecision, Outcome, ReadMethod, Role
from edge.models.store import ModelStore
from edge.operators.face import LiveFace
from edge.operators.service import Operators
from edge.policy import MatchPolicy
from edge.remedies import LANGUAGES, told
from edge.vision import Vision
from tests.integration.test_pipeline_outcomes import (
    ASKING,
    OWNER,
    STRANGER,
    CannedFace,
    card_of,
    pipeline_of,
    room_with,
    willing,
)
from tests.support.authority import Authority
from tests.support.clocks import ManualClock
from tests.support.galleries import KEY, OTHER_MODEL, person, random_templates, unit
from tests.support.known import KnownDevice
from verifield.v1 import attestation_pb2 as pb

POINTS = known_points(MatchPolicy().live_live)


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


@pytest.fixture(autouse=True)
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.face_capture.FaceCapture", CannedFace)


def face_of(vision: Vision, who: str) -> Embedding:
    photo = card_of(who).photo
    assert photo is not None
    return vision.embed_chip_photo(photo)


def sibling_of(face: Embedding, likeness: float) -> Embedding:
    """Somebody whose score against ``face`` is ``likeness``."""
    other = random_templates(1, 77)[0].astype(np.float64)
    across = other - (other @ face.vector) * face.vector
    across /= np.linalg.norm(across)
    row = likeness * face.vector + np.sqrt(1 - likeness**2) * across
    return dataclasses.replace(face, vector=unit(row[None])[0])


def gallery_of(path: Path, *faces: Embedding, kind: Kind = Kind.PERSON) -> Gallery:
    model = Model(faces[0].model_name, faces[0].model_sha256)
    gallery = Gallery.create(path, KEY, model=model)
    gallery.add([Entry(person(number), face, kind=kind) for number, face in enumerate(faces)])
    return gallery


@pytest.mark.req("E027")
@pytest.mark.parametrize(
    ("likeness", "outcome", "candidates"),
    [(0.1, Outcome.VERIFIED, 1), (0.4, Outcome.INCONCLUSIVE, 2), (0.8, Outcome.INCONCLUSIVE, 2)],
    ids=["stranger", "nearly", "twin"],
)
def test_a_sibling_in_the_gallery_lets_the_clerk_decide(
    vision: Vision, tmp_path: Path, likeness: float, outcome: Outcome, candidates: int
) -> None:
    own = face_of(vision, OWNER)
    room = room_with("live", OWNER, OWNER)
    with gallery_of(tmp_path / "g", own, sibling_of(own, likeness)) as gallery:
        asked = SessionGallery(gallery, points=POINTS, fpir=0.01)
        verification = pipeline_of(room, vision, policy=ASKING, desk=willing(), gallery=asked).run()
    assert verification.decision.outcome is outcome
    result = verification.evidence.gallery
    assert result is not None
    assert (result.decision, len(result.candidates), result.size) == (GalleryDecision.FOUND, candidates, 2)
    part = gallery_part(result)
    assert part.candidates[0].candidate_id == str(person(0))
    if outcome is Outcome.INCONCLUSIVE:
        assert verification.decision.reasons == ("GALLERY_SECOND_CHECK",)
        check_attempt(  # two people may decide it
            pb.Statement(outcome=pb.OUTCOME_INCONCLUSIVE, reasons=verification.decision.reasons)
        )


@pytest.mark.parametrize("likeness", [1.0, 0.4], ids=["certain", "nearly"])
def test_for_somebody_of_the_watch_list_two_people_decide(
    vision: Vision, tmp_path: Path, likeness: float
) -> None:
    watched = sibling_of(face_of(vision, OWNER), likeness)
    room = room_with("live", OWNER, OWNER)
    with gallery_of(tmp_path / "g", watched, kind=Kind.WATCHED) as gallery:
        asked = SessionGallery(gallery, points=POINTS, fpir=0.01)
        verification = pipeline_of(room, vision, policy=ASKING, desk=willing(), gallery=asked).run()
    assert verification.decision == Decision(Outcome.INCONCLUSIVE, (GALLERY_REFERRED,))
    assert verification.evidence.gallery is not None
    part = gallery_part(verification.evidence.gallery)
    assert [one.candidate_id for one in part.candidates] == [str(person(0))]
    check_attempt(pb.Statement(outcome=pb.OUTCOME_INCONCLUSIVE, reasons=verification.decision.reasons))


def test_the_screen_does_not_say_that_somebody_is_on_a_list() -> None:
    """Code, text and remedy are what stands on it, and whom it is about may read them."""
    words = told(GALLERY_REFERRED)
    assert words is not None
    shown = [GALLERY_REFERRED, *(text[one] for text in (words.text, words.remedy) for one in LANGUAGES)]
    telling = ("watch", "list", "lista", "vigil", "名单", "监控", "关注")
    assert [text for text in shown if any(word in text.lower() for word in telling)] == []


@pytest.mark.req("E022")
def test_nobody_of_the_gallery_is_recorded_as_nobody(vision: Vision, tmp_path: Path) -> None:
    room = room_with("live", OWNER, OWNER)
    with gallery_of(tmp_path / "g", face_of(vision, STRANGER)) as gallery:
        asked = SessionGallery(gallery, points=POINTS, fpir=0.01)
        verification = pipeline_of(room, vision, policy=ASKING, desk=willing(), gallery=asked).run()
        gallery.remove([person(0)])
        empty = asked.search(face_of(vision, OWNER))
    assert verification.decision.outcome is Outcome.VERIFIED
    for result in (verification.evidence.gallery, empty):
        assert result is not None
        assert (result.decision, result.candidates) == (GalleryDecision.UNKNOWN, ())


def test_a_record_names_only_as_many_as_a_person_looks_at(tmp_path: Path) -> None:
    row = random_templates(1, 3)[0]
    faces = [Embedding(row, "m", "ab" * 32)] * 40
    with gallery_of(tmp_path / "g", *faces) as gallery:
        result = SessionGallery(gallery, points=POINTS, fpir=0.01).search(faces[0])
    assert (len(result.candidates), result.second_check) == (MAX_CANDIDATES, True)


@pytest.mark.parametrize("watched", [1, MAX_CANDIDATES + 1])
def test_whoever_is_on_the_watch_list_is_seen_and_named_behind_however_many(
    tmp_path: Path, watched: int
) -> None:
    face = Embedding(random_templates(1, 3)[0], "m", "ab" * 32)
    nearly = sibling_of(face, 0.9)
    with gallery_of(tmp_path / "g", *[face] * MAX_CANDIDATES) as gallery:
        listed = [
            Entry(person(MAX_CANDIDATES + number), nearly, kind=Kind.WATCHED) for number in range(watched)
        ]
        gallery.add(listed)
        result = SessionGallery(gallery, points=POINTS, fpir=0.01).search(face)
    assert (result.second_check, result.watched, len(result.candidates)) == (True, True, MAX_CANDIDATES)
    named = min(watched, MAX_CANDIDATES)
    assert [one.watched for one in result.candidates] == [False] * (MAX_CANDIDATES - named) + [True] * named


@pytest.mark.req("E026")
def test_a_session_with_another_model_ends_without_a_score(vision: Vision, tmp_path: Path) -> None:
    room = room_with("live", OWNER, OWNER)
    with Gallery.create(tmp_path / "g", KEY, model=OTHER_MODEL) as gallery:
        asked = SessionGallery(gallery, points=POINTS, fpir=0.01)
        with pytest.raises(SetupError, match="cannot be compared"):
            asked.search(face_of(vision, OWNER))
        verification = pipeline_of(room, vision, policy=ASKING, desk=willing(), gallery=asked).run()
    assert verification.decision == Decision(Outcome.ABORTED, ("MODEL_MISMATCH",))
    assert verification.evidence.gallery is None


TYPED = {"photo": None, "read_method": ReadMethod.TYPED}


@pytest.mark.req("E027")
@pytest.mark.parametrize(
    ("enrolled", "document", "outcome"),
    [
        (OWNER, {}, Outcome.ABORTED),
        (OWNER, {"photo": None}, Outcome.ABORTED),
        (OWNER, TYPED, Outcome.ABORTED),
        (STRANGER, {}, Outcome.VERIFIED),
        (STRANGER, TYPED, Outcome.INCONCLUSIVE),
        (None, {}, Outcome.VERIFIED),
    ],
)
def test_an_operator_cannot_verify_themselves(
    vision: Vision, tmp_path: Path, enrolled: str | None, document: dict[str, Any], outcome: Outcome
) -> None:
    """Whose face is enrolled is told apart, whatever the document is; a PIN alone gives no face."""
    known = KnownDevice(tmp_path, Authority.create())
    operators = Operators(
        known.state.operators,
        key_store=known.key_store,
        clock=ManualClock(),
        live_live=MatchPolicy().live_live,
    )
    face = None if enrolled is None else LiveFace(LivenessDecision.LIVE, face_of(vision, enrolled))
    operator = operators.add("Li Wei", Role.CLERK, pin="835062", face=face)
    room, desk = room_with("live", OWNER, OWNER), willing(operator=SignedIn(operator, "clerk"))
    assert room.document is not None
    room.document = dataclasses.replace(room.document, **document)
    with gallery_of(tmp_path / "g", face_of(vision, STRANGER)) as gallery:
        asked = SessionGallery(gallery, points=POINTS, fpir=0.01)
        pipeline = pipeline_of(room, vision, policy=ASKING, desk=desk, gallery=asked)
        guard = dataclasses.replace(pipeline.guard, is_applicant=operators.is_applicant)
        verification = dataclasses.replace(pipeline, guard=guard).run()
    known.state.close()
    assert verification.decision.outcome is outcome
    if outcome is Outcome.ABORTED:
        assert verification.decision.reasons == ("OPERATOR_IS_APPLICANT",)
        assert room.attested == [verification.decision]
        with pytest.raises(InputError) as caught:  # nor may people decide so by hand
            check_attempt(pb.Statement(outcome=pb.OUTCOME_ABORTED, reasons=verification.decision.reasons))
        assert caught.value.code == "MANUAL_NOT_ALLOWED"
