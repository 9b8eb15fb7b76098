"""Statements: what keeps the rules passes unchanged; each broken rule is refused in signing and reading."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import Authority, Device, device_event, verification
from tests.support.events import add_session
from verifield.errors import Malformed, Unknown
from verifield.evidence import MAX_COSIGNER_KEY_BYTES
from verifield.media import MAX_MEDIA_BYTES
from verifield.rules import MAX_COUNTER, MAX_ITEMS, MAX_NAME_CHARS, check_uuid7
from verifield.statement import encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb

DIGEST = bytes(32)
NOTICE = pb.TextShown(text_id="fees", text_sha256=DIGEST)
MANUAL = pb.ManualDecision(accepted=True)
ALL_BUT_MANUAL = [
    pb.OUTCOME_VERIFIED,
    pb.OUTCOME_NOT_MATCHED,
    pb.OUTCOME_SPOOF,
    pb.OUTCOME_ABORTED,
]
Change = Callable[[pb.Statement], object]


@pytest.fixture(scope="module")
def device() -> Device:
    return Authority.create().enroll("device-1")


def put(path: str, value: object) -> Change:
    """Return a change that sets the field at a dotted path; list elements by number."""

    def change(statement: pb.Statement) -> None:
        *parents, last = path.split(".")
        target = statement
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        if isinstance(value, list):
            target.ClearField(last)
            getattr(target, last).extend(value)
        else:
            setattr(target, last, value)

    return change


def drop(path: str) -> Change:
    """Return a change that clears the field at a dotted path."""

    def change(statement: pb.Statement) -> None:
        *parents, last = path.split(".")
        target = statement
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        target.ClearField(last)

    return change


@pytest.mark.parametrize("outcome", [*ALL_BUT_MANUAL, pb.OUTCOME_MANUAL, pb.OUTCOME_INCONCLUSIVE])
def test_every_outcome_passes_and_the_bytes_are_stable(device: Device, outcome: pb.Outcome.ValueType) -> None:
    statement = verification(device, outcome=outcome, reasons=["SOME_REASON"])
    data = encode_statement(statement)
    assert parse_statement(data) == statement
    assert encode_statement(parse_statement(data)) == data


def test_a_device_event_passes(device: Device) -> None:
    statement = device_event(device)
    assert parse_statement(encode_statement(statement)) == statement


BROKEN_VERIFICATIONS: dict[str, Change] = {
    "no id": drop("attestation_id"),
    "upper-case id": put("attestation_id", "019CA5A0-0000-7000-8000-000000000001"),
    "id of version 4": put("attestation_id", "019ca5a0-0000-4000-8000-000000000001"),
    "id of another variant": put("attestation_id", "019ca5a0-0000-7000-c000-000000000001"),
    "id with a newline": put("attestation_id", "019ca5a0-0000-7000-8000-000000000001\n"),
    "no device": drop("device_id"),
    "device with a space": put("device_id", "device 1"),
    "device name too long": put("device_id", "d" * (MAX_NAME_CHARS + 1)),
    "epoch zero": put("chain_epoch", 0),
    "epoch too large": put("chain_epoch", MAX_COUNTER + 1),
    "seq zero": put("seq", 0),
    "seq too large": put("seq", MAX_COUNTER + 1),
    "second without previous": put("seq", 2),
    "first with previous": put("previous_envelope_sha256", DIGEST),
    "short receipt digest": put("last_receipt_sha256", bytes(31)),
    "long checkpoint digest": put("last_checkpoint_sha256", bytes(33)),
    "no kind": drop("kind"),
    "no clock": drop("clock"),
    "no wall time": drop("clock.wall_time"),
    "wall time out of range": put("clock.wall_time.seconds", 2**62),
    "nanoseconds out of range": put("clock.wall_time.nanos", 10**9),
    "no boot id": drop("clock.boot_id"),
    "boot id of no shape": put("clock.boot_id", "boot"),
    "monotonic too large": put("clock.monotonic_ns", MAX_COUNTER + 1),
    "no time quality": drop("clock.quality"),
    "no assurance": drop("assurance"),
    "no key protection": drop("assurance.key_protection"),
    "no camera assurance": drop("assurance.camera"),
    "control character in SAM id": put("assurance.reader_sam_id", "a\x1b[2J"),
    "no site": drop("site"),
    "empty site": drop("site.site_id"),
    "role too long": put("operator.role", "r" * (MAX_NAME_CHARS + 1)),
    "no outcome": drop("outcome"),
    "reason that is no code": put("reasons", ["not a code"]),
    "too many reasons": put("reasons", ["A"] * (MAX_ITEMS + 1)),
    "device event beside an outcome": put("device_event.type", pb.DEVICE_EVENT_TYPE_ENROLLED),
    "no configuration": drop("configuration"),
    "no policy digest": drop("configuration.policy_sha256"),
    "no configuration digest": drop("configuration.config_sha256"),
    "no software version": drop("configuration.software_version"),
    "no document type": drop("document.type"),
    "no read method": drop("document.read_method"),
    "VERIFIED by what was typed": put("document.read_method", pb.READ_METHOD_TYPED),
    "VERIFIED by pictures of a card": put("document.read_method", pb.READ_METHOD_SCANNED),
    "a printed photo lent to what was typed": lambda s: (
        put("outcome", pb.OUTCOME_INCONCLUSIVE)(s),
        put("document.read_method", pb.READ_METHOD_TYPED)(s),
        put("document.photo_origin", pb.PHOTO_ORIGIN_PRINTED)(s),
    ),
    "fields out of order": put(
        "document.fields", [pb.Commitment(field=f, digest=DIGEST) for f in ("b", "a")]
    ),
    "field twice": put("document.fields", [pb.Commitment(field="a", digest=DIGEST)] * 2),
    "field name with NUL": put("document.fields", [pb.Commitment(field="a\0b", digest=DIGEST)]),
    "short commitment": put("document.fields.0.digest", bytes(31)),
    "no camera id": drop("capture.camera_id"),
    "more frames used than seen": put("capture.frames_used", 41),
    "short best shot digest": put("capture.best_shot_sha256", bytes(20)),
    "quality not finite": put("capture.quality.0.value", math.nan),
    "quality without name": drop("capture.quality.0.name"),
    "no liveness decision": drop("liveness.decision"),
    "missing score that passed": drop("liveness.experts.0.score"),
    "low score that passed": put("liveness.experts.0.score", 0.034),
    "good score that failed": put("liveness.experts.0.passed", False),
    "score not finite": put("liveness.experts.0.score", math.inf),
    "short nonce": put("liveness.challenge.nonce", bytes(15)),
    "more actions done than asked": put("liveness.challenge.completed", 3),
    "action that is no code": put("liveness.challenge.actions", ["left", "right"]),
    "no match model": drop("match.model_name"),
    "short model digest": put("match.model_sha256", bytes(31)),
    "match score not finite": put("match.score", math.nan),
    "match below threshold": put("match.score", 0.465),
    "false match rate above one": put("match.false_match_rate", 1.01),
    "no match decision": drop("match.decision"),
    "verified without document": drop("document"),
    "verified without capture": drop("capture"),
    "verified without liveness": drop("liveness"),
    "verified without any expert": drop("liveness.experts"),
    "verified without match": drop("match"),
    "verified in spite of an attack": put("liveness.decision", pb.LIVENESS_DECISION_ATTACK),
    "not matched in spite of a match": put("outcome", pb.OUTCOME_NOT_MATCHED),
    "spoof without attack": put("outcome", pb.OUTCOME_SPOOF),
    "live in spite of an expert that failed": lambda s: (
        put("liveness.experts.0.score", 0.01)(s),
        put("liveness.experts.0.passed", False)(s),
    ),
    "live with an unanswered challenge": put("liveness.challenge.completed", 1),
    "verified without a picture": drop("capture.best_shot_sha256"),
    "verified on a bad picture": put("capture.quality.0.passed", False),
    "manual without its outcome": lambda s: s.manual.CopyFrom(MANUAL),
    "manual outcome without manual": put("outcome", pb.OUTCOME_MANUAL),
    "longer since the receipt than since boot": lambda s: (
        put("last_receipt_sha256", DIGEST)(s),
        put("clock.monotonic_ns", 5)(s),
        put("clock.since_receipt_ns", 6)(s),
    ),
    "since a receipt that is not cited": put("clock.since_receipt_ns", 0),
    "factors out of order": lambda s: (
        put("operator.operator_id", "op-1")(s),
        put("operator.factors", [2, 1])(s),
    ),
    "a factor twice": lambda s: (put("operator.operator_id", "op-1")(s), put("operator.factors", [1, 1])(s)),
    "no factor": lambda s: (put("operator.operator_id", "op-1")(s), put("operator.factors", [0])(s)),
    "factors of nobody": put("operator.factors", [1]),
    "a later epoch without reset": put("chain_epoch", 2),
}


@pytest.mark.req("E043")
@pytest.mark.parametrize("change", BROKEN_VERIFICATIONS.values(), ids=BROKEN_VERIFICATIONS)
def test_a_broken_verification_is_malformed_on_both_sides(device: Device, change: Change) -> None:
    statement = verification(device)
    change(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())
    with pytest.raises(Malformed):
        encode_statement(statement)


BROKEN_EVENTS: dict[str, Change] = {
    "outcome": put("outcome", pb.OUTCOME_VERIFIED),
    "no event": drop("device_event"),
    "no event type": drop("device_event.type"),
    "no serial": drop("device_event.certificate_serial"),
    "serial in upper case": put("device_event.certificate_serial", "AB"),
    "match": put("match.model_name", "m"),
    "operator": put("operator.role", "clerk"),
    "session": put("session.session_id", bytes(16)),
    "gallery": put("gallery.size", 1),
    "manual": put("manual.accepted", True),
    "media": put("media", [pb.MediaReference(name="best_shot")]),
    "half a configuration": put("configuration.policy_sha256", DIGEST),
}


@pytest.mark.parametrize("change", BROKEN_EVENTS.values(), ids=BROKEN_EVENTS)
def test_a_broken_device_event_is_malformed(device: Device, change: Change) -> None:
    statement = device_event(device)
    change(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())


BROKEN_SESSIONS: dict[str, Change] = {
    "short session id": put("session.session_id", bytes(15)),
    "consent without text": drop("session.consent.text_id"),
    "consent without digest": drop("session.consent.text_sha256"),
    "judged without consent": put("session.consent.accepted", False),
    "notice without digest": drop("session.notices.0.text_sha256"),
    "too many notices": put("session.notices", [NOTICE] * (MAX_ITEMS + 1)),
    "fields out of order": put("session.fields", [pb.Commitment(field=f, digest=DIGEST) for f in ("b", "a")]),
    "field without digest": drop("session.fields.0.digest"),
    "field of the document again": put("session.fields.0.field", "document.name"),
    "field of a file": put("session.fields.0.field", "media.best_shot"),
    "no gallery decision": drop("gallery.decision"),
    "more candidates than people": put("gallery.size", 1),
    "candidates out of order": put("gallery.candidates.0.score", 0.1),
    "candidate twice": put("gallery.candidates.0.candidate_id", "p-2"),
    "candidate without name": drop("gallery.candidates.0.candidate_id"),
    "candidate's score not finite": put("gallery.candidates.0.score", math.inf),
    "found nobody": lambda s: (
        put("gallery.candidates", [])(s),
        put("gallery.decision", pb.GALLERY_DECISION_FOUND)(s),
    ),
    "media without name": drop("media.0.name"),
    "media name with a slash": put("media.0.name", "a/b"),
    "media without digest": drop("media.0.sha256"),
    "empty media": drop("media.0.size_bytes"),
    "media too large": put("media.0.size_bytes", MAX_MEDIA_BYTES + 1),
    "media without commitment": drop("media.0.content_commitment"),
    "media twice": lambda s: s.media.append(s.media[0]),
}


@pytest.mark.req("E043")
@pytest.mark.parametrize("change", BROKEN_SESSIONS.values(), ids=BROKEN_SESSIONS)
def test_a_broken_session_gallery_or_file_is_malformed(device: Device, change: Change) -> None:
    statement = verification(device)
    add_session(statement)
    assert parse_statement(encode_statement(statement)) == statement
    change(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())


BROKEN_MANUALS: dict[str, Change] = {
    "no second person": drop("manual.cosigner"),
    "second person without id": drop("manual.cosigner.operator_id"),
    "first person without id": lambda s: (drop("operator.operator_id")(s), drop("operator.factors")(s)),
    "one person twice": put("manual.cosigner.operator_id", "op-1"),
    "one person in capitals": put("manual.cosigner.operator_id", "OP-1"),
    "one person with a space": put("manual.cosigner.operator_id", "op-1 "),
    "one person in another script": put("manual.cosigner.operator_id", "\u043ep-1"),
    "first person who had not signed in": drop("operator.factors"),
    "second person who had not signed in": drop("manual.cosigner.factors"),
    "no second key": drop("manual.cosigner_key"),
    "second key too long": put("manual.cosigner_key", bytes(MAX_COSIGNER_KEY_BYTES + 1)),
    "cause that is no code": put("manual.causes", ["because"]),
    "second person's factors out of order": put("manual.cosigner.factors", [2, 1]),
    "attempt that is no id": put("manual.attempt_id", "before"),
    "attempt that is the decision": lambda s: put("manual.attempt_id", s.attestation_id)(s),
    "another outcome": put("outcome", pb.OUTCOME_INCONCLUSIVE),
}


@pytest.mark.req("E043")
@pytest.mark.parametrize("change", BROKEN_MANUALS.values(), ids=BROKEN_MANUALS)
def test_a_broken_manual_decision_is_malformed(device: Device, change: Change) -> None:
    statement = verification(device, outcome=pb.OUTCOME_MANUAL)
    statement.manual.attempt_id = "019ca5a0-0000-7000-8000-0000000000ff"
    assert parse_statement(encode_statement(statement)) == statement
    change(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())


@pytest.mark.parametrize("outcome", [pb.OUTCOME_ABORTED, pb.OUTCOME_MANUAL])
def test_without_consent_only_people_or_nobody_decide(device: Device, outcome: pb.Outcome.ValueType) -> None:
    statement = verification(device, outcome=outcome)
    add_session(statement)
    statement.session.consent.accepted = False
    assert parse_statement(encode_statement(statement)) == statement


def test_an_attack_needs_an_expert_that_did_not_pass(device: Device) -> None:
    statement = verification(device, outcome=pb.OUTCOME_SPOOF)
    statement.liveness.experts[0].score, statement.liveness.experts[0].passed = 0.5, True
    with pytest.raises(Malformed):
        encode_statement(statement)


UNKNOWN: dict[str, Change] = {
    "kind": put("kind", 99),
    "outcome": put("outcome", 99),
    "time quality": put("clock.quality", 99),
    "document type": put("document.type", 99),
    "match decision": put("match.decision", 99),
}


@pytest.mark.req("E043")
@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_values_of_a_newer_version_are_unknown_not_malformed(device: Device, change: Change) -> None:
    statement = verification(device)
    change(statement)
    with pytest.raises(Unknown) as caught:
        parse_statement(statement.SerializeToString())
    assert caught.value.code == "UNKNOWN_VALUE"
    with pytest.raises(Unknown):
        encode_statement(statement)


def test_fields_of_a_newer_version_are_unknown_at_any_depth(device: Device) -> None:
    newer = b"\xf8\x7f\x01"  # field 2047, varint
    statement = verification(device)
    with pytest.raises(Unknown) as caught:
        parse_statement(statement.SerializeToString() + newer)
    assert caught.value.code == "UNKNOWN_FIELD"
    statement.liveness.experts[0].MergeFromString(newer)
    with pytest.raises(Unknown):
        parse_statement(statement.SerializeToString())


ALLOWED: dict[str, Change] = {
    "longest device name": put("device_id", "d" * MAX_NAME_CHARS),
    "largest epoch": lambda s: (
        put("chain_epoch", MAX_COUNTER)(s),
        put("seq", 2)(s),
        put("previous_envelope_sha256", DIGEST)(s),
    ),
    "largest monotonic time": put("clock.monotonic_ns", MAX_COUNTER),
    "most reasons": put("reasons", ["A"] * MAX_ITEMS),
    "since a receipt of this boot's first moment": lambda s: (
        put("last_receipt_sha256", DIGEST)(s),
        put("clock.since_receipt_ns", s.clock.monotonic_ns)(s),
    ),
    "two factors": lambda s: (put("operator.operator_id", "op-1")(s), put("operator.factors", [1, 2])(s)),
    "largest file": lambda s: (add_session(s), put("media.0.size_bytes", MAX_MEDIA_BYTES)(s)),
    "most notices": lambda s: (add_session(s), put("session.notices", [NOTICE] * MAX_ITEMS)(s)),
    "nobody in the gallery": lambda s: (add_session(s), put("gallery.candidates", [])(s)),
    "degraded": put("standing", pb.STANDING_DEGRADED),
    "receipt and checkpoint": lambda s: (
        put("last_receipt_sha256", DIGEST)(s),
        put("last_checkpoint_sha256", DIGEST)(s),
    ),
    "no operator": drop("operator"),
    "score at the threshold": put("liveness.experts.0.score", 0.035),
    "match at the threshold": put("match.score", 0.466),
    "no commitments": drop("document.fields"),
    "a printed photo lent to a chip's data": put("document.photo_origin", pb.PHOTO_ORIGIN_PRINTED),
    "typed, and nobody verified": lambda s: (
        put("outcome", pb.OUTCOME_INCONCLUSIVE)(s),
        put("document.read_method", pb.READ_METHOD_TYPED)(s),
    ),
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED)
def test_the_limits_are_inclusive(device: Device, change: Change) -> None:
    statement = verification(device)
    change(statement)
    assert parse_statement(encode_statement(statement)) == statement


def test_the_position_of_a_later_record_needs_its_predecessor(device: Device) -> None:
    statement = verification(device)
    statement.seq = MAX_COUNTER
    statement.previous_envelope_sha256 = DIGEST
    parse_statement(encode_statement(statement))


def test_attestation_ids_are_uuids_of_version_7() -> None:
    check_uuid7("019ca5a0-0000-7000-8000-000000000001")
    with pytest.raises(Malformed):
        check_uuid7("019ca5a0000070008000000000000001")


@given(st.binary(max_size=300))
def test_random_bytes_never_escape_the_error_tree(data: bytes) -> None:
    with contextlib.suppress(Malformed, Unknown):
        parse_statement(data)
