"""Device events other than the enrolment, and the optional parts of a verification, for tests."""

from __future__ import annotations

from datetime import datetime

from tests.support.authority import NOW, SALT, Device, base_statement
from verifield.chain import ChainHead
from verifield.commitments import commit
from verifield.v1 import attestation_pb2 as pb

DIGEST = bytes(range(1, 33))
MEDIA_CONTENT = b"the picture before encryption"


def place(head: ChainHead) -> pb.ChainPosition:
    return pb.ChainPosition(chain_epoch=head.epoch, seq=head.seq, envelope_sha256=head.sha256)


def reset_event(
    device: Device,
    *,
    epoch: int | None = None,
    cloud_head: ChainHead | None = None,
    reason: str = "STORE_BEHIND",
    at: datetime = NOW,
    cites: bytes = b"",
) -> pb.Statement:
    """Return the RESET with which ``device`` begins its next epoch."""
    statement = _event(device, pb.DEVICE_EVENT_TYPE_RESET, at=at, cites=cites)
    statement.chain_epoch = epoch or (device.head.epoch if device.head else 1) + 1
    statement.seq = 1
    statement.previous_envelope_sha256 = b""
    reset = statement.device_event.reset
    reset.reason = reason
    if device.head is not None:
        reset.device_head.CopyFrom(place(device.head))
    if cloud_head is not None:
        reset.cloud_head.CopyFrom(place(cloud_head))
    return statement


def gap_event(
    device: Device,
    *,
    first: int,
    last: int,
    last_sha256: bytes = DIGEST,
    reason: str = "DAMAGED",
    at: datetime = NOW,
    cites: bytes = b"",
) -> pb.Statement:
    statement = _event(device, pb.DEVICE_EVENT_TYPE_GAP, at=at, cites=cites)
    statement.device_event.gap.CopyFrom(
        pb.Gap(first_seq=first, last_seq=last, last_sha256=last_sha256, reason=reason)
    )
    return statement


def tombstone_event(
    device: Device,
    *,
    seq: int,
    envelope_sha256: bytes = DIGEST,
    reason: str = "MALFORMED",
    at: datetime = NOW,
    cites: bytes = b"",
) -> pb.Statement:
    statement = _event(device, pb.DEVICE_EVENT_TYPE_TOMBSTONE, at=at, cites=cites)
    statement.device_event.tombstone.CopyFrom(
        pb.Tombstone(seq=seq, envelope_sha256=envelope_sha256, reason=reason)
    )
    return statement


def peripheral_event(
    device: Device, *, previous: str = "usb-1", current: str = "usb-2", at: datetime = NOW, cites: bytes = b""
) -> pb.Statement:
    statement = _event(device, pb.DEVICE_EVENT_TYPE_PERIPHERAL, at=at, cites=cites)
    statement.device_event.peripheral.CopyFrom(
        pb.Peripheral(kind=pb.PERIPHERAL_KIND_CAMERA, previous_id=previous, current_id=current)
    )
    return statement


def add_session(statement: pb.Statement) -> None:
    """Add a session with consent, a notice and a customer's field, a gallery search and a file."""
    statement.session.CopyFrom(
        pb.Session(
            session_id=bytes(16),
            consent=pb.TextShown(text_id="consent", text_sha256=DIGEST, accepted=True),
            earlier_records_shown=2,
            notices=[pb.TextShown(text_id="fees", text_sha256=DIGEST, accepted=True)],
            fields=[_commitment("customer.phone", b"13800000000")],
        )
    )
    statement.gallery.CopyFrom(
        pb.GallerySearch(
            gallery_version=7,
            size=120,
            candidates=[
                pb.GalleryCandidate(candidate_id="p-1", score=0.3),
                pb.GalleryCandidate(candidate_id="p-2", score=0.2),
            ],
            decision=pb.GALLERY_DECISION_UNKNOWN,
        )
    )
    statement.media.append(
        pb.MediaReference(
            name="best_shot",
            sha256=DIGEST,
            size_bytes=77,
            content_commitment=commit(field="media.best_shot", value=MEDIA_CONTENT, salt=SALT),
        )
    )
    statement.operator.operator_id = "op-1"
    del statement.operator.factors[:]
    statement.operator.factors.extend([pb.AUTHENTICATION_FACTOR_PIN, pb.AUTHENTICATION_FACTOR_FACE])
    statement.standing = pb.STANDING_NORMAL


def _commitment(field: str, value: bytes) -> pb.Commitment:
    return pb.Commitment(field=field, digest=commit(field=field, value=value, salt=SALT))


def _event(device: Device, kind: pb.DeviceEventType.ValueType, *, at: datetime, cites: bytes) -> pb.Statement:
    statement = base_statement(device, at=at, cites=cites)
    statement.kind = pb.RECORD_KIND_DEVICE_EVENT
    statement.device_event.type = kind
    return statement
