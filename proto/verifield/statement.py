"""The statement: what a device signs about one event, and the rules that every statement keeps.

A statement that breaks a rule is refused on both sides: a device never signs one, a verifier
never believes one. Numbers and digests are checked for shape here; where they lead (the chain,
the receipt, the log) is checked by the modules of those names.
"""

from __future__ import annotations

from verifield.device_events import begins_epoch, check_device_event
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.evidence import check_evidence
from verifield.rules import (
    UUID,
    check_codes,
    check_counter,
    check_device_id,
    check_digest,
    check_names,
    check_uuid7,
    require,
)
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.wire import check_all_known, parse_message, parse_time

STATEMENT_TYPE = "application/vnd.verifield.attestation.v1+protobuf"
RECEIPT_TYPE = "application/vnd.verifield.receipt.v1+protobuf"

_OF_VERIFICATIONS = frozenset(
    {
        "operator",
        "document",
        "capture",
        "liveness",
        "match",
        "outcome",
        "session",
        "gallery",
        "manual",
        "media",
        "purpose",
    }
)
"""Parts that a device event cannot have."""


def parse_statement(payload: bytes) -> Statement:
    """Parse the payload of an envelope, whose signature the caller has checked.

    Raises:
        Malformed: not a statement, or one that breaks a rule.
        Unknown: a field, kind, outcome or other value that this version does not know.
    """
    statement = parse_message(Statement, payload, what="statement", max_bytes=MAX_ENVELOPE_BYTES)
    _check(statement)
    return statement


def encode_statement(statement: Statement) -> bytes:
    """Return the bytes to sign; the same statement always gives the same bytes.

    Raises:
        Malformed, Unknown: as :func:`parse_statement`, so that nothing unreadable is ever signed.
    """
    check_all_known(statement, what="statement")
    _check(statement)
    return statement.SerializeToString(deterministic=True)


def _check(statement: Statement) -> None:
    check_uuid7(statement.attestation_id)
    check_device_id(statement.device_id)
    _check_position(statement)
    _check_clock(statement)
    require(statement.HasField("assurance"), "assurance is missing")
    require(bool(statement.assurance.key_protection), "assurance.key_protection is missing")
    check_names(statement.assurance.reader_sam_id, what="assurance.reader_sam_id", required=False)
    require(statement.HasField("site"), "site is missing")
    check_names(statement.site.site_id, what="site.site_id")
    check_codes(statement.reasons, what="reasons")
    require(bool(statement.kind), "kind is missing")
    if statement.kind == pb.RECORD_KIND_DEVICE_EVENT:
        present = {field.name for field, _ in statement.ListFields()}
        require(present.isdisjoint(_OF_VERIFICATIONS), "a device event has a part of a verification")
        if statement.HasField("configuration"):
            _check_configuration(statement.configuration)
        check_device_event(statement)
    else:
        require(not statement.HasField("device_event"), "a verification has a device event")
        require(bool(statement.outcome), "outcome is missing")
        require(statement.HasField("configuration"), "configuration is missing")
        _check_configuration(statement.configuration)
        if statement.HasField("purpose"):
            _check_purpose(statement.purpose)
        check_evidence(statement)


def _check_position(statement: Statement) -> None:
    check_counter(statement.chain_epoch, what="chain_epoch")
    check_counter(statement.seq, what="seq")
    first = statement.seq == 1
    check_digest(statement.previous_envelope_sha256, what="previous_envelope_sha256", required=not first)
    require(not (first and statement.previous_envelope_sha256), "the first record names a previous envelope")
    reset = statement.device_event.type == pb.DEVICE_EVENT_TYPE_RESET
    require(reset or not begins_epoch(statement), "a later epoch begins without a reset")
    check_digest(statement.last_receipt_sha256, what="last_receipt_sha256", required=False)
    check_digest(statement.last_checkpoint_sha256, what="last_checkpoint_sha256", required=False)


def _check_clock(statement: Statement) -> None:
    clock = statement.clock
    require(statement.HasField("clock") and clock.HasField("wall_time"), "clock is missing")
    parse_time(clock.wall_time, what="statement's wall time")
    require(UUID.fullmatch(clock.boot_id) is not None, "clock.boot_id is not a UUID in lower case")
    check_counter(clock.monotonic_ns, what="clock.monotonic_ns", least=0)
    require(bool(clock.quality), "clock.quality is missing")
    if clock.HasField("since_receipt_ns"):
        require(bool(statement.last_receipt_sha256), "clock.since_receipt_ns without a receipt")
        require(
            clock.since_receipt_ns <= clock.monotonic_ns, "clock.since_receipt_ns is longer than the boot"
        )


def _check_purpose(purpose: pb.Purpose) -> None:
    if purpose.task_id:
        check_uuid7(purpose.task_id, what="purpose.task_id")
    check_digest(purpose.nonce, what="purpose.nonce")
    check_digest(purpose.number_digest, what="purpose.number_digest", required=False)
    check_digest(purpose.read_sha256, what="purpose.read_sha256", required=False)
    require(bool(purpose.task_id) or not purpose.number_digest, "purpose.number_digest without a task")
    require(bool(purpose.task_id) or not purpose.read_sha256, "purpose.read_sha256 without a task")


def _check_configuration(configuration: pb.Configuration) -> None:
    check_digest(configuration.policy_sha256, what="configuration.policy_sha256")
    check_digest(configuration.config_sha256, what="configuration.config_sha256")
    check_names(configuration.software_version, what="configuration.software_version")
