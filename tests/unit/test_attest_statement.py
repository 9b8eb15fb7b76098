from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge.answers import (
    GalleryCandidate,
    GalleryDecision,
    GalleryResult,
    ManualVerdict,
    PrivateField,
    SessionAnswers,
    SignedIn,
    SignInFactor,
    TextShown,
)
from edge.attest.clock import ClockReading
from edge.attest.disclosures import LONG_TERM, disclose_document, encode_picture
from edge.attest.media import seal_media
from edge.attest.sign import seal
from edge.attest.statement import (
    ChainLink,
    build_event_statement,
    build_manual_statement,
    build_statement,
)
from edge.model import (
    Decision,
    DocumentType,
    Evidence,
    ExpertScore,
    LivenessDecision,
    Outcome,
    Prompt,
    Standing,
)
from edge.outbox.records import Cited
from edge.policy import Policy
from tests.support.appliance import (
    BOOT_ID,
    WALL,
    MemorySigner,
    attestation_id,
    context,
    document,
    link_after,
    reading,
    statement_of,
    verified_evidence,
)
from verifield.chain import ChainHead, check_link
from verifield.commitments import check_disclosure, commit, encode_disclosures, parse_disclosures
from verifield.cosign import check_cosignature
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Forged, Malformed
from verifield.media import decrypt_media
from verifield.statement import STATEMENT_TYPE, encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb

FIELDS = (
    *("address", "birth", "ethnicity", "issuer", "name", "nationality", "number", "photo", "sex"),
    *("valid_from", "valid_to"),
)
VERIFIED = Decision(Outcome.VERIFIED, ())
PIN = frozenset({SignInFactor.PIN})


def salts() -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield hashlib.sha256(b"salt %d" % number).digest()


def personal_values() -> list[str]:
    card = document()
    return [
        card.name,
        card.number,
        card.sex,
        card.birth.isoformat(),
        card.birth.strftime("%Y%m%d"),
        card.valid_from.isoformat(),
        card.issuer,
        card.address,
        card.ethnicity,
        card.nationality,
    ]


def test_a_verification_says_everything_that_was_found() -> None:
    statement, _ = statement_of(verified_evidence(), VERIFIED)
    payload = encode_statement(statement)  # keeps every rule of the protocol
    parsed = parse_statement(payload)
    assert parsed.kind == pb.RECORD_KIND_VERIFICATION
    assert parsed.outcome == pb.OUTCOME_VERIFIED
    assert (parsed.device_id, parsed.site.site_id) == ("device-1", "site-1")
    assert (parsed.operator.operator_id, parsed.operator.role) == ("op-17", "clerk")
    assert list(parsed.operator.factors) == [pb.AUTHENTICATION_FACTOR_PIN]
    assert parsed.session.session_id == bytes(range(16))
    assert not parsed.session.HasField("consent")
    assert parsed.standing == pb.STANDING_NORMAL
    assert parsed.assurance.camera == pb.CAMERA_ASSURANCE_HOST
    assert parsed.assurance.key_protection == pb.KEY_PROTECTION_SOFTWARE
    assert parsed.assurance.reader_sam_id == document().reader_sam_id
    assert parsed.clock.boot_id == BOOT_ID
    assert parsed.clock.wall_time.ToDatetime(tzinfo=WALL.tzinfo) == WALL
    assert parsed.document.type == pb.DOCUMENT_TYPE_RESIDENT_ID
    assert parsed.capture.frames_used == 30
    assert [expert.name for expert in parsed.liveness.experts] == ["planar_motion", "head_turn"]
    assert list(parsed.liveness.challenge.actions) == ["TURN_LEFT", "TURN_RIGHT"]
    assert parsed.match.decision == pb.MATCH_DECISION_MATCH
    assert parsed.configuration.policy_sha256 == Policy().sha256()


def test_no_personal_data_is_in_the_bytes_that_leave_the_device() -> None:
    statement, _ = statement_of(verified_evidence(), VERIFIED)
    envelope = seal(statement, MemorySigner())
    for value in personal_values():
        for encoding in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"):
            sought = value.encode(encoding)  # two bytes are in any few thousand random ones now and then
            assert len(sought) <= 2 or sought not in envelope
    photo, best = document().photo, verified_evidence().capture
    assert photo is not None
    assert best is not None
    assert best.best_shot is not None
    for pixels in (photo, best.best_shot.pixels):
        assert pixels.tobytes()[:16] not in envelope
        assert hashlib.sha256(photo.tobytes()).digest() not in envelope  # guessable without a salt


