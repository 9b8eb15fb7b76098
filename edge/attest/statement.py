"""From evidence to the statement that the device signs. Pure: clock, salts and chain are arguments.

Personal data enters only as salted commitments; what opens them is returned beside the statement as
disclosures, for the device to keep encrypted. Evidence that is missing leaves its part of the
statement absent, which no verifier takes for a pass.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from edge.attest.clock import ClockReading
from edge.model import (
    CaptureRecord,
    Decision,
    Evidence,
    ExpertScore,
    IdDocument,
    Image,
    KeyProtection,
    LivenessResult,
    MatchResult,
)
from edge.policy import Policy
from verifield.chain import GENESIS_EPOCH, ChainHead
from verifield.commitments import commit
from verifield.v1 import attestation_pb2 as pb

LONG_TERM = "long-term"
"""What is committed to as document.valid_to of a card that does not expire."""


@dataclass(frozen=True, slots=True)
class StatementContext:
    """Who states it. ``operator_id`` is a pseudonym; empty for self-service."""

    device_id: str
    site_id: str
    key_protection: KeyProtection
    config_sha256: bytes
    software_version: str
    operator_id: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """The place in the chain that a new statement takes, and what the device had seen by then."""

    epoch: int
    seq: int
    previous_sha256: bytes
    last_receipt_sha256: bytes = b""
    last_checkpoint_sha256: bytes = b""

    @classmethod
    def after(
        cls, head: ChainHead | None, *, last_receipt_sha256: bytes, last_checkpoint_sha256: bytes
    ) -> ChainLink:
        """Return the place right after ``head``; None begins the device's first chain."""
        epoch, seq, previous = (head.epoch, head.seq + 1, head.sha256) if head else (GENESIS_EPOCH, 1, b"")
        return cls(epoch, seq, previous, last_receipt_sha256, last_checkpoint_sha256)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What opens one commitment. Personal data: ``repr`` shows the field's name only."""

    field: str
    value: bytes
    salt: bytes

    def __repr__(self) -> str:
        return f"Disclosure({self.field})"


def build_statement(
    *,
    evidence: Evidence,
    decision: Decision,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
    policy: Policy,
    new_salt: Callable[[], bytes],
) -> tuple[pb.Statement, tuple[Disclosure, ...]]:
    """Build the statement of one verification. ``new_salt`` returns 32 fresh random bytes at each call."""
    statement = _frame(
        context=context,
        link=link,
        attestation_id=attestation_id,
        clock=clock,
        kind=pb.RECORD_KIND_VERIFICATION,
    )
    statement.operator.CopyFrom(pb.Operator(operator_id=context.operator_id, role=context.role))
    statement.configuration.CopyFrom(
        pb.Configuration(
            policy_sha256=policy.sha256(),
            config_sha256=context.config_sha256,
            software_version=context.software_version,
        )
    )
    statement.outcome = pb.Outcome.Value(f"OUTCOME_{decision.outcome.value}")
    statement.reasons.extend(decision.reasons)
    disclosures: tuple[Disclosure, ...] = ()
    if evidence.document is not None:
        disclosures = disclose_document(evidence.document, new_salt)
        statement.assurance.reader_sam_id = evidence.document.reader_sam_id
        statement.document.CopyFrom(_document(evidence.document, disclosures))
    if evidence.capture is not None:
        statement.assurance.camera = pb.CameraAssurance.Value(
            f"CAMERA_ASSURANCE_{evidence.capture.assurance.value}"
        )
        statement.capture.CopyFrom(_capture(evidence.capture))
    if evidence.liveness is not None:
        statement.liveness.CopyFrom(_liveness(evidence.liveness))
    if evidence.match is not None:
        statement.match.CopyFrom(_match(evidence.match))
    return statement, disclosures


def build_event_statement(
    *,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
    certificate_serial: str,
) -> pb.Statement:
    """Build the first record of a device: that it was enrolled, under which certificate."""
    statement = _frame(
        context=context,
        link=link,
        attestation_id=attestation_id,
        clock=clock,
        kind=pb.RECORD_KIND_DEVICE_EVENT,
    )
    statement.device_event.CopyFrom(
        pb.DeviceEvent(type=pb.DEVICE_EVENT_TYPE_ENROLLED, certificate_serial=certificate_serial)
    )
    return statement


def disclose_document(document: IdDocument, new_salt: Callable[[], bytes]) -> tuple[Disclosure, ...]:
    """Every field of the document with a fresh salt, in ascending order of field name.

    Fields that a card leaves empty are committed to as well, so that a statement does not show which.
    Texts are UTF-8, dates ISO 8601, the photo :func:`encode_picture`.
    """
    valid_to = document.valid_to.isoformat() if document.valid_to else LONG_TERM
    texts = {
        "address": document.address,
        "birth": document.birth.isoformat(),
        "ethnicity": document.ethnicity,
        "issuer": document.issuer,
        "name": document.name,
        "nationality": document.nationality,
        "number": document.number,
        "sex": document.sex,
        "valid_from": document.valid_from.isoformat(),
        "valid_to": valid_to,
    }
    values = {field: text.encode() for field, text in texts.items()}
    if document.photo is not None:
        values["photo"] = encode_picture(document.photo)
    return tuple(Disclosure(f"document.{field}", values[field], new_salt()) for field in sorted(values))


