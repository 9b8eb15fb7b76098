"""DeviceService: the operator lets devices in, watches them, and ends them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices.directives import send_directive
from cloud.devices.enrollment import approve, check_predecessor, cleared_state
from cloud.devices.revocation import current_list, revoke
from cloud.devices.tokens import JOIN_PREFIX, SECRET_BYTES, encode_token, token_sha256
from cloud.devices.views import to_alarm, to_device, to_side_record, to_timestamp
from cloud.errors import Reason, ServiceError
from cloud.paging import check_page_size, encode_page_token, parse_page_token
from cloud.sources import Sources, to_us
from cloud.store import alarms, side, staging
from cloud.store import devices as rows
from cloud.store.database import Store
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.device_service_pb2_grpc import DeviceServiceServicer

DEFAULT_TTL = timedelta(days=1)
MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=30)
"""A token is a key to the deployment: it should not lie about for long."""

MAX_SIDE_PAGE = 100
MAX_SIDE_CONTENT_PAGE = 16
"""Records of at most 64 KiB each: with their bytes, a page stays well below a message's 4 MiB."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class DeviceService(DeviceServiceServicer):
    """``resume`` lets the chain of a device go on, after a person has looked into its alarms."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        sources: Sources,
        *,
        resume: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._authority = authority
        self._sources = sources
        self._resume = resume

    async def CreateJoinToken(
        self, request: pb.CreateJoinTokenRequest, context: Context
    ) -> pb.CreateJoinTokenResponse:
        site_id = check_site(request.site_id)
        account_id = check_account(request.account_id)
        now = self._sources.now()
        expires = now + parse_ttl(request)
        token = encode_token(JOIN_PREFIX, self._sources.random_bytes(SECRET_BYTES))

        def write(connection: Connection) -> None:
            if request.predecessor_id:
                check_predecessor(connection, request.predecessor_id)
            rows.add_join_token(
                connection,
                token_sha256=token_sha256(token),
                site_id=site_id,
                created_us=to_us(now),
                expires_us=to_us(expires),
                account_id=account_id,
                predecessor_id=request.predecessor_id or None,
                waive_approval=request.waive_approval,
            )

        await self._write(write)
        return pb.CreateJoinTokenResponse(join_token=token, expire_time=to_timestamp(to_us(expires)))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        size = check_page_size(request.page_size)
        filters = f"devices {request.state} {request.site_id}"
        after = parse_page_token(request.page_token, filters=filters)

        def read(connection: Connection) -> tuple[list[pb.Device], bool]:
            found = rows.list_devices(
                connection, after=after, limit=size + 1, state=request.state, site_id=request.site_id
            )
            return _describe(connection, found[:size]), len(found) > size

        devices, more = await self._read(read)
        return pb.ListDevicesResponse(
            devices=devices,
            next_page_token=encode_page_token(devices[-1].device_id, filters=filters) if more else "",
        )

    async def GetDevice(self, request: pb.GetDeviceRequest, context: Context) -> pb.GetDeviceResponse:
        return pb.GetDeviceResponse(
            device=await self._read(lambda connection: _device(connection, request.device_id))
        )

    async def ApproveDevice(
        self, request: pb.ApproveDeviceRequest, context: Context
    ) -> pb.ApproveDeviceResponse:
        def write(connection: Connection) -> pb.Device:
            approve(connection, request.device_id, key_sha256=request.key_sha256)
            return _device(connection, request.device_id)

        return pb.ApproveDeviceResponse(device=await self._write(write))

    async def RevokeDevice(
        self, request: pb.RevokeDeviceRequest, context: Context
    ) -> pb.RevokeDeviceResponse:
        def write(connection: Connection) -> pb.Device:
            _known(connection, request.device_id, lock=True)  # no certificate is issued meanwhile
            revoke(
                connection,
                self._authority,
                self._sources,
                device_id=request.device_id,
                reason=request.reason,
            )
            return _device(connection, request.device_id)

        return pb.RevokeDeviceResponse(device=await self._write(write))

    async def SendDirective(
        self, request: pb.SendDirectiveRequest, context: Context
    ) -> pb.SendDirectiveResponse:
        def write(connection: Connection) -> str:
            _known(connection, request.device_id, lock=True)
            return send_directive(
                connection,
                self._authority,
                self._sources,
                device_id=request.device_id,
                action=request.action,
                reason=request.reason,
            )

        return pb.SendDirectiveResponse(directive_id=await self._write(write))

    async def ListAlarms(self, request: pb.ListAlarmsRequest, context: Context) -> pb.ListAlarmsResponse:
        size = check_page_size(request.page_size)
        filters = f"alarms {request.device_id} {request.open_only}"
        before = parse_page_token(request.page_token, filters=filters)

        def read(connection: Connection) -> list[alarms.AlarmRow]:
            return alarms.list_alarms(
                connection,
                before=before,
                limit=size + 1,
                device_id=request.device_id,
                open_only=request.open_only,
            )

        found = await self._read(read)
        page = found[:size]
        more = len(found) > size
        return pb.ListAlarmsResponse(
            alarms=[to_alarm(row) for row in page],
            next_page_token=encode_page_token(page[-1].alarm_id, filters=filters) if more else "",
        )

    async def AcknowledgeAlarm(
        self, request: pb.AcknowledgeAlarmRequest, context: Context
    ) -> pb.AcknowledgeAlarmResponse:
        def write(connection: Connection) -> alarms.AlarmRow:
            return acknowledge(connection, request.alarm_id, now_us=to_us(self._sources.now()))

        alarm = to_alarm(await self._write(write))
        await self._resume(alarm.device_id)
        return pb.AcknowledgeAlarmResponse(alarm=alarm)

    async def ListSideRecords(
        self, request: pb.ListSideRecordsRequest, context: Context
    ) -> pb.ListSideRecordsResponse:
        limit = MAX_SIDE_CONTENT_PAGE if request.with_content else MAX_SIDE_PAGE
        size = min(check_page_size(request.page_size), limit)
        filters = f"side {request.device_id} {request.with_content}"
        before = parse_page_token(request.page_token, filters=filters)

        def read(connection: Connection) -> list[side.SideRow]:
            return side.list_side_records(
                connection, before=before, limit=size + 1, device_id=request.device_id
            )

        found = await self._read(read)
        page = found[:size]
        more = len(found) > size
        return pb.ListSideRecordsResponse(
            records=[to_side_record(row, with_content=request.with_content) for row in page],
            next_page_token=encode_page_token(page[-1].record_id, filters=filters) if more else "",
        )

    async def GetRevocationList(
        self, request: pb.GetRevocationListRequest, context: Context
    ) -> pb.GetRevocationListResponse:
        return pb.GetRevocationListResponse(
            revocation_list=await self._read(
                lambda connection: current_list(connection, self._authority, self._sources)
            )
        )

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._store.reading() as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._store.writing() as connection:
                return work(connection)

        return await asyncio.to_thread(run)


def acknowledge(connection: Connection, alarm_id: str, *, now_us: int) -> alarms.AlarmRow:
    """Close an alarm; a suspended device goes on once none of its alarms is open. Twice is fine.

    Raises:
        ServiceError: ALARM_NOT_FOUND.
    """
    row = alarms.get_alarm(connection, alarm_id)
    if row is None:
        raise ServiceError(Reason.ALARM_NOT_FOUND, "There is no such alarm.")
    device = _known(connection, row.device_id, lock=True)
    alarms.acknowledge(connection, row, now_us=now_us)
    if device.state == pb.DEVICE_STATE_SUSPENDED and not alarms.has_open(connection, row.device_id):
        rows.set_state(connection, row.device_id, cleared_state(connection, row.device_id))
    return alarms.get_alarm(connection, alarm_id) or row


def check_site(site_id: str) -> str:
    """Return a site id that is fit for logs and file names.

    Raises:
        ServiceError: it is not.
    """
    if not _PLAIN_ID.fullmatch(site_id):
        raise ServiceError(
            Reason.SITE_INVALID, "The site id is missing or has characters that are not allowed."
        )
    return site_id


def check_account(account_id: str) -> str:
    """Return an account id, which may be empty.

    Raises:
        ServiceError: it has characters that are not allowed.
    """
    if account_id and not _PLAIN_ID.fullmatch(account_id):
        raise ServiceError(Reason.ACCOUNT_INVALID, "The account id has characters that are not allowed.")
    return account_id


def parse_ttl(request: pb.CreateJoinTokenRequest) -> timedelta:
    """Return how long the token is good for.

    Raises:
        ServiceError: out of range.
    """
    if not request.HasField("ttl"):
        return DEFAULT_TTL
    seconds = request.ttl.seconds + request.ttl.nanos / 1e9
    if not MIN_TTL.total_seconds() <= seconds <= MAX_TTL.total_seconds():
        raise ServiceError(Reason.TTL_OUT_OF_RANGE, "The token's lifetime is out of range.")
    return timedelta(seconds=seconds)


def _known(connection: Connection, device_id: str, *, lock: bool = False) -> rows.DeviceRow:
    row = rows.get_device(connection, device_id, lock=lock)
    if row is None:
        raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no such device.")
    return row


def _device(connection: Connection, device_id: str) -> pb.Device:
    return _describe(connection, [_known(connection, device_id)])[0]


def _describe(connection: Connection, found: Sequence[rows.DeviceRow]) -> list[pb.Device]:
    ids = [row.device_id for row in found]
    waiting, raised = staging.count_staged(connection, ids), alarms.count_open(connection, ids)
    return [
        to_device(row, staged=waiting.get(row.device_id, 0), open_alarms=raised.get(row.device_id, 0))
        for row in found
    ]