def test_every_field_opens_its_own_commitment_and_no_other() -> None:
    source = salts()
    statement, disclosures = build_statement(
        evidence=verified_evidence(),
        decision=VERIFIED,
        context=context("device-1"),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(bytes(16)),
        clock=reading(),
        new_salt=lambda: next(source),
    )
    names = [item.field for item in disclosures]
    assert names == [commitment.field for commitment in statement.document.fields] == sorted(names)
    assert set(names) == {f"document.{field}" for field in FIELDS}
    assert len({item.salt for item in disclosures}) == len(disclosures)
    for item in disclosures:
        check_disclosure(statement, field=item.field, value=item.value, salt=item.salt)
        with pytest.raises(Forged):
            check_disclosure(statement, field=item.field, value=item.value + b"x", salt=item.salt)


def test_values_are_disclosed_in_one_stated_form() -> None:
    card = dataclasses.replace(document(), valid_to=date(2030, 2, 3))
    values = {item.field: item.value for item in disclose_document(card, lambda: bytes(32))}
    assert values["document.name"] == "试验·样本".encode()
    assert values["document.birth"] == b"1990-01-01"
    assert values["document.valid_to"] == b"2030-02-03"
    assert card.photo is not None
    assert (
        values["document.photo"] == (126).to_bytes(4, "big") + (102).to_bytes(4, "big") + card.photo.tobytes()
    )
    endless = {item.field: item.value for item in disclose_document(document(), lambda: bytes(32))}
    assert endless["document.valid_to"] == LONG_TERM.encode()


def test_a_card_without_a_photo_commits_to_none() -> None:
    card = dataclasses.replace(document(), photo=None)
    assert "document.photo" not in [item.field for item in disclose_document(card, lambda: bytes(32))]


def test_pictures_of_other_shape_with_equal_bytes_differ() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert encode_picture(pixels) != encode_picture(pixels.reshape(6, 4, 3))


def test_disclosures_come_back_from_storage_and_do_not_show_in_repr() -> None:
    disclosures = disclose_document(document(), lambda: bytes(range(32)))
    assert parse_disclosures(encode_disclosures(disclosures)) == disclosures
    assert "试验" not in repr(disclosures)
    assert "990000" not in repr(disclosures)


def test_missing_evidence_leaves_its_part_absent() -> None:
    statement, disclosures = statement_of(
        Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",))
    )
    parsed = parse_statement(encode_statement(statement))
    assert disclosures == ()
    assert parsed.outcome == pb.OUTCOME_ABORTED
    assert list(parsed.reasons) == ["TIMEOUT"]
    for part in ("document", "capture", "liveness", "match"):
        assert not parsed.HasField(part)  # type: ignore[arg-type]
    assert parsed.assurance.camera == pb.CAMERA_ASSURANCE_UNSPECIFIED


@pytest.mark.parametrize("part", ["document", "capture", "liveness", "match"])
def test_a_pass_without_one_part_is_never_signed(part: str) -> None:
    evidence = dataclasses.replace(verified_evidence(), **{part: None})
    statement, _ = statement_of(evidence, VERIFIED)
    with pytest.raises(Malformed):
        seal(statement, MemorySigner())


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_a_score_that_is_none_is_absent_and_failed(score: float | None) -> None:
    evidence = verified_evidence()
    assert evidence.liveness is not None
    liveness = dataclasses.replace(
        evidence.liveness,
        decision=LivenessDecision.INSUFFICIENT,
        experts=(ExpertScore("planar_motion", score, 0.012),),
    )
    statement, _ = statement_of(
        dataclasses.replace(evidence, liveness=liveness, match=None),
        Decision(Outcome.INCONCLUSIVE, ("LIVENESS_INSUFFICIENT",)),
    )
    expert = parse_statement(encode_statement(statement)).liveness.experts[0]
    assert not expert.HasField("score")
    assert not expert.passed


