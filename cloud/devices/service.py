"""DeviceService: the operator lets devices in, watches them, and ends them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices.changes import acknowledge, known_device, show_device, update_device
from cloud.devices.directives import send_directive
from cloud.devices.enrollment import approve, check_predecessor
from cloud.devices.lists import list_alarms, list_devices, list_side_records
from cloud.devices.revocation import current_list, revoke
from cloud.devices.tokens import JOIN_PREFIX, SECRET_BYTES, encode_token, token_sha256
from cloud.devices.views import to_alarm, to_timestamp
from cloud.mutations import Mutations
from cloud.sources import Sources, to_us
from cloud.store import devices as rows
from cloud.store.database import Store
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.device_service_pb2_grpc import DeviceServiceServicer
from verifield.v1.policy_pb2 import DirectiveAction

DEFAULT_TTL = timedelta(days=1)
"""A token is a key to the deployment: it should not lie about for long."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class DeviceService(DeviceServiceServicer):
    """``resume`` lets the chain of a device go on, after a person has looked into its alarms."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        sources: Sources,
        mutations: Mutations,
        *,
        resume: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._authority = authority
        self._sources = sources
        self._mutations = mutations
        self._resume = resume

    async def CreateJoinToken(
        self, request: pb.CreateJoinTokenRequest, context: Context
    ) -> pb.CreateJoinTokenResponse:
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else DEFAULT_TTL

        def work(connection: Connection) -> pb.CreateJoinTokenResponse:
            if request.predecessor_id:
                check_predecessor(connection, request.predecessor_id)
            token = encode_token(JOIN_PREFIX, self._sources.random_bytes(SECRET_BYTES))
            now = self._sources.now()
            expires_us = to_us(now + ttl)
            rows.add_join_token(
                connection,
                token_sha256=token_sha256(token),
                site_id=request.site_id,
                created_us=to_us(now),
                expires_us=expires_us,
                account_id=request.account_id,
                predecessor_id=request.predecessor_id or None,
                waive_approval=request.waive_approval,
            )
            return pb.CreateJoinTokenResponse(join_token=token, expire_time=to_timestamp(expires_us))

        return await self._mutations.run(
            request,
            action="devices.create_join_token",
            subject=f"sites/{request.site_id}",
            work=work,
            facts={"waive_approval": str(request.waive_approval).lower()},
        )

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        return await self._store.look(lambda connection: list_devices(connection, request))

    async def GetDevice(self, request: pb.GetDeviceRequest, context: Context) -> pb.GetDeviceResponse:
        return pb.GetDeviceResponse(
            device=await self._store.look(lambda connection: show_device(connection, request.device_id))
        )

    async def UpdateDevice(
        self, request: pb.UpdateDeviceRequest, context: Context
    ) -> pb.UpdateDeviceResponse:
        return await self._mutations.run(
            request,
            action="devices.update",
            subject=f"devices/{request.device.device_id}",
            work=lambda connection: pb.UpdateDeviceResponse(device=update_device(connection, request)),
        )

    async def ApproveDevice(
        self, request: pb.ApproveDeviceRequest, context: Context
    ) -> pb.ApproveDeviceResponse:
        def work(connection: Connection) -> pb.ApproveDeviceResponse:
            approve(connection, request.device_id, key_sha256=request.key_sha256)
            return pb.ApproveDeviceResponse(device=show_device(connection, request.device_id))

        return await self._mutations.run(
            request, action="devices.approve", subject=f"devices/{request.device_id}", work=work
        )

    async def RevokeDevice(
        self, request: pb.RevokeDeviceRequest, context: Context
    ) -> pb.RevokeDeviceResponse:
        def work(connection: Connection) -> pb.RevokeDeviceResponse:
            known_device(connection, request.device_id, lock=True)  # no certificate is issued meanwhile
            revoke(
                connection,
                self._authority,
                self._sources,
                device_id=request.device_id,
                reason=request.reason,
            )
            return pb.RevokeDeviceResponse(device=show_device(connection, request.device_id))

        return await self._mutations.run(
            request,
            action="devices.revoke",
            subject=f"devices/{request.device_id}",
            work=work,
            facts={"reason": pb.RevocationReason.Name(request.reason)},
        )

    async def SendDirective(
        self, request: pb.SendDirectiveRequest, context: Context
    ) -> pb.SendDirectiveResponse:
        def work(connection: Connection) -> pb.SendDirectiveResponse:
            known_device(connection, request.device_id, lock=True)
            directive_id = send_directive(
                connection,
                self._authority,
                self._sources,
                device_id=request.device_id,
                action=request.action,
                reason=request.reason,
            )
            return pb.SendDirectiveResponse(directive_id=directive_id)

        return await self._mutations.run(
            request,
            action="devices.send_directive",
            subject=f"devices/{request.device_id}",
            work=work,
            facts={"action": DirectiveAction.Name(request.action)},
        )

    async def ListAlarms(self, request: pb.ListAlarmsRequest, context: Context) -> pb.ListAlarmsResponse:
        return await self._store.look(lambda connection: list_alarms(connection, request))

    async def AcknowledgeAlarm(
        self, request: pb.AcknowledgeAlarmRequest, context: Context
    ) -> pb.AcknowledgeAlarmResponse:
        def work(connection: Connection) -> pb.AcknowledgeAlarmResponse:
            row = acknowledge(connection, request.alarm_id, now_us=to_us(self._sources.now()))
            return pb.AcknowledgeAlarmResponse(alarm=to_alarm(row))

        answer = await self._mutations.run(
            request, action="devices.acknowledge_alarm", subject=f"alarms/{request.alarm_id}", work=work
        )
        await self._resume(answer.alarm.device_id)
        return answer

    async def ListSideRecords(
        self, request: pb.ListSideRecordsRequest, context: Context
    ) -> pb.ListSideRecordsResponse:
        return await self._store.look(lambda connection: list_side_records(connection, request))

    async def GetRevocationList(
        self, request: pb.GetRevocationListRequest, context: Context
    ) -> pb.GetRevocationListResponse:
        return pb.GetRevocationListResponse(
            revocation_list=await self._store.look(
                lambda connection: current_list(connection, self._authority, self._sources)
            )
        )
