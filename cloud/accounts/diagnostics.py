"""DiagnosticsService: what clients found out about lines that failed."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.attestations.intake import known_device
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.serving import Base
from cloud.sources import to_us
from cloud.store import diagnostics as rows
from cloud.store.diagnostics import DiagnosticRow
from verifield.v1 import diagnostics_service_pb2 as pb
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

KEPT_OF_SENDER = 200
"""Of one device or account: the newest. A line that fails all day brings some tens."""


class DiagnosticsService(DiagnosticsServiceServicer):
    """Uploads have no event in the audit chain: they change nothing that anybody relies on."""

    def __init__(self, base: Base) -> None:
        self._base = base

    async def UploadDeviceDiagnostics(
        self, request: pb.UploadDeviceDiagnosticsRequest, context: Context
    ) -> pb.UploadDeviceDiagnosticsResponse:
        await self._take(request.diagnostics, device_id=CALL.get().device_id)
        return pb.UploadDeviceDiagnosticsResponse()

    async def UploadDiagnostics(
        self, request: pb.UploadDiagnosticsRequest, context: Context
    ) -> pb.UploadDiagnosticsResponse:
        await self._take(request.diagnostics)
        return pb.UploadDiagnosticsResponse()

    async def GetDiagnostics(
        self, request: pb.GetDiagnosticsRequest, context: Context
    ) -> pb.GetDiagnosticsResponse:
        def read() -> DiagnosticRow | None:
            with self._base.store.reading() as connection:
                return rows.get_diagnostics(connection, request.diagnostic_id.lower())

        row = await asyncio.to_thread(read)
        if row is None:
            raise ServiceError(Reason.DIAGNOSTICS_NOT_FOUND, "There is no diagnosis with this id.")
        return pb.GetDiagnosticsResponse(diagnostics=_show(row))

    async def ListDiagnostics(
        self, request: pb.ListDiagnosticsRequest, context: Context
    ) -> pb.ListDiagnosticsResponse:
        asked, size = f"diagnostics {request.sender}", page_size(request.page_size)
        behind = parse_page_token(request.page_token, filters=asked)

        def read() -> list[DiagnosticRow]:
            with self._base.store.reading() as connection:
                return rows.list_diagnostics(connection, sender=request.sender, behind=behind, limit=size + 1)

        found = await asyncio.to_thread(read)
        more = len(found) > size
        return pb.ListDiagnosticsResponse(
            diagnostics=map(_show, found[:size]),
            next_page_token=encode_page_token(found[size - 1].diagnostic_id, filters=asked) if more else "",
        )

    async def _take(self, given: pb.Diagnostics, *, device_id: str = "") -> None:
        """Keep what a client sent; the same once more changes nothing.

        Raises:
            ServiceError: DIAGNOSTICS_REUSED; for a device, as :func:`known_device`.
        """
        given.DiscardUnknownFields()  # they have no limit, and nobody could read them
        given.diagnostic_id = given.diagnostic_id.lower()
        row = DiagnosticRow(
            given.diagnostic_id,
            caller_of_call().path,
            given.error_code,
            given.occur_time.ToMicroseconds(),
            to_us(self._base.sources.now()),
            given.SerializeToString(deterministic=True),
        )

        def work(connection: Connection) -> None:
            if device_id:
                known_device(connection, device_id)
            if rows.add_diagnostics(connection, row):
                rows.drop_surplus(connection, row.sender, keep=KEPT_OF_SENDER)
                return
            kept = rows.get_diagnostics(connection, row.diagnostic_id)
            if kept is None or (kept.sender, bytes(kept.content)) != (row.sender, row.content):
                raise ServiceError(Reason.DIAGNOSTICS_REUSED, "This id was used for another diagnosis.")

        await asyncio.to_thread(self._base.store.run, work)


def _show(row: DiagnosticRow) -> pb.ReceivedDiagnostics:
    message = pb.ReceivedDiagnostics(
        diagnostics=pb.Diagnostics.FromString(bytes(row.content)), sender=row.sender
    )
    message.receive_time.FromMicroseconds(row.received_us)
    return message
