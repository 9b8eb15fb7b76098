"""Statements: what keeps the rules passes unchanged; each broken rule is refused in signing and reading."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import Authority, Device, device_event, verification
from verifield.errors import Malformed, Unknown
from verifield.statement import (
    MAX_COUNTER,
    MAX_ITEMS,
    MAX_NAME_CHARS,
    check_attestation_id,
    encode_statement,
    parse_statement,
)
from verifield.v1 import attestation_pb2 as pb

DIGEST = bytes(32)
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
    "low score that passed": put("liveness.experts.0.score", 0.011),
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
}


@pytest.mark.parametrize("change", BROKEN_EVENTS.values(), ids=BROKEN_EVENTS)
def test_a_broken_device_event_is_malformed(device: Device, change: Change) -> None:
    statement = device_event(device)
    change(statement)
    with pytest.raises(Malformed):
        parse_statement(statement.SerializeToString())


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
    "largest epoch": put("chain_epoch", MAX_COUNTER),
    "largest monotonic time": put("clock.monotonic_ns", MAX_COUNTER),
    "most reasons": put("reasons", ["A"] * MAX_ITEMS),
    "receipt and checkpoint": lambda s: (
        put("last_receipt_sha256", DIGEST)(s),
        put("last_checkpoint_sha256", DIGEST)(s),
    ),
    "no operator": drop("operator"),
    "score at the threshold": put("liveness.experts.0.score", 0.012),
    "match at the threshold": put("match.score", 0.466),
    "no commitments": drop("document.fields"),
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
    check_attestation_id("019ca5a0-0000-7000-8000-000000000001")
    with pytest.raises(Malformed):
        check_attestation_id("019ca5a0000070008000000000000001")


@given(st.binary(max_size=300))
def test_random_bytes_never_escape_the_error_tree(data: bytes) -> None:
    with contextlib.suppress(Malformed, Unknown):
        parse_statement(data)
