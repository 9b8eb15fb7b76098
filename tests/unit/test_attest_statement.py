from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from edge.attest.clock import ClockReading
from edge.attest.sign import seal
from edge.attest.statement import (
    LONG_TERM,
    ChainLink,
    build_event_statement,
    build_statement,
    disclose_document,
    encode_disclosures,
    encode_picture,
    parse_disclosures,
)
from edge.model import (
    Decision,
    DocumentType,
    Evidence,
    ExpertScore,
    LivenessDecision,
    Outcome,
    Prompt,
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
from verifield.commitments import check_disclosure
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Forged, Malformed
from verifield.statement import STATEMENT_TYPE, encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb

FIELDS = (
    *("address", "birth", "ethnicity", "issuer", "name", "nationality", "number", "photo", "sex"),
    *("valid_from", "valid_to"),
)
VERIFIED = Decision(Outcome.VERIFIED, ())


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
            assert value.encode(encoding) not in envelope
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
        policy=Policy(),
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
        context=context("device-1"),
        link=link_after(None, Cited()),
        attestation_id=attestation_id(bytes(16)),
        clock=ClockReading(BOOT_ID, 5, WALL, pb.TIME_QUALITY_SUSPECT),
        certificate_serial="5f01",
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
