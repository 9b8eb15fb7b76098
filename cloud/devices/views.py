"""Rows of the store as messages of DeviceService."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from cloud.sources import from_us
from cloud.store.alarms import AlarmRow
from cloud.store.devices import DeviceRow
from cloud.store.side import SideRow
from verifield.v1 import attestation_pb2
from verifield.v1 import device_service_pb2 as pb

ETAG_BYTES = 9
"""Of the digest: two states of one device never have the same by chance."""


def to_device(
    row: DeviceRow, *, staged: int = 0, open_alarms: int = 0, labels: Mapping[str, str] | None = None
) -> pb.Device:
    """A device with what its chain waits for; times that are not known stay absent.

    ``labels``: in ascending order of keys.
    """
    noted = [pb.DeviceLabel(key=key, value=value) for key, value in (labels or {}).items()]
    device = pb.Device(
        device_id=row.device_id,
        site_id=row.site_id,
        key_protection=attestation_pb2.KeyProtection.ValueType(row.key_protection),
        enrolled_time=to_timestamp(row.enrolled_us),
        chain_epoch=row.chain_epoch,
        seq=row.seq,
        last_delivery_time=_maybe(row.last_delivery_us),
        state=pb.DeviceState.ValueType(row.state),
        account_id=row.account_id,
        predecessor_id=row.predecessor_id or "",
        key_sha256=row.attestation_key_sha256,
        staged_records=staged,
        last_contact_time=_maybe(_last_contact_us(row)),
        open_alarms=open_alarms,
        labels=noted,
        residency_proved=row.residency,
    )
    device.etag = _etag(device)
    return device


def to_alarm(row: AlarmRow) -> pb.Alarm:
    """An alarm; the time of its acknowledgement is absent while it is open."""
    return pb.Alarm(
        alarm_id=row.alarm_id,
        device_id=row.device_id,
        kind=pb.AlarmKind.ValueType(row.kind),
        raised_time=to_timestamp(row.raised_us),
        chain_epoch=row.chain_epoch,
        seq=row.seq,
        reason=row.reason,
        acknowledged_time=_maybe(row.acknowledged_us),
    )


def to_side_record(row: SideRow, *, with_content: bool) -> pb.SideRecord:
    """A record that is in no chain; its bytes only where they were asked for."""
    return pb.SideRecord(
        kind=pb.SideRecordKind.ValueType(row.kind),
        device_id=row.device_id,
        chain_epoch=row.chain_epoch,
        seq=row.seq,
        sha256=row.sha256,
        reason=row.reason,
        received_time=to_timestamp(row.received_us),
        content=row.content if with_content else b"",
    )


def to_timestamp(microseconds: int) -> Timestamp:
    """The protobuf time of a stored time."""
    stamp = Timestamp()
    stamp.FromDatetime(from_us(microseconds))
    return stamp


def _etag(device: pb.Device) -> str:
    """A digest of what operators change; what devices change by themselves does not stand in their way."""
    changed = pb.Device(
        device_id=device.device_id,
        site_id=device.site_id,
        state=device.state,
        account_id=device.account_id,
        predecessor_id=device.predecessor_id,
        labels=device.labels,
    )
    digest = hashlib.sha256(changed.SerializeToString(deterministic=True)).digest()
    return base64.urlsafe_b64encode(digest[:ETAG_BYTES]).decode()


def _maybe(microseconds: int | None) -> Timestamp | None:
    return None if microseconds is None else to_timestamp(microseconds)


def _last_contact_us(row: DeviceRow) -> int | None:
    """Contacts are noted to the minute, deliveries exactly."""
    known = [us for us in (row.last_contact_us, row.last_delivery_us) if us is not None]
    return max(known, default=None)
