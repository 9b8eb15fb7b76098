"""Pages of devices, alarms and side records, as their requests ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from cloud.api.filter_sql import Field, Keyed, choice, moment, number, read_filter, text
from cloud.devices.views import to_alarm, to_device, to_side_record
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import alarms as alarm_rows
from cloud.store import labels, lists, scans, side, staging
from cloud.store.devices import DeviceRow
from cloud.store.schema import alarms, devices
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.attestation_pb2 import KeyProtection

MAX_SIDE_CONTENT_PAGE = 16
"""Records of at most 64 KiB each: with their bytes, a page stays well below a message's 4 MiB."""

DEVICE_FIELDS: Mapping[str, Field | Keyed] = {
    "device_id": text(devices.c.device_id),
    "site_id": text(devices.c.site_id),
    "account_id": text(devices.c.account_id),
    "predecessor_id": text(devices.c.predecessor_id),
    "state": choice(devices.c.state, pb.DeviceState),
    "key_protection": choice(devices.c.key_protection, KeyProtection),
    "enrolled_time": moment(devices.c.enrolled_us),
    "last_delivery_time": moment(devices.c.last_delivery_us),
    "last_contact_time": moment(devices.c.last_contact_us),
    "labels": Keyed(labels.has_label),
}

ALARM_FIELDS: Mapping[str, Field | Keyed] = {
    "alarm_id": text(alarms.c.alarm_id),
    "device_id": text(alarms.c.device_id),
    "kind": choice(alarms.c.kind, pb.AlarmKind),
    "reason": text(alarms.c.reason),
    "chain_epoch": number(alarms.c.chain_epoch),
    "seq": number(alarms.c.seq),
    "raised_time": moment(alarms.c.raised_us),
    "acknowledged_time": moment(alarms.c.acknowledged_us),
}


def list_devices(connection: Connection, request: pb.ListDevicesRequest) -> pb.ListDevicesResponse:
    """One page of devices.

    Raises:
        ServiceError: FILTER_INVALID or PAGE_TOKEN_INVALID.
    """
    wanted = read_filter(request.filter, DEVICE_FIELDS)
    asked = f"devices {request.state} {request.site_id} {request.order_by} {request.filter}"
    after = parse_page_token(request.page_token, filters=asked)
    begin = lists.Begin(after or None, descending=request.order_by.endswith(" desc"))
    page = scans.read_page(
        connection,
        partial(lists.select_devices, begin, state=request.state, site_id=request.site_id),
        size=page_size(request.page_size),
        position="device_id",
        descending=begin.descending,
        condition=wanted.condition if wanted else None,
    )
    return pb.ListDevicesResponse(
        devices=describe(connection, [DeviceRow(**row._mapping) for row in page.rows]),
        next_page_token="" if page.end is None else encode_page_token(page.end, filters=asked),
    )


def list_alarms(connection: Connection, request: pb.ListAlarmsRequest) -> pb.ListAlarmsResponse:
    """One page of alarms; errors as :func:`list_devices`."""
    wanted = read_filter(request.filter, ALARM_FIELDS)
    device_id = request.device_id or (wanted and wanted.pinned("device_id")) or ""
    asked = f"alarms {request.device_id} {request.open_only} {request.order_by} {request.filter}"
    before = parse_page_token(request.page_token, filters=asked)
    begin = lists.Begin(before or None, descending=request.order_by != "alarm_id")
    page = scans.read_page(
        connection,
        partial(lists.select_alarms, begin, device_id=device_id, open_only=request.open_only),
        size=page_size(request.page_size),
        position="alarm_id",
        descending=begin.descending,
        condition=wanted.condition if wanted else None,
    )
    return pb.ListAlarmsResponse(
        alarms=[to_alarm(alarm_rows.AlarmRow(**row._mapping)) for row in page.rows],
        next_page_token="" if page.end is None else encode_page_token(page.end, filters=asked),
    )


def list_side_records(
    connection: Connection, request: pb.ListSideRecordsRequest
) -> pb.ListSideRecordsResponse:
    """One page of what is in no chain, newest first; errors as :func:`list_devices`."""
    size = page_size(request.page_size)
    if request.with_content:
        size = min(size, MAX_SIDE_CONTENT_PAGE)
    asked = f"side {request.device_id} {request.with_content}"
    before = parse_page_token(request.page_token, filters=asked)
    found = side.list_side_records(connection, before=before, limit=size + 1, device_id=request.device_id)
    page = found[:size]
    return pb.ListSideRecordsResponse(
        records=[to_side_record(row, with_content=request.with_content) for row in page],
        next_page_token=encode_page_token(page[-1].record_id, filters=asked) if len(found) > size else "",
    )


def describe(connection: Connection, found: Sequence[DeviceRow]) -> list[pb.Device]:
    """Devices with all that stands about them in other tables."""
    ids = [row.device_id for row in found]
    waiting, raised = staging.count_staged(connection, ids), alarm_rows.count_open(connection, ids)
    noted = labels.get_labels(connection, ids)
    return [
        to_device(
            row,
            staged=waiting.get(row.device_id, 0),
            open_alarms=raised.get(row.device_id, 0),
            labels=noted.get(row.device_id, {}),
        )
        for row in found
    ]
