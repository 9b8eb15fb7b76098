"""The rules of delivery, without I/O: what becomes of each envelope of a batch.

    1  the bytes are an envelope                                        else INVALID
    2  one of its signatures is by the device's attestation key         else INVALID
    3  the payload is a statement of a known kind, and keeps its rules  else INVALID
    4  it names the device that delivers it                             else INVALID
    5  it belongs to the chain's epoch                                  else INVALID
    6  its place is at or below the head: the same bytes                ALREADY_HAVE, else FORK
    7  its place is beyond the next one                                 OUT_OF_ORDER
    8  it states the site and key protection of the device's enrolment  else INVALID
    9  its attestation id was not used before                           else INVALID
    10 it names the head as the envelope before it                      ACCEPTED, else FORK

Step 8 keeps a device from claiming what nobody checked: a receipt would carry the claim to verifiers.
Only bytes whose signature holds are parsed as a statement, and the bytes received are what is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec

from verifield.chain import ChainBreak, ChainHead, check_link, envelope_sha256, next_head
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import Statement


class RecordReason(StrEnum):
    """Reasons of INVALID that this service adds to the codes of ``verifield.errors``."""

    STATEMENT_TYPE = "STATEMENT_TYPE"
    OTHER_DEVICE = "OTHER_DEVICE"
    OTHER_EPOCH = "OTHER_EPOCH"
    OTHER_SITE = "OTHER_SITE"
    OTHER_KEY_PROTECTION = "OTHER_KEY_PROTECTION"
    ATTESTATION_ID_USED = "ATTESTATION_ID_USED"


@dataclass(frozen=True, slots=True)
class Record:
    """An envelope that passed steps 1 to 4; ``envelope`` as received, ``leaf`` its hash in the log."""

    envelope: bytes
    sha256: bytes
    leaf: bytes
    statement: Statement


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the service knows of a device by its enrolment, and its chain's epoch."""

    epoch: int
    site_id: str
    key_protection: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the device is told about one envelope."""

    status: pb.DeliverStatus.ValueType
    reason: str = ""
    expected_seq: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """``verdicts`` in the batch's order; ``accepted`` in the chain's; ``head`` after them."""

    verdicts: list[Verdict]
    accepted: list[Record]
    head: ChainHead | None


def verify_record(
    envelope: bytes, *, key: ec.EllipticCurvePublicKey, certificate_der: bytes, device_id: str
) -> Record | Verdict:
    """Steps 1 to 4. ``key`` is that of ``certificate_der``, which the caller has checked."""
    try:
        parsed = parse_envelope(envelope)
        payload = check_signature(parsed, key)
        if parsed.payload_type != STATEMENT_TYPE:
            return _invalid(RecordReason.STATEMENT_TYPE)
        statement = parse_statement(payload)
    except VerifieldError as error:
        return _invalid(error.code)
    if statement.device_id != device_id:
        return _invalid(RecordReason.OTHER_DEVICE)
    return Record(
        envelope=envelope,
        sha256=envelope_sha256(envelope),
        leaf=leaf_hash(log_leaf(parsed, certificate_der)),
        statement=statement,
    )


def judge_batch(
    records: Sequence[Record | Verdict],
    *,
    device: Enrolled,
    head: ChainHead | None,
    stored: Mapping[int, bytes],
    used_ids: Collection[str],
) -> Judgement:
    """Steps 5 to 10. ``stored``: digests of the chain's envelopes by seq; ``used_ids``: ids in the store."""
    have = dict(stored)
    used = set(used_ids)
    verdicts: list[Verdict] = []
    accepted: list[Record] = []
    for record in records:
        if isinstance(record, Verdict):
            verdicts.append(record)
            continue
        verdict = _judge(record, device=device, head=head, have=have, used=used)
        verdicts.append(verdict)
        if verdict.status == pb.DELIVER_STATUS_ACCEPTED:
            accepted.append(record)
            head = next_head(record.statement, record.envelope)
            have[head.seq] = head.sha256
            used.add(record.statement.attestation_id)
    return Judgement(verdicts, accepted, head)


def _judge(
    record: Record,
    *,
    device: Enrolled,
    head: ChainHead | None,
    have: Mapping[int, bytes],
    used: Collection[str],
) -> Verdict:
    statement = record.statement
    if statement.chain_epoch != device.epoch:
        return _invalid(RecordReason.OTHER_EPOCH)
    next_seq = head.seq + 1 if head else 1
    if statement.seq < next_seq:
        same = have.get(statement.seq) == record.sha256
        return Verdict(pb.DELIVER_STATUS_ALREADY_HAVE if same else pb.DELIVER_STATUS_FORK)
    if statement.seq > next_seq:
        return Verdict(pb.DELIVER_STATUS_OUT_OF_ORDER, expected_seq=next_seq)
    if statement.site.site_id != device.site_id:
        return _invalid(RecordReason.OTHER_SITE)
    if statement.assurance.key_protection != device.key_protection:
        return _invalid(RecordReason.OTHER_KEY_PROTECTION)
    if statement.attestation_id in used:
        return _invalid(RecordReason.ATTESTATION_ID_USED)
    try:
        check_link(statement, head)
    except ChainBreak:
        # Its place is free, but the record before it is not the one that holds that place here.
        return Verdict(pb.DELIVER_STATUS_FORK)
    return Verdict(pb.DELIVER_STATUS_ACCEPTED)


def _invalid(reason: str) -> Verdict:
    return Verdict(pb.DELIVER_STATUS_INVALID, reason=reason)
