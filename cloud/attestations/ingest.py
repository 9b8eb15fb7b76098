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
Steps 1 to 5 are in ``cloud.attestations.record``. What is INVALID or FORK is kept beside the chain; where
there is no room even for that, the answer is OUT_OF_ORDER, so that the device keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cloud.attestations.record import Place, Record, RecordReason, Refused
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1 import sync_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the device is told about one envelope."""

    status: pb.DeliverStatus.ValueType
    reason: str = ""
    expected_seq: int = 0


ACCEPTED = Verdict(pb.DELIVER_STATUS_ACCEPTED)
HAVE = Verdict(pb.DELIVER_STATUS_ALREADY_HAVE)
STAGED = Verdict(pb.DELIVER_STATUS_STAGED)


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


def judge_batch(records: Sequence[Record | Refused], books: Books) -> Judged:
    """Steps 6 to 11; the same bytes twice in a batch are judged once."""
    judged = Judged()
    head = books.epoch, books.seq
    for record in records:
        if record.sha256 in judged.verdicts:
            continue
        if isinstance(record, Refused):
            refuse(judged, record)
            continue
        place = record.place
        if books.stored.get(place) == record.sha256:  # step 6
            judged.verdicts[record.sha256] = HAVE
        elif reason := _unclaimed(record, books):  # step 7
            refuse(judged, Refused(record.envelope, record.sha256, reason, place))
        elif place[0] < books.epoch:
            _judge_closed(judged, record, books)  # step 8
        elif place <= head:
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


def _unclaimed(record: Record, books: Books) -> RecordReason | None:
    if record.site_id != books.site_id:
        return RecordReason.OTHER_SITE
    if record.key_protection != books.key_protection:
        return RecordReason.OTHER_KEY_PROTECTION
    if record.cosigner_key in books.device_keys:
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
    elif record.attestation_id in books.used_ids:  # step 11
        refuse(
            judged,
            Refused(record.envelope, record.sha256, RecordReason.ATTESTATION_ID_USED, record.place),
        )
    elif waiting is None:
        judged.candidates[record.place] = record