ANSWERS = SessionAnswers(
    bytes(range(16)),
    operator=SignedIn("op-17", "clerk", frozenset({SignInFactor.FACE, SignInFactor.PIN})),
    consent=TextShown("consent-1", b"c" * 32, accepted=True),
    earlier_records=2,
    customer=(PrivateField("phone", b"13800000000"), PrivateField("address", "样本路1号".encode())),
    notices=(
        TextShown("notice-2", b"2" * 32, accepted=True),
        TextShown("notice-1", b"1" * 32, accepted=True),
    ),
    signature=b"strokes of a pen",
)


def test_what_was_said_and_answered_is_stated_and_personal_data_only_committed_to() -> None:
    evidence = dataclasses.replace(verified_evidence(), session=ANSWERS)
    statement, disclosures = statement_of(evidence, VERIFIED)
    envelope = seal(statement, MemorySigner())
    session = parse_statement(parse_envelope(envelope).payload).session
    assert (session.consent.text_id, session.consent.text_sha256) == ("consent-1", b"c" * 32)
    assert session.consent.accepted
    assert session.earlier_records_shown == 2
    assert [notice.text_id for notice in session.notices] == ["notice-2", "notice-1"]  # as shown
    assert [item.field for item in session.fields] == [
        *("customer.address", "customer.phone", "session.signature")
    ]
    for value in (b"13800000000", "样本路1号".encode(), b"strokes"):
        assert value not in envelope
    private = {item.field: item for item in disclosures}
    for commitment in session.fields:
        item = private[commitment.field]
        assert commitment.digest == commit(field=item.field, value=item.value, salt=item.salt)
    assert private["customer.phone"].value == b"13800000000"
    assert private["session.signature"].value == b"strokes of a pen"
    assert list(statement.operator.factors) == [
        *(pb.AUTHENTICATION_FACTOR_PIN, pb.AUTHENTICATION_FACTOR_FACE)  # in ascending order
    ]


def test_self_service_has_an_operator_part_that_names_nobody() -> None:
    evidence = dataclasses.replace(verified_evidence(), session=SessionAnswers(bytes(16)))
    statement, _ = statement_of(evidence, VERIFIED)
    assert statement.HasField("operator")
    assert statement.operator == pb.Operator()


def test_a_search_in_the_gallery_is_stated_by_pseudonyms() -> None:
    found = GalleryResult(
        7, 2, (GalleryCandidate("p-2", 0.71), GalleryCandidate("p-1", 0.12)), GalleryDecision.FOUND
    )
    statement, _ = statement_of(dataclasses.replace(verified_evidence(), gallery=found), VERIFIED)
    gallery = parse_statement(encode_statement(statement)).gallery
    assert (gallery.gallery_version, gallery.size, gallery.decision) == (7, 2, pb.GALLERY_DECISION_FOUND)
    assert [(item.candidate_id, item.score) for item in gallery.candidates] == [("p-2", 0.71), ("p-1", 0.12)]


def test_pictures_are_stated_by_the_digest_of_what_is_stored_and_opened_by_the_service_alone() -> None:
    key = X25519PrivateKey.generate()
    sealed = seal_media(
        (PrivateField("best_shot", b"a picture"), PrivateField("document_photo", b"another")),
        recipient_key=key.public_key().public_bytes_raw(),
    )
    source = salts()
    statement, disclosures = build_statement(
        evidence=verified_evidence(),
        decision=VERIFIED,
        context=context("device-1"),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(bytes(16)),
        clock=reading(),
        new_salt=lambda: next(source),
        media=sealed,
    )
    envelope = seal(statement, MemorySigner())
    stated = parse_statement(parse_envelope(envelope).payload).media
    salt_of = {item.field: item.salt for item in disclosures}
    assert [item.name for item in stated] == ["best_shot", "document_photo"]
    for item, file in zip(stated, sealed, strict=True):
        assert item.sha256 == hashlib.sha256(file.data).digest()
        assert item.size_bytes == len(file.data)
        content = decrypt_media(file.data, private_key=key)
        field = f"media.{item.name}"
        assert item.content_commitment == commit(field=field, value=content, salt=salt_of[field])
    assert all(item.value == b"" for item in disclosures if item.field.startswith("media."))
    assert b"a picture" not in encode_disclosures(disclosures)  # nor does the device keep it
    assert "a picture" not in repr(sealed)


