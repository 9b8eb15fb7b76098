"""StatusService: how this server is, for those who watch over it."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.operations.health import HealthWatch
from cloud.sources import from_us
from cloud.telemetry.census import Census
from verifield.v1 import status_service_pb2 as pb
from verifield.v1.status_service_pb2_grpc import StatusServiceServicer, add_StatusServiceServicer_to_server


@dataclass(frozen=True, slots=True)
class Vitals:
    """Where each answer comes from."""

    engine: str
    watch: HealthWatch
    census: Callable[[], Census | None]
    log_size: Callable[[], int]
    queue_depth: Callable[[], int]
    started: datetime


class StatusService(StatusServiceServicer):
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetStatusResponse:
        vitals = self._vitals
        reachable = await vitals.watch.look()
        census = await asyncio.to_thread(vitals.census) if reachable else None
        answer = pb.GetStatusResponse(
            version=version("verifield"),
            start_time=_stamp(vitals.started),
            database=pb.DatabaseStatus(engine=vitals.engine, reachable=census is not None),
            log_size=vitals.log_size(),
            queue_depth=vitals.queue_depth(),
        )
        if census is not None:
            _fill(answer, census)
        return answer


STATUS_SERVICE: str = pb.DESCRIPTOR.services_by_name["StatusService"].full_name


def add_status_service(server: grpc.aio.Server, vitals: Vitals) -> None:
    """Add the service to one port."""
    add_StatusServiceServicer_to_server(StatusService(vitals), server)


def _fill(answer: pb.GetStatusResponse, census: Census) -> None:
    answer.database.schema_revision = census.schema_revision
    answer.devices.update(census.devices)
    answer.open_alarms.update(census.open_alarms)
    answer.staged_records = census.staged_records
    answer.disk_free_bytes = census.disk_free_bytes or 0
    if census.database_bytes is not None:
        answer.database.size_bytes = census.database_bytes
    if census.oldest_alarm_us is not None:
        answer.oldest_alarm_time.CopyFrom(_stamp(from_us(census.oldest_alarm_us)))
    if census.last_backup_us is not None:
        answer.last_backup_time.CopyFrom(_stamp(from_us(census.last_backup_us)))
    for name, end_us in census.certificate_ends_us.items():
        answer.certificate_expire_times[name].CopyFrom(_stamp(from_us(end_us)))


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
