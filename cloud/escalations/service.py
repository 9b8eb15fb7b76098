"""EscalationService: tickets from a window to the information centre."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.errors import ServiceError
from cloud.escalations.desk import MAX_EVENTS, Escalations, not_found
from cloud.escalations.port import TicketKind
from cloud.escalations.states import LIVE
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.serving import Base
from cloud.store import escalations as rows
from cloud.store.escalations import TicketEventRow, TicketRow
from cloud.store.lists import Begin
from verifield.v1 import escalation_service_pb2 as pb
from verifield.v1.escalation_service_pb2_grpc import EscalationServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

_STATES = tuple(value for value in pb.TicketState.values() if value)
_KINDS = tuple(int(kind) for kind in TicketKind)


class EscalationService(EscalationServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(self, base: Base, escalations: Escalations) -> None:
        self._base = base
        self._escalations = escalations

    async def OpenTicket(self, request: pb.OpenTicketRequest, context: Context) -> pb.OpenTicketResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.OpenTicketResponse:
            ticket_id = self._escalations.open_ticket(
                connection,
                kind=TicketKind(request.kind),
                account_id=request.account_id,
                payload=request.payload,
                opened_by=caller,
            )
            return pb.OpenTicketResponse(ticket=_to_ticket(_get(connection, ticket_id)))

        return await self._base.mutations.run(
            request,
            action="escalations.open",
            subject=lambda answer: _name(answer.ticket.ticket_id),
            work=work,
            facts={"kind": TicketKind(request.kind).part},
        )

    async def GetTicket(self, request: pb.GetTicketRequest, context: Context) -> pb.GetTicketResponse:
        def read(connection: Connection) -> pb.GetTicketResponse:
            row = _get(connection, request.ticket_id)
            events = rows.events_of(connection, row.ticket_id, limit=MAX_EVENTS)
            notes = self._escalations.notes_of(connection, row, events)
            answer = pb.GetTicketResponse(ticket=_to_ticket(row), events=map(_to_event, events, notes))
            payload = self._escalations.payload_of(connection, row)
            if payload is not None:
                answer.payload.CopyFrom(payload)
            return answer

        return await self._base.store.look(read)

    async def ListTickets(self, request: pb.ListTicketsRequest, context: Context) -> pb.ListTicketsResponse:
        asked = f"tickets {request.state} {request.kind} {request.account_id}"
        size = page_size(request.page_size)
        behind = parse_page_token(request.page_token, filters=asked)
        anything = _STATES if request.account_id else tuple(map(int, LIVE))
        begin = Begin(behind or None, descending=bool(request.account_id) or request.state not in {0, *LIVE})
        query = rows.select_tickets(
            begin,
            size + 1,
            states=(request.state,) if request.state else anything,
            kinds=(request.kind,) if request.kind else _KINDS,
            account_id=request.account_id,
        )

        def read(connection: Connection) -> pb.ListTicketsResponse:
            found = [TicketRow(**row._mapping) for row in connection.execute(query)]
            token = encode_page_token(found[size - 1].ticket_id, filters=asked) if len(found) > size else ""
            return pb.ListTicketsResponse(tickets=map(_to_ticket, found[:size]), next_page_token=token)

        return await self._base.store.look(read)

    async def TakeTicket(self, request: pb.TakeTicketRequest, context: Context) -> pb.TakeTicketResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.TakeTicketResponse:
            row = self._escalations.take(connection, request.ticket_id, caller=caller)
            return pb.TakeTicketResponse(ticket=_to_ticket(row))

        return await self._base.mutations.run(
            request, action="escalations.take", subject=_name(request.ticket_id), work=work
        )

    async def ResolveTicket(
        self, request: pb.ResolveTicketRequest, context: Context
    ) -> pb.ResolveTicketResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.ResolveTicketResponse | ServiceError:
            row = self._escalations.resolve(connection, request.ticket_id, note=request.note, caller=caller)
            return row if isinstance(row, ServiceError) else pb.ResolveTicketResponse(ticket=_to_ticket(row))

        return await self._base.mutations.run(
            request, action="escalations.resolve", subject=_name(request.ticket_id), work=work
        )

    async def RejectTicket(
        self, request: pb.RejectTicketRequest, context: Context
    ) -> pb.RejectTicketResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.RejectTicketResponse | ServiceError:
            row = self._escalations.reject(
                connection, request.ticket_id, reason=request.reason, caller=caller
            )
            return row if isinstance(row, ServiceError) else pb.RejectTicketResponse(ticket=_to_ticket(row))

        return await self._base.mutations.run(
            request, action="escalations.reject", subject=_name(request.ticket_id), work=work
        )


def _get(connection: Connection, ticket_id: str) -> TicketRow:
    row = rows.get_ticket(connection, ticket_id)
    if row is None:
        raise not_found()
    return row


def _name(ticket_id: str) -> str:
    return f"escalations/{ticket_id}"


def _to_ticket(row: TicketRow) -> pb.Ticket:
    ticket = pb.Ticket(
        ticket_id=row.ticket_id,
        kind=pb.TicketKind.ValueType(row.kind),
        state=pb.TicketState.ValueType(row.state),
        account_id=row.account_id,
        opened_by=row.opened_by,
        taken_by=row.taken_by,
        closed_by=row.closed_by,
    )
    ticket.open_time.FromMicroseconds(row.opened_us)
    if row.taken_us is not None:
        ticket.take_time.FromMicroseconds(row.taken_us)
    if row.closed_us is not None:
        ticket.close_time.FromMicroseconds(row.closed_us)
    return ticket


def _to_event(row: TicketEventRow, note: str) -> pb.TicketEvent:
    event = pb.TicketEvent(
        number=row.number, kind=pb.TicketEventKind.ValueType(row.kind), actor=row.actor, note=note
    )
    event.time.FromMicroseconds(row.time_us)
    return event
