"""What operators change about devices, each in one transaction."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.devices.enrollment import cleared_state
from cloud.devices.lists import describe
from cloud.errors import Reason, ServiceError
from cloud.store import alarms, labels
from cloud.store import devices as rows
from verifield.v1 import device_service_pb2 as pb


def known_device(connection: Connection, device_id: str, *, lock: bool = False) -> rows.DeviceRow:
    """Read a device; with ``lock`` nobody else changes it meanwhile.

    Raises:
        ServiceError: DEVICE_NOT_FOUND.
    """
    row = rows.get_device(connection, device_id, lock=lock)
    if row is None:
        raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no such device.")
    return row


def show_device(connection: Connection, device_id: str) -> pb.Device:
    """A device as it is now.

    Raises:
        ServiceError: DEVICE_NOT_FOUND.
    """
    return describe(connection, [known_device(connection, device_id)])[0]


def update_device(connection: Connection, request: pb.UpdateDeviceRequest) -> pb.Device:
    """Set what operators note about a device.

    Raises:
        ServiceError: UPDATE_MASK_INVALID, DEVICE_NOT_FOUND, or ETAG_MISMATCH where others have changed it
            since it was read.
    """
    if not {"labels"}.issuperset(request.update_mask.paths):  # the contract's rule lets through what is below
        raise ServiceError(Reason.UPDATE_MASK_INVALID, "What can be changed is labels, all at once.")
    wanted = request.device
    noted = {label.key: label.value for label in wanted.labels}
    if len(noted) != len(wanted.labels):
        refuse_field("device.labels", rule="labels.unique", why="has a key twice")
    known_device(connection, wanted.device_id, lock=True)
    if request.etag and request.etag != show_device(connection, wanted.device_id).etag:
        raise ServiceError(Reason.ETAG_MISMATCH, "The device was changed since it was read.")
    # One field can be changed: a mask that is given names it, and one that is absent means it.
    labels.set_labels(connection, wanted.device_id, noted)
    return show_device(connection, wanted.device_id)


def acknowledge(connection: Connection, alarm_id: str, *, now_us: int) -> alarms.AlarmRow:
    """Close an alarm; a suspended device goes on once none of its alarms is open. Twice is fine.

    Raises:
        ServiceError: ALARM_NOT_FOUND.
    """
    row = alarms.get_alarm(connection, alarm_id)
    if row is None:
        raise ServiceError(Reason.ALARM_NOT_FOUND, "There is no such alarm.")
    device = known_device(connection, row.device_id, lock=True)
    alarms.acknowledge(connection, row, now_us=now_us)
    if device.state == pb.DEVICE_STATE_SUSPENDED and not alarms.has_open(connection, row.device_id):
        rows.set_state(connection, row.device_id, cleared_state(connection, row.device_id))
    return alarms.get_alarm(connection, alarm_id) or row
