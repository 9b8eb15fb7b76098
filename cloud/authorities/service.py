"""AuthorityService: how the lines to the authorities are, for those who watch over the service."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.authorities.breaker import Circuit
from cloud.authorities.bundle import Authorities
from cloud.authorities.line import LineStatus
from cloud.authorities.port import Authority, FaultKind
from verifield.v1 import authority_service_pb2 as pb
from verifield.v1.authority_service_pb2_grpc import AuthorityServiceServicer

_Context = grpc.aio.ServicerContext[Any, Any]

KINDS = {
    Authority.REGISTRY: pb.AUTHORITY_KIND_REGISTRY,
    Authority.BANK: pb.AUTHORITY_KIND_BANK,
    Authority.CTID: pb.AUTHORITY_KIND_CTID,
    Authority.CARRIER: pb.AUTHORITY_KIND_CARRIER,
}
_CIRCUITS = {
    Circuit.CLOSED: pb.CIRCUIT_STATE_CLOSED,
    Circuit.OPEN: pb.CIRCUIT_STATE_OPEN,
    Circuit.PROBING: pb.CIRCUIT_STATE_PROBING,
}
_FAULTS = {
    FaultKind.BUSY: pb.AUTHORITY_FAULT_KIND_BUSY,
    FaultKind.SYSTEM_ERROR: pb.AUTHORITY_FAULT_KIND_SYSTEM_ERROR,
    FaultKind.UNREACHABLE: pb.AUTHORITY_FAULT_KIND_UNREACHABLE,
    FaultKind.NONSENSE: pb.AUTHORITY_FAULT_KIND_NONSENSE,
}


class AuthorityService(AuthorityServiceServicer):
    def __init__(self, authorities: Authorities) -> None:
        self._lines = {KINDS[line.authority]: line for line in authorities.lines}

    async def ListAuthorities(
        self, request: pb.ListAuthoritiesRequest, context: _Context
    ) -> pb.ListAuthoritiesResponse:
        lines = (_shown(line.status()) for _, line in sorted(self._lines.items()))
        return pb.ListAuthoritiesResponse(authorities=lines)

    async def CheckAuthority(
        self, request: pb.CheckAuthorityRequest, context: _Context
    ) -> pb.CheckAuthorityResponse:
        clock = asyncio.get_running_loop().time
        started = clock()
        detail = await self._lines[request.authority].check()
        answer = pb.CheckAuthorityResponse(well=not detail, detail=detail)
        answer.duration.FromTimedelta(timedelta(seconds=clock() - started))
        return answer


def _shown(status: LineStatus) -> pb.AuthorityLine:
    line = pb.AuthorityLine(
        authority=KINDS[status.authority],
        configured=status.configured,
        circuit=_CIRCUITS[status.circuit],
        failed_in_a_row=status.failed_in_a_row,
        under_way=status.under_way,
    )
    if status.last_fault is not None:
        line.last_fault.kind = _FAULTS[status.last_fault.kind]
        line.last_fault.detail = status.last_fault.detail
        line.last_fault.time.CopyFrom(_stamp(status.last_fault.time))
    if status.last_answer_time is not None:
        line.last_answer_time.CopyFrom(_stamp(status.last_answer_time))
    return line


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
