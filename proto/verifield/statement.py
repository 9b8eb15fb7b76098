"""The statement: what a device signs about one event, and the rules that every statement keeps.

A statement that breaks a rule is refused on both sides: a device never signs one, a verifier
never believes one. Numbers and digests are checked for shape here; where they lead (the chain,
the receipt, the log) is checked by the modules of those names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import Malformed
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.wire import check_all_known, parse_message, parse_time

STATEMENT_TYPE = "application/vnd.verifield.attestation.v1+protobuf"
RECEIPT_TYPE = "application/vnd.verifield.receipt.v1+protobuf"

MAX_NAME_CHARS = 64
"""Names, versions and codes; also the longest common name in a certificate (RFC 5280, A.1)."""

MAX_ITEMS = 64
"""Entries of any list: reasons, commitments, experts, actions, quality components."""

MAX_COUNTER = 2**63 - 1
"""Counters are stored as signed 64-bit integers."""

DIGEST_BYTES = 32
NONCE_BYTES = 16

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEVICE_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{MAX_NAME_CHARS - 1}}}")
_CODE = re.compile(rf"[A-Z][A-Z0-9_]{{0,{MAX_NAME_CHARS - 1}}}")
_FIELD = re.compile(rf"[a-z][a-z0-9_.]{{0,{MAX_NAME_CHARS - 1}}}")
_SERIAL = re.compile(r"[0-9a-f]{1,40}")


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


def check_attestation_id(text: str) -> None:
    """Raise Malformed unless ``text`` is a UUID version 7 (RFC 9562) in lower case with hyphens."""
    _require(_UUID7.fullmatch(text) is not None, "attestation_id is not a UUID version 7 in lower case")


def check_device_id(text: str) -> None:
    """Raise Malformed unless ``text`` is 1 to 64 letters, digits, dots, colons, hyphens or underscores."""
    _require(_DEVICE_ID.fullmatch(text) is not None, "device_id is missing or not a plain name")


def _check(statement: Statement) -> None:
    check_attestation_id(statement.attestation_id)
    check_device_id(statement.device_id)
    _check_position(statement)
    _check_clock(statement)
    _require(statement.HasField("assurance"), "assurance is missing")
    _require(bool(statement.assurance.key_protection), "assurance.key_protection is missing")
    _check_names(statement.assurance.reader_sam_id, what="assurance.reader_sam_id", required=False)
    _require(statement.HasField("site"), "site is missing")
    _check_names(statement.site.site_id, what="site.site_id")
    _require(bool(statement.kind), "kind is missing")
    if statement.kind == pb.RECORD_KIND_DEVICE_EVENT:
        _check_device_event(statement)
    else:
        _check_verification(statement)


def _check_position(statement: Statement) -> None:
    _require(1 <= statement.chain_epoch <= MAX_COUNTER, "chain_epoch is out of range")
    _require(1 <= statement.seq <= MAX_COUNTER, "seq is out of range")
    first = statement.seq == 1
    _check_digest(statement.previous_envelope_sha256, what="previous_envelope_sha256", required=not first)
    _require(not (first and statement.previous_envelope_sha256), "the first record names a previous envelope")
    _check_digest(statement.last_receipt_sha256, what="last_receipt_sha256", required=False)
    _check_digest(statement.last_checkpoint_sha256, what="last_checkpoint_sha256", required=False)


def _check_clock(statement: Statement) -> None:
    clock = statement.clock
    _require(statement.HasField("clock") and clock.HasField("wall_time"), "clock is missing")
    parse_time(clock.wall_time, what="statement's wall time")
    _require(_UUID.fullmatch(clock.boot_id) is not None, "clock.boot_id is not a UUID in lower case")
    _require(clock.monotonic_ns <= MAX_COUNTER, "clock.monotonic_ns is out of range")
    _require(bool(clock.quality), "clock.quality is missing")


def _check_device_event(statement: Statement) -> None:
    _require(not statement.outcome, "a device event has an outcome")
    for part in ("operator", "document", "capture", "liveness", "match"):
        _require(not statement.HasField(part), f"a device event has a part {part}")
    _require(statement.HasField("device_event"), "device_event is missing")
    _require(bool(statement.device_event.type), "device_event.type is missing")
    _require(
        _SERIAL.fullmatch(statement.device_event.certificate_serial) is not None,
        "device_event.certificate_serial is not lower-case hex",
    )
    _check_reasons(statement)


def _check_verification(statement: Statement) -> None:
    _require(not statement.HasField("device_event"), "a verification has a device event")
    _require(bool(statement.outcome), "outcome is missing")
    _check_reasons(statement)
    _check_names(statement.operator.operator_id, statement.operator.role, what="operator", required=False)
    _require(statement.HasField("configuration"), "configuration is missing")
    _check_digest(statement.configuration.policy_sha256, what="configuration.policy_sha256")
    _check_digest(statement.configuration.config_sha256, what="configuration.config_sha256")
    _check_names(statement.configuration.software_version, what="configuration.software_version")
    if statement.HasField("document"):
        _check_document(statement.document)
    if statement.HasField("capture"):
        _require(bool(statement.assurance.camera), "assurance.camera is missing")
        _check_capture(statement.capture)
    if statement.HasField("liveness"):
        _check_liveness(statement.liveness)
    if statement.HasField("match"):
        _check_match(statement.match)
    _check_outcome(statement)


def _check_document(document: pb.Document) -> None:
    _require(bool(document.type), "document.type is missing")
    _require(bool(document.read_method), "document.read_method is missing")
    names = [commitment.field for commitment in document.fields]
    _require(len(names) <= MAX_ITEMS, "document.fields has too many entries")
    _require(all(_FIELD.fullmatch(name) for name in names), "a field name of the document is not plain")
    _require(names == sorted(set(names)), "document.fields is not in ascending order")
    for commitment in document.fields:
        _check_digest(commitment.digest, what="a commitment's digest")


def _check_capture(capture: pb.Capture) -> None:
    _require(0 < len(capture.camera_id) <= 4 * MAX_NAME_CHARS, "capture.camera_id is missing or too long")
    _require(capture.frames_used <= capture.frames_seen, "capture used more frames than it saw")
    _check_digest(capture.best_shot_sha256, what="capture.best_shot_sha256", required=False)
    _require(len(capture.quality) <= MAX_ITEMS, "capture.quality has too many entries")
    _check_names(*(part.name for part in capture.quality), what="capture.quality.name")
    _check_finite(part.value for part in capture.quality)


def _check_liveness(liveness: pb.Liveness) -> None:
    _require(bool(liveness.decision), "liveness.decision is missing")
    _require(len(liveness.experts) <= MAX_ITEMS, "liveness.experts has too many entries")
    _check_names(*(expert.name for expert in liveness.experts), what="liveness.experts.name")
    for expert in liveness.experts:
        _check_finite((expert.score, expert.threshold))
        _check_digest(expert.model_sha256, what="an expert's model_sha256", required=False)
        scored = expert.HasField("score") and expert.score >= expert.threshold
        _require(expert.passed == scored, "an expert's decision contradicts its score")
    challenge = liveness.challenge
    if liveness.HasField("challenge"):
        _require(len(challenge.nonce) == NONCE_BYTES, f"challenge.nonce has not {NONCE_BYTES} bytes")
        _require(len(challenge.actions) <= MAX_ITEMS, "challenge.actions has too many entries")
        _require(all(_CODE.fullmatch(action) for action in challenge.actions), "an action is not a code")
        _require(challenge.completed <= len(challenge.actions), "more actions completed than asked for")


def _check_match(match: pb.Match) -> None:
    _check_names(match.model_name, match.domain, what="match.model_name or match.domain")
    _check_digest(match.model_sha256, what="match.model_sha256")
    _check_finite((match.score, match.threshold, match.false_match_rate))
    _require(0 <= match.false_match_rate <= 1, "match.false_match_rate is not between 0 and 1")
    _require(bool(match.decision), "match.decision is missing")
    matched = match.decision == pb.MATCH_DECISION_MATCH
    _require(matched == (match.score >= match.threshold), "match.decision contradicts its score")


def _check_outcome(statement: Statement) -> None:
    """Check that the outcome follows from the evidence; a missing part is never a pass."""
    liveness, match = statement.liveness.decision, statement.match.decision
    if statement.outcome in {pb.OUTCOME_VERIFIED, pb.OUTCOME_NOT_MATCHED}:
        live = statement.HasField("capture") and liveness == pb.LIVENESS_DECISION_LIVE
        wanted = (
            pb.MATCH_DECISION_MATCH
            if statement.outcome == pb.OUTCOME_VERIFIED
            else pb.MATCH_DECISION_NO_MATCH
        )
        _require(
            live
            and len(statement.liveness.experts) > 0
            and match == wanted
            and statement.HasField("document"),
            "the outcome does not follow from document, liveness and match",
        )
    if statement.outcome == pb.OUTCOME_SPOOF:
        _require(liveness == pb.LIVENESS_DECISION_ATTACK, "the outcome SPOOF has no attack in its liveness")


def _check_reasons(statement: Statement) -> None:
    _require(len(statement.reasons) <= MAX_ITEMS, "reasons has too many entries")
    _require(all(_CODE.fullmatch(reason) for reason in statement.reasons), "a reason is not a code")


def _check_names(*names: str, what: str, required: bool = True) -> None:
    for name in names:
        _require(len(name) <= MAX_NAME_CHARS and name.isprintable(), f"{what} is too long or not printable")
        _require(bool(name) or not required, f"{what} is missing")


def _check_digest(digest: bytes, *, what: str, required: bool = True) -> None:
    allowed = {DIGEST_BYTES} if required else {0, DIGEST_BYTES}
    _require(len(digest) in allowed, f"{what} has not {DIGEST_BYTES} bytes")


def _check_finite(values: Iterable[float]) -> None:
    _require(all(math.isfinite(value) for value in values), "a score or a measure is not a finite number")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Malformed("STATEMENT", f"The statement breaks a rule: {what}.")