@pytest.mark.parametrize(
    ("standing", "stated"),
    [
        (Standing.NORMAL, pb.STANDING_NORMAL),
        (Standing.DEGRADED, pb.STANDING_DEGRADED),
        (Standing.STOPPED, pb.STANDING_DEGRADED),
        (Standing.LOCKED, pb.STANDING_DEGRADED),
    ],
)
def test_a_device_without_word_from_its_cloud_says_so(
    standing: Standing, stated: pb.Standing.ValueType
) -> None:
    statement = build_event_statement(
        event=pb.DeviceEvent(type=pb.DEVICE_EVENT_TYPE_ENROLLED, certificate_serial="5f01"),
        context=dataclasses.replace(context("device-1"), standing=standing),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(bytes(16)),
        clock=reading(),
    )
    assert statement.standing == stated


def test_the_time_since_the_receipt_is_stated_where_it_is_known() -> None:
    def stated(since: int | None) -> pb.Clock:
        cited = Cited(receipt_sha256=b"r" * 32, checkpoint_sha256=b"c" * 32)
        statement = build_event_statement(
            event=pb.DeviceEvent(type=pb.DEVICE_EVENT_TYPE_ENROLLED, certificate_serial="5f01"),
            context=context("device-1"),
            link=link_after(None, cited),
            attestation_id=attestation_id(bytes(16)),
            clock=dataclasses.replace(reading(), since_receipt_ns=since),
        )
        return parse_statement(encode_statement(statement)).clock

    assert stated(17).since_receipt_ns == 17
    assert stated(0).HasField("since_receipt_ns")
    assert not stated(None).HasField("since_receipt_ns")


def manual_statement(verdict: ManualVerdict, attempt: pb.Statement) -> pb.Statement:
    return build_manual_statement(
        verdict=verdict,
        attempt=attempt,
        session=SessionAnswers(
            bytes(range(16)), operator=SignedIn("op-17", "clerk", frozenset({SignInFactor.PIN}))
        ),
        decision=Decision(Outcome.MANUAL, ("MANUAL_ACCEPTED",)),
        context=context("device-1"),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(b"m" * 16),
        clock=reading(),
    )


def test_a_decision_by_two_people_carries_both_signatures_and_the_attempts_document() -> None:
    attempt, disclosures = statement_of(
        dataclasses.replace(verified_evidence(), match=None), Decision(Outcome.INCONCLUSIVE, ("BLURRED",))
    )
    device, supervisor = MemorySigner(), MemorySigner()
    verdict = ManualVerdict(
        accepted=True,
        causes=("INCONCLUSIVE", "BLURRED"),
        cosigner=SignedIn("op-2", "supervisor", PIN),
        cosigner_key=supervisor.public_key_der(),
        attempt_id=attempt.attestation_id,
    )
    envelope = parse_envelope(seal(manual_statement(verdict, attempt), device, [supervisor]))
    assert len(envelope.signatures) == 2
    statement = parse_statement(check_signature(envelope, device.key.public_key()))
    check_cosignature(envelope, statement, device_key=device.key.public_key())
    assert statement.outcome == pb.OUTCOME_MANUAL
    assert statement.manual.accepted
    assert list(statement.manual.causes) == ["INCONCLUSIVE", "BLURRED"]
    assert statement.manual.attempt_id == attempt.attestation_id
    assert (statement.operator.operator_id, statement.manual.cosigner.operator_id) == ("op-17", "op-2")
    assert statement.document == attempt.document
    for item in disclosures:
        check_disclosure(statement, field=item.field, value=item.value, salt=item.salt)
    for part in ("capture", "liveness", "match"):
        assert not statement.HasField(part)  # type: ignore[arg-type]


def test_one_person_alone_decides_nothing() -> None:
    attempt, _ = statement_of(Evidence(aborted="NO_CARD"), Decision(Outcome.ABORTED, ("NO_CARD",)))
    supervisor = MemorySigner()
    alone = ManualVerdict(
        accepted=True,
        causes=("ABORTED", "NO_CARD"),
        cosigner=SignedIn("op-17", "supervisor", frozenset({SignInFactor.PIN})),
        cosigner_key=supervisor.public_key_der(),
        attempt_id=attempt.attestation_id,
    )
    with pytest.raises(Malformed):
        seal(manual_statement(alone, attempt), MemorySigner(), [supervisor])


