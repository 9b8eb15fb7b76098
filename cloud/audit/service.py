"""AuditService: the chain's events and heads, for whoever may read them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import grpc

from cloud.access.call import CALL
from cloud.api.filter_sql import Field, Keyed, choice, moment, number, read_filter, text
from cloud.audit.check import signed_head
from cloud.audit.heads import Asked, HeadSigner
from cloud.audit.layer import caller_of
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_position
from cloud.store import audit as rows
from cloud.store import scans
from cloud.store.database import Store
from cloud.store.schema import audit_events
from verifield.v1 import audit_pb2
from verifield.v1 import audit_service_pb2 as pb
from verifield.v1.audit_service_pb2_grpc import AuditServiceServicer

EXPORT_EVENTS = 500
"""Events in one message of an export: about 150 KiB."""

EVENT_FIELDS: Mapping[str, Field | Keyed] = {
    "seq": number(audit_events.c.seq),
    "time": moment(audit_events.c.time_us),
    "caller": text(audit_events.c.caller),
    "action": text(audit_events.c.action),
    "subject": text(audit_events.c.subject),
    "outcome": choice(audit_events.c.outcome, audit_pb2.AuditOutcome),
}

_HEAD_FILTERS = "audit-heads"

Context = grpc.aio.ServicerContext[Any, Any]


class AuditService(AuditServiceServicer):
    def __init__(self, store: Store, signer: HeadSigner) -> None:
        self._store = store
        self._signer = signer

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context
    ) -> pb.ListAuditEventsResponse:
        wanted = rows.EventFilter(request.caller, request.action, request.subject, request.outcome)
        narrowed = read_filter(request.filter, EVENT_FIELDS)
        filters = f"{wanted!r} {request.filter}"
        before = parse_position(request.page_token, filters=filters)

        def read() -> scans.Page:
            with self._store.reading() as connection:
                return scans.read_page(
                    connection,
                    partial(rows.select_events, wanted, before),
                    size=page_size(request.page_size),
                    position="seq",
                    descending=True,
                    condition=narrowed.condition if narrowed else None,
                )

        page = await asyncio.to_thread(read)
        return pb.ListAuditEventsResponse(
            events=[audit_pb2.AuditEvent.FromString(row.content) for row in page.rows],
            next_page_token="" if page.end is None else encode_page_token(str(page.end), filters=filters),
        )

    async def ExportAuditEvents(
        self, request: pb.ExportAuditEventsRequest, context: Context
    ) -> AsyncIterator[pb.ExportAuditEventsResponse]:
        after = request.after_seq

        def read() -> list[rows.EventRow]:
            with self._store.reading() as connection:
                return rows.next_events(connection, after=after, limit=EXPORT_EVENTS)

        while found := await asyncio.to_thread(read):
            yield pb.ExportAuditEventsResponse(events=[row.content for row in found])
            after = found[-1].seq

    async def GetAuditHead(
        self, request: pb.GetAuditHeadRequest, context: Context
    ) -> pb.GetAuditHeadResponse:
        def read() -> pb.GetAuditHeadResponse:
            with self._store.reading() as connection:
                end, newest = rows.read_end(connection), rows.last_head(connection)
                signed = signed_head(connection, newest) if newest else None
            return pb.GetAuditHeadResponse(seq=end.seq, sha256=end.sha256, signed=signed)

        return await asyncio.to_thread(read)

    async def ListAuditHeads(
        self, request: pb.ListAuditHeadsRequest, context: Context
    ) -> pb.ListAuditHeadsResponse:
        size = page_size(request.page_size)
        before = parse_position(request.page_token, filters=_HEAD_FILTERS)

        def read() -> tuple[list[audit_pb2.SignedAuditHead], bool]:
            with self._store.reading() as connection:
                found = rows.list_heads(connection, before=before, limit=size + 1)
                return [signed_head(connection, row) for row in found[:size]], len(found) > size

        heads, more = await asyncio.to_thread(read)
        token = encode_page_token(str(heads[-1].log_index), filters=_HEAD_FILTERS) if more else ""
        return pb.ListAuditHeadsResponse(heads=heads, next_page_token=token)

    async def SignAuditHead(
        self, request: pb.SignAuditHeadRequest, context: Context
    ) -> pb.SignAuditHeadResponse:
        call = CALL.get()
        signed = await self._signer.sign(Asked(caller_of(call), call.request_id))
        if signed is None:
            raise ServiceError(Reason.AUDIT_EMPTY, "The audit chain has no event yet.")
        return pb.SignAuditHeadResponse(signed=signed)
