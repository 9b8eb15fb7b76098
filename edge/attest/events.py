"""What happened to the device itself: the events that its chain tells, as parts of statements. Pure."""

from __future__ import annotations

from edge.model import Hole, PeripheralKind, Position, ResetReason
from verifield.chain import ChainHead
from verifield.v1 import attestation_pb2 as pb


def enrolled(certificate_serial: str, *, predecessor_id: str = "") -> pb.DeviceEvent:
    """First record of a device. ``certificate_serial``: lower-case hex."""
    return pb.DeviceEvent(
        type=pb.DEVICE_EVENT_TYPE_ENROLLED,
        certificate_serial=certificate_serial,
        predecessor_id=predecessor_id,
    )


def reset(
    *, device_head: ChainHead | None, cloud_head: ChainHead | None, reason: ResetReason
) -> pb.DeviceEvent:
    """A new epoch begins. Both heads are cited, so that neither branch can be denied later."""
    event = pb.DeviceEvent(type=pb.DEVICE_EVENT_TYPE_RESET, reset=pb.Reset(reason=reason.value))
    if device_head is not None:
        event.reset.device_head.CopyFrom(_position(device_head))
    if cloud_head is not None:
        event.reset.cloud_head.CopyFrom(_position(cloud_head))
    return event


def gap(hole: Hole) -> pb.DeviceEvent:
    """Places of this epoch are lost for ever."""
    return pb.DeviceEvent(
        type=pb.DEVICE_EVENT_TYPE_GAP,
        gap=pb.Gap(
            first_seq=hole.first_seq,
            last_seq=hole.last_seq,
            last_sha256=hole.last_sha256,
            reason=hole.reason,
        ),
    )


def tombstone(position: Position, *, sha256: bytes, reason: str) -> pb.DeviceEvent:
    """The cloud refused the record at ``position``, whose envelope has the digest ``sha256``, for ever."""
    return pb.DeviceEvent(
        type=pb.DEVICE_EVENT_TYPE_TOMBSTONE,
        tombstone=pb.Tombstone(seq=position.seq, envelope_sha256=sha256, reason=reason),
    )


def peripheral(kind: PeripheralKind, *, previous_id: str, current_id: str) -> pb.DeviceEvent:
    """Another camera or reader than before; ``previous_id`` is empty where there was none."""
    return pb.DeviceEvent(
        type=pb.DEVICE_EVENT_TYPE_PERIPHERAL,
        peripheral=pb.Peripheral(
            kind=pb.PeripheralKind.Value(f"PERIPHERAL_KIND_{kind.value}"),
            previous_id=previous_id,
            current_id=current_id,
        ),
    )


def _position(head: ChainHead) -> pb.ChainPosition:
    return pb.ChainPosition(chain_epoch=head.epoch, seq=head.seq, envelope_sha256=head.sha256)