def test_a_decision_that_the_second_person_did_not_sign_is_forged() -> None:
    attempt, _ = statement_of(Evidence(aborted="NO_CARD"), Decision(Outcome.ABORTED, ("NO_CARD",)))
    device = MemorySigner()
    verdict = ManualVerdict(
        accepted=True,
        causes=("ABORTED", "NO_CARD"),
        cosigner=SignedIn("op-2", "supervisor", PIN),
        cosigner_key=MemorySigner().public_key_der(),
        attempt_id=attempt.attestation_id,
    )
    envelope = parse_envelope(seal(manual_statement(verdict, attempt), device, [MemorySigner()]))
    statement = parse_statement(check_signature(envelope, device.key.public_key()))
    with pytest.raises(Forged):
        check_cosignature(envelope, statement, device_key=device.key.public_key())


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_name_in_the_protocol(outcome: Outcome) -> None:
    statement, _ = statement_of(verified_evidence(), Decision(outcome, ()))
    assert pb.Outcome.Name(statement.outcome) == f"OUTCOME_{outcome.value}"


@pytest.mark.parametrize("kind", list(DocumentType))
def test_every_document_has_its_name_in_the_protocol(kind: DocumentType) -> None:
    evidence = dataclasses.replace(verified_evidence(), document=dataclasses.replace(document(), type=kind))
    statement, _ = statement_of(evidence, VERIFIED)
    assert pb.DocumentType.Name(statement.document.type) == f"DOCUMENT_TYPE_{kind.value}"


@pytest.mark.parametrize("action", list(Prompt))
def test_every_prompt_can_be_an_action(action: Prompt) -> None:
    evidence = verified_evidence()
    assert evidence.liveness is not None
    challenge = dataclasses.replace(evidence.liveness.challenge, actions=(action,), completed=1)
    liveness = dataclasses.replace(evidence.liveness, challenge=challenge)
    encode_statement(statement_of(dataclasses.replace(evidence, liveness=liveness), VERIFIED)[0])


def test_statements_take_their_place_in_the_chain_and_cite_what_was_seen() -> None:
    cited = Cited(receipt_sha256=b"r" * 32, checkpoint_sha256=b"c" * 32)
    first = ChainLink.after(None, last_receipt_sha256=b"", last_checkpoint_sha256=b"")
    assert (first.epoch, first.seq, first.previous_sha256) == (1, 1, b"")
    head = ChainHead(3, 41, b"h" * 32)
    statement, _ = statement_of(verified_evidence(), VERIFIED, head=head, cited=cited)
    check_link(statement, head)
    assert statement.last_receipt_sha256 == cited.receipt_sha256
    assert statement.last_checkpoint_sha256 == cited.checkpoint_sha256


def test_the_first_record_says_under_which_certificate_the_device_was_enrolled() -> None:
    statement = build_event_statement(
        event=pb.DeviceEvent(type=pb.DEVICE_EVENT_TYPE_ENROLLED, certificate_serial="5f01"),
        context=context("device-1"),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(bytes(16)),
        clock=ClockReading(BOOT_ID, 5, WALL, pb.TIME_QUALITY_SUSPECT),
    )
    parsed = parse_statement(encode_statement(statement))
    assert parsed.kind == pb.RECORD_KIND_DEVICE_EVENT
    assert parsed.device_event.type == pb.DEVICE_EVENT_TYPE_ENROLLED
    assert parsed.device_event.certificate_serial == "5f01"
    assert parsed.seq == 1


def test_sealed_bytes_are_the_statement_under_the_devices_key() -> None:
    signer = MemorySigner()
    statement, _ = statement_of(verified_evidence(), VERIFIED)
    envelope = parse_envelope(seal(statement, signer))
    assert envelope.payload_type == STATEMENT_TYPE
    assert check_signature(envelope, signer.key.public_key()) == encode_statement(statement)
    with pytest.raises(Forged):
        check_signature(envelope, MemorySigner().key.public_key())