def encode_picture(pixels: Image) -> bytes:
    """Height and width (4 bytes each, big-endian), then the BGR bytes row by row.

    ``pixels``: uint8 [height, width, 3], BGR.
    """
    height, width = pixels.shape[:2]
    size: bytes = height.to_bytes(4, "big") + width.to_bytes(4, "big")
    return size + pixels.tobytes()


def encode_disclosures(disclosures: tuple[Disclosure, ...]) -> bytes:
    """Serialise disclosures (personal data) for the device's encrypted store: JSON, base64 values."""
    return json.dumps(
        [
            {
                "field": item.field,
                "value": base64.b64encode(item.value).decode(),
                "salt": base64.b64encode(item.salt).decode(),
            }
            for item in disclosures
        ]
    ).encode()


def parse_disclosures(data: bytes) -> tuple[Disclosure, ...]:
    """Parse what :func:`encode_disclosures` wrote."""
    return tuple(
        Disclosure(item["field"], base64.b64decode(item["value"]), base64.b64decode(item["salt"]))
        for item in json.loads(data)
    )


def _frame(
    *,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
    kind: pb.RecordKind.ValueType,
) -> pb.Statement:
    wall_time = Timestamp()
    wall_time.FromDatetime(clock.wall)
    return pb.Statement(
        attestation_id=attestation_id,
        device_id=context.device_id,
        chain_epoch=link.epoch,
        seq=link.seq,
        previous_envelope_sha256=link.previous_sha256,
        last_receipt_sha256=link.last_receipt_sha256,
        last_checkpoint_sha256=link.last_checkpoint_sha256,
        kind=kind,
        clock=pb.Clock(
            boot_id=clock.boot_id,
            monotonic_ns=clock.monotonic_ns,
            wall_time=wall_time,
            quality=clock.quality,
        ),
        assurance=pb.Assurance(
            key_protection=pb.KeyProtection.Value(f"KEY_PROTECTION_{context.key_protection.value}")
        ),
        site=pb.Site(site_id=context.site_id),
    )


def _document(document: IdDocument, disclosures: tuple[Disclosure, ...]) -> pb.Document:
    return pb.Document(
        type=pb.DocumentType.Value(f"DOCUMENT_TYPE_{document.type.value}"),
        read_method=pb.ReadMethod.Value(f"READ_METHOD_{document.read_method.value}"),
        fields=[
            pb.Commitment(field=item.field, digest=commit(field=item.field, value=item.value, salt=item.salt))
            for item in disclosures
        ],
    )


def _capture(capture: CaptureRecord) -> pb.Capture:
    best = b""
    if capture.best_shot is not None:
        best = hashlib.sha256(encode_picture(capture.best_shot.pixels)).digest()
    return pb.Capture(
        camera_id=capture.camera_id,
        frames_seen=capture.frames_seen,
        frames_used=capture.frames_used,
        best_shot_sha256=best,
        quality=[
            pb.QualityComponent(name=item.name, value=item.value, passed=item.passed)
            for item in capture.quality
        ],
    )


def _liveness(liveness: LivenessResult) -> pb.Liveness:
    challenge = liveness.challenge
    return pb.Liveness(
        decision=pb.LivenessDecision.Value(f"LIVENESS_DECISION_{liveness.decision.value}"),
        experts=[_expert(item) for item in liveness.experts],
        challenge=pb.Challenge(
            nonce=challenge.nonce,
            actions=[action.value for action in challenge.actions],
            completed=challenge.completed,
        ),
    )


def _expert(expert: ExpertScore) -> pb.LivenessExpert:
    """A score that is not a number is no score: absent, and so never a pass."""
    scored = expert.score is not None and math.isfinite(expert.score)
    return pb.LivenessExpert(
        name=expert.name,
        score=expert.score if scored else None,
        threshold=expert.threshold,
        passed=scored and expert.passed,
        model_sha256=bytes.fromhex(expert.model_sha256),
    )


def _match(match: MatchResult) -> pb.Match:
    return pb.Match(
        model_name=match.model_name,
        model_sha256=bytes.fromhex(match.model_sha256),
        score=match.score,
        threshold=match.threshold,
        false_match_rate=match.false_match_rate,
        domain=match.domain,
        decision=pb.MATCH_DECISION_MATCH if match.matched else pb.MATCH_DECISION_NO_MATCH,
    )
