"""One envelope as the rules see it: genuine or refused, steps 1 to 5 of ``cloud.attestations.ingest``.

What later steps need of a statement is taken out of it once, where its signature is checked, so that it
can be handed from one process to another and written into columns without a second look at the bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from verifield.chain import Excuse, envelope_sha256, excuses_of
from verifield.cosign import check_cosignature
from verifield.dsse import MAX_ENVELOPE_BYTES, check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf_of
from verifield.merkle import leaf_hash
from verifield.rules import MAX_COUNTER
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1.attestation_pb2 import RECORD_KIND_DEVICE_EVENT, Purpose, Statement
from verifield.v1.bundle_pb2 import Envelope

Place = tuple[int, int]
"""Epoch and seq."""

NO_REASONS = "[]"


class RecordReason(StrEnum):
    """Reasons that this service adds to the codes of ``verifield.errors``."""

    STATEMENT_TYPE = "STATEMENT_TYPE"
    OTHER_DEVICE = "OTHER_DEVICE"
    OTHER_SITE = "OTHER_SITE"
    OTHER_KEY_PROTECTION = "OTHER_KEY_PROTECTION"
    COSIGNER_IS_DEVICE = "COSIGNER_IS_DEVICE"
    ATTESTATION_ID_USED = "ATTESTATION_ID_USED"
    GIVEN_UP = "GIVEN_UP"
    # Of branches.
    OTHER_BYTES = "OTHER_BYTES"
    OTHER_PREDECESSOR = "OTHER_PREDECESSOR"
    OTHER_CLOUD_HEAD = "OTHER_CLOUD_HEAD"
    CLOSED_EPOCH = "CLOSED_EPOCH"


class Named(NamedTuple):
    """A file that a statement names; digest and size of the encrypted file."""

    name: str
    sha256: bytes
    size_bytes: int


class Record(NamedTuple):
    """An envelope that passed steps 1 to 5.

    ``envelope`` as received, ``leaf`` its hash in the log, ``reasons`` a JSON list of codes. Digests that
    the statement does not give are empty. ``purpose``: task and nonce that it was made for; None for most.
    A tuple, because there is one for each record of each batch.
    """

    envelope: bytes
    sha256: bytes
    leaf: bytes
    certificate_sha256: bytes
    place: Place
    previous_sha256: bytes
    attestation_id: str
    device_id: str
    site_id: str
    key_protection: int
    kind: int
    outcome: int
    reasons: str
    wall_us: int
    cited_receipt: bytes
    since_receipt_ns: int | None
    cited_checkpoint: bytes
    cosigner_key: bytes
    media: tuple[Named, ...]
    purpose: tuple[str, bytes] | None

    @property
    def statement(self) -> Statement:
        """Parsed anew each time: for the few records of which more is asked than stands above."""
        return Statement.FromString(Envelope.FromString(self.envelope).payload)

    @property
    def is_event(self) -> bool:
        """Whether it tells of the device instead of a person: GAP, TOMBSTONE and RESET are such."""
        return self.kind == RECORD_KIND_DEVICE_EVENT

    @property
    def excuse(self) -> Excuse | None:
        """Which places the record has given up; None for most records."""
        return excuses_of(self.statement) if self.is_event else None


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that did not pass; ``place`` is what they claim, zeros where nothing could be read."""

    envelope: bytes
    sha256: bytes
    reason: str
    place: Place = (0, 0)


def verify_record(
    envelope: bytes, *, key: ec.EllipticCurvePublicKey, certificate_sha256: bytes, device_id: str
) -> Record | Refused:
    """Steps 1 to 5. ``key`` is that of the certificate, which the caller has checked."""
    digest = envelope_sha256(envelope)
    try:
        parsed = parse_envelope(envelope)  # step 1
        payload = check_signature(parsed, key)  # step 2
        if parsed.payload_type != STATEMENT_TYPE:
            return Refused(envelope, digest, RecordReason.STATEMENT_TYPE, _claimed_place(envelope))
        statement = parse_statement(payload)  # step 3
        if statement.device_id != device_id:  # step 4
            return Refused(envelope, digest, RecordReason.OTHER_DEVICE, _claimed_place(envelope))
        check_cosignature(parsed, statement, device_key=key)  # step 5
    except VerifieldError as error:
        return Refused(envelope, digest, error.code, _claimed_place(envelope))
    return record_of(
        statement,
        envelope=envelope,
        digest=digest,
        leaf=leaf_hash(log_leaf_of(parsed, certificate_sha256=certificate_sha256)),
        certificate_sha256=certificate_sha256,
    )


def record_of(
    statement: Statement, *, envelope: bytes, digest: bytes, leaf: bytes, certificate_sha256: bytes
) -> Record:
    """What is needed of a statement that passed steps 1 to 5, in ``envelope``."""
    clock, reasons, manual = statement.clock, statement.reasons, statement.manual
    wall = clock.wall_time
    return Record(
        envelope=envelope,
        sha256=digest,
        leaf=leaf,
        certificate_sha256=certificate_sha256,
        place=(statement.chain_epoch, statement.seq),
        previous_sha256=statement.previous_envelope_sha256,
        attestation_id=statement.attestation_id,
        device_id=statement.device_id,
        site_id=statement.site.site_id,
        key_protection=statement.assurance.key_protection,
        kind=statement.kind,
        outcome=statement.outcome,
        reasons=json.dumps(list(reasons)) if reasons else NO_REASONS,
        wall_us=wall.seconds * 1_000_000 + wall.nanos // 1000,  # in range: a rule of statements
        cited_receipt=statement.last_receipt_sha256,
        since_receipt_ns=clock.since_receipt_ns if clock.HasField("since_receipt_ns") else None,
        cited_checkpoint=statement.last_checkpoint_sha256,
        cosigner_key=manual.cosigner_key,
        media=tuple(Named(one.name, one.sha256, one.size_bytes) for one in statement.media),
        purpose=_purpose_of(statement.purpose) if statement.HasField("purpose") else None,
    )


def _purpose_of(purpose: Purpose) -> tuple[str, bytes]:
    return purpose.task_id, purpose.nonce


def _claimed_place(envelope: bytes) -> Place:
    """What bytes that nobody vouches for claim to be: for people to look at, never for a decision."""
    if len(envelope) > MAX_ENVELOPE_BYTES:
        return 0, 0
    try:
        statement = Statement.FromString(Envelope.FromString(envelope).payload)
    except DecodeError:
        return 0, 0
    epoch, seq = statement.chain_epoch, statement.seq
    return (epoch, seq) if epoch <= MAX_COUNTER and seq <= MAX_COUNTER else (0, 0)
