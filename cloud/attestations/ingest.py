"""The rules of delivery, without I/O: what becomes of each envelope of a batch.

    1  the bytes are an envelope                                         else INVALID
    2  one of its signatures is by the device's attestation key          else INVALID
    3  the payload is a statement of a known kind, and keeps its rules   else INVALID
    4  it names the device that delivers it                              else INVALID
    5  a decision by people is signed by the second person too           else INVALID
    6  the same bytes have its place in the chain                        ALREADY_HAVE
    7  it states the site and key protection of the device's enrolment,
       and no device's key stands in for the second person's             else INVALID
    8  its epoch is closed                                               FORK
       and where no RESET tells of it, two devices use one key: suspended until a person has looked;
       but not where the device went through that epoch and left it with a RESET which came too late
    9  its place is at or below the head: refused before, and given up   INVALID
                                          given up as lost               STAGED (kept beside)
                                          other bytes have it            FORK
    10 other bytes wait for its place                                    FORK
    11 its attestation id was not used before                            else INVALID
    12 its turn comes (``cloud.attestations.advance``)                   ACCEPTED, or FORK where it
                                                                         names another predecessor
    13 there is room to let it wait                                      STAGED, else OUT_OF_ORDER

Step 7 keeps a device from claiming what nobody checked: a receipt would carry the claim to verifiers.
Only bytes whose signature holds are parsed as a statement, and the bytes received are what is stored.
What is INVALID or FORK is kept beside the chain; where there is no room even for that, the answer is
OUT_OF_ORDER, so that the device keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from verifield.chain import envelope_sha256, excuses_of
from verifield.cosign import check_cosignature
from verifield.dsse import MAX_ENVELOPE_BYTES, check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.rules import MAX_COUNTER
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope

Place = tuple[int, int]
"""Epoch and seq."""


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


@dataclass(frozen=True, slots=True)
class Record:
    """An envelope that passed steps 1 to 5; ``envelope`` as received, ``leaf`` its hash in the log."""

    envelope: bytes
    sha256: bytes
    leaf: bytes
    certificate_sha256: bytes
    statement: Statement

    @property
    def place(self) -> Place:
        return self.statement.chain_epoch, self.statement.seq

    @property
    def excusing(self) -> bool:
        return excuses_of(self.statement) is not None


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that did not pass; ``place`` is what they claim, zeros where nothing could be read."""

    envelope: bytes
    sha256: bytes
    reason: str
    place: Place = (0, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the device is told about one envelope."""

    status: pb.DeliverStatus.ValueType
    reason: str = ""
    expected_seq: int = 0


@dataclass(frozen=True, slots=True)
class Aside:
    """Bytes to be kept beside the chain; ``alarm`` is raised unless they are kept already."""

    kind: devices_pb.SideRecordKind.ValueType
    place: Place
    sha256: bytes
    content: bytes = field(repr=False)
    reason: str
    alarm: devices_pb.AlarmKind.ValueType | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """What the store knows of a device, as far as a batch asks for it.

    ``epoch`` and ``seq``: the chain's head, seq 0 for none. By place: digests that are ``stored`` and
    that are ``staged``; ``lost``, what a GAP has given up; with their digests, what ``tombstones`` have.
    ``branches``: digests of other branches that are kept. ``told``: by epoch, the newest seq that a
    RESET names as the device's own. ``left``: epochs of which nobody can tell where the device's own
    records end, because it went on from there with a RESET that came too late. ``used_ids``: attestation
    ids in the store. ``device_keys``: second persons' keys that are those of devices.
    """

    site_id: str
    key_protection: int
    epoch: int
    seq: int
    stored: Mapping[Place, bytes] = field(default_factory=dict)
    staged: Mapping[Place, bytes] = field(default_factory=dict)
    lost: Collection[Place] = ()
    tombstones: Collection[tuple[int, int, bytes]] = ()
    branches: Collection[bytes] = ()
    told: Mapping[int, int] = field(default_factory=dict)
    left: Collection[int] = ()
    used_ids: Collection[str] = ()
    device_keys: Collection[bytes] = ()


@dataclass(slots=True)
class Judged:
    """Steps 6 to 11: ``verdicts`` by digest for what is decided, ``candidates`` by place for the rest."""

    verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    candidates: dict[Place, Record] = field(default_factory=dict)
    asides: list[Aside] = field(default_factory=list)
    suspend: bool = False


def verify_record(
    envelope: bytes, *, key: ec.EllipticCurvePublicKey, certificate_der: bytes, device_id: str
) -> Record | Refused:
    """Steps 1 to 5. ``key`` is that of ``certificate_der``, which the caller has checked."""
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
    return Record(
        envelope=envelope,
        sha256=digest,
        leaf=leaf_hash(log_leaf(parsed, certificate_der)),
        certificate_sha256=sha256(certificate_der).digest(),
        statement=statement,
    )


def judge_batch(records: Sequence[Record | Refused], books: Books) -> Judged:
    """Steps 6 to 11; the same bytes twice in a batch are judged once."""
    judged = Judged()
    for record in records:
        if record.sha256 in judged.verdicts:
            continue
        if isinstance(record, Refused):
            refuse(judged, record)
            continue
        if books.stored.get(record.place) == record.sha256:  # step 6
            judged.verdicts[record.sha256] = Verdict(pb.DELIVER_STATUS_ALREADY_HAVE)
        elif reason := _unclaimed(record.statement, books):  # step 7
            refuse(judged, Refused(record.envelope, record.sha256, reason, record.place))
        elif record.statement.chain_epoch < books.epoch:
            _judge_closed(judged, record, books)  # step 8
        elif record.statement.chain_epoch == books.epoch and record.statement.seq <= books.seq:
            _judge_passed(judged, record, books)  # step 9
        else:
            _judge_coming(judged, record, books)  # steps 10 and 11
    return judged


def refuse(judged: Judged, record: Refused) -> None:
    """INVALID, and kept."""
    judged.verdicts[record.sha256] = Verdict(pb.DELIVER_STATUS_INVALID, reason=record.reason)
    judged.asides.append(
        Aside(
            devices_pb.SIDE_RECORD_KIND_REFUSED,
            record.place,
            record.sha256,
            record.envelope,
            record.reason,
            devices_pb.ALARM_KIND_REFUSED,
        )
    )


def branch_off(
    judged: Judged,
    record: Record,
    reason: RecordReason,
    *,
    status: pb.DeliverStatus.ValueType = pb.DELIVER_STATUS_FORK,
    alarm: devices_pb.AlarmKind.ValueType | None = devices_pb.ALARM_KIND_FORK,
) -> None:
    """FORK, and kept."""
    judged.verdicts[record.sha256] = Verdict(status)
    judged.asides.append(
        Aside(
            devices_pb.SIDE_RECORD_KIND_BRANCH,
            record.place,
            record.sha256,
            record.envelope,
            reason,
            alarm,
        )
    )


def _unclaimed(statement: Statement, books: Books) -> RecordReason | None:
    if statement.site.site_id != books.site_id:
        return RecordReason.OTHER_SITE
    if statement.assurance.key_protection != books.key_protection:
        return RecordReason.OTHER_KEY_PROTECTION
    if statement.manual.cosigner_key in books.device_keys:
        return RecordReason.COSIGNER_IS_DEVICE
    return None


def _judge_closed(judged: Judged, record: Record, books: Books) -> None:
    epoch, seq = record.place
    if record.sha256 in books.branches or seq <= books.told.get(epoch, 0):
        branch_off(judged, record, RecordReason.CLOSED_EPOCH, alarm=None)
    elif epoch in books.left:
        branch_off(judged, record, RecordReason.CLOSED_EPOCH)
    else:
        branch_off(judged, record, RecordReason.CLOSED_EPOCH, alarm=devices_pb.ALARM_KIND_CLONE)
        judged.suspend = True


def _judge_passed(judged: Judged, record: Record, books: Books) -> None:
    if (*record.place, record.sha256) in books.tombstones:
        judged.verdicts[record.sha256] = Verdict(pb.DELIVER_STATUS_INVALID, reason=RecordReason.GIVEN_UP)
    elif record.place in books.lost and record.place not in books.stored:
        # It turned up after all, for example on a stick: nothing that the device should act on.
        branch_off(judged, record, RecordReason.GIVEN_UP, status=pb.DELIVER_STATUS_STAGED, alarm=None)
    else:
        branch_off(judged, record, RecordReason.OTHER_BYTES)


def _judge_coming(judged: Judged, record: Record, books: Books) -> None:
    other = judged.candidates.get(record.place)
    waiting = other.sha256 if other else books.staged.get(record.place)
    if waiting not in {None, record.sha256}:  # step 10
        branch_off(judged, record, RecordReason.OTHER_BYTES)
    elif record.statement.attestation_id in books.used_ids:  # step 11
        refuse(
            judged,
            Refused(record.envelope, record.sha256, RecordReason.ATTESTATION_ID_USED, record.place),
        )
    elif waiting is None:
        judged.candidates[record.place] = record


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
