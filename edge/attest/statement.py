"""From evidence to the statement that the device signs. Pure: clock, salts and chain are arguments.

Personal data enters only as salted commitments; what opens them is returned beside the statement as
disclosures, for the device to keep encrypted. Evidence that is missing leaves its part of the
statement absent, which no verifier takes for a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from edge.answers import ManualVerdict, SessionAnswers
from edge.attest.clock import ClockReading
from edge.attest.disclosures import disclose_document, disclose_session
from edge.attest.evidence import (
    capture_part,
    document_part,
    gallery_part,
    liveness_part,
    manual_part,
    match_part,
    operator_part,
    session_part,
)
from edge.attest.media import SealedMedia
from edge.model import Decision, Evidence, IdDocument, KeyProtection, Purpose, Standing
from verifield.chain import GENESIS_EPOCH, ChainHead
from verifield.commitments import Disclosure, commit
from verifield.evidence import MEDIA_PREFIX
from verifield.tasks import commit_number
from verifield.v1 import attestation_pb2 as pb

NewSalt = Callable[[], bytes]
"""Returns 32 fresh random bytes at each call."""

Built = tuple[pb.Statement, tuple[Disclosure, ...]]


@dataclass(frozen=True, slots=True)
class StatementContext:
    """Which device states it, how it stands with its cloud, and by which rules it works."""

    device_id: str
    site_id: str
    key_protection: KeyProtection
    policy_sha256: bytes
    config_sha256: bytes
    software_version: str
    standing: Standing = Standing.NORMAL


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


def build_statement(
    *,
    evidence: Evidence,
    decision: Decision,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
    new_salt: NewSalt,
    media: Sequence[SealedMedia] = (),
) -> Built:
    """Build the statement of one verification. ``media``: the files that are stored with it."""
    statement = _frame(context, link, attestation_id, clock, pb.RECORD_KIND_VERIFICATION)
    _conclude(statement, context, decision)
    if evidence.purpose is not None:
        statement.purpose.CopyFrom(_purpose_part(evidence.purpose, evidence.document))
    disclosures: tuple[Disclosure, ...] = ()
    if evidence.document is not None:
        disclosures = disclose_document(evidence.document, new_salt)
        statement.assurance.reader_sam_id = evidence.document.reader_sam_id
        statement.document.CopyFrom(document_part(evidence.document, disclosures))
    if evidence.capture is not None:
        statement.assurance.camera = pb.CameraAssurance.Value(
            f"CAMERA_ASSURANCE_{evidence.capture.assurance.value}"
        )
        statement.capture.CopyFrom(capture_part(evidence.capture))
    if evidence.liveness is not None:
        statement.liveness.CopyFrom(liveness_part(evidence.liveness))
    if evidence.match is not None:
        statement.match.CopyFrom(match_part(evidence.match))
    if evidence.gallery is not None:
        statement.gallery.CopyFrom(gallery_part(evidence.gallery))
    if evidence.session is not None:
        answers = disclose_session(evidence.session, new_salt)
        statement.operator.CopyFrom(operator_part(evidence.session.operator))
        statement.session.CopyFrom(session_part(evidence.session, answers))
        disclosures += answers
    return statement, disclosures + _refer_to_media(statement, media, new_salt)


def build_manual_statement(
    *,
    verdict: ManualVerdict,
    attempt: pb.Statement,
    session: SessionAnswers,
    decision: Decision,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
) -> pb.Statement:
    """Build the statement of a decision by two people about ``attempt``, a record of this device.

    The document stands in it as in the attempt, under the same commitments: what opens the one opens
    the other. So does what the attempt was made for. ``session``: whose operator is the first of the two.
    """
    statement = _frame(context, link, attestation_id, clock, pb.RECORD_KIND_VERIFICATION)
    _conclude(statement, context, decision)
    statement.operator.CopyFrom(operator_part(session.operator))
    statement.session.CopyFrom(session_part(session, ()))
    statement.manual.CopyFrom(manual_part(verdict))
    if attempt.HasField("purpose"):
        statement.purpose.CopyFrom(attempt.purpose)
    if attempt.HasField("document"):
        statement.document.CopyFrom(attempt.document)
        statement.assurance.reader_sam_id = attempt.assurance.reader_sam_id
    return statement


def build_event_statement(
    *,
    event: pb.DeviceEvent,
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
) -> pb.Statement:
    """Build the record of something that happened to the device itself."""
    statement = _frame(context, link, attestation_id, clock, pb.RECORD_KIND_DEVICE_EVENT)
    statement.device_event.CopyFrom(event)
    return statement


def _conclude(statement: pb.Statement, context: StatementContext, decision: Decision) -> None:
    """Fill in what every verification has: an outcome, and the rules it was reached by."""
    statement.operator.SetInParent()
    statement.configuration.CopyFrom(
        pb.Configuration(
            policy_sha256=context.policy_sha256,
            config_sha256=context.config_sha256,
            software_version=context.software_version,
        )
    )
    statement.outcome = pb.Outcome.Value(f"OUTCOME_{decision.outcome.value}")
    statement.reasons.extend(decision.reasons)


def _purpose_part(purpose: Purpose, document: IdDocument | None) -> pb.Purpose:
    digest = b""
    if document is not None and purpose.number_salt:
        digest = commit_number(document.number, salt=purpose.number_salt).digest
    return pb.Purpose(
        task_id=purpose.task_id,
        nonce=purpose.nonce,
        number_digest=digest,
        read_sha256=purpose.read_sha256,
    )


def _frame(
    context: StatementContext,
    link: ChainLink,
    attestation_id: str,
    clock: ClockReading,
    kind: pb.RecordKind.ValueType,
) -> pb.Statement:
    wall_time = Timestamp()
    wall_time.FromDatetime(clock.wall)
    normal = context.standing is Standing.NORMAL
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
            since_receipt_ns=clock.since_receipt_ns,
        ),
        assurance=pb.Assurance(
            key_protection=pb.KeyProtection.Value(f"KEY_PROTECTION_{context.key_protection.value}")
        ),
        site=pb.Site(site_id=context.site_id),
        standing=pb.STANDING_NORMAL if normal else pb.STANDING_DEGRADED,
    )


def _refer_to_media(
    statement: pb.Statement, media: Sequence[SealedMedia], new_salt: NewSalt
) -> tuple[Disclosure, ...]:
    """Name each file in the statement; return what opens its commitment, less the file itself."""
    disclosures = []
    for item in media:
        field, salt = MEDIA_PREFIX + item.name, new_salt()
        statement.media.add(
            name=item.name,
            sha256=item.sha256,
            size_bytes=len(item.data),
            content_commitment=commit(field=field, value=item.content, salt=salt),
        )
        disclosures.append(Disclosure(field, b"", salt))
    return tuple(disclosures)
