"""``verifield-cloud escalations``: tickets from a window to the information centre."""

from __future__ import annotations

import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.given import read_given
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from verifield.v1 import escalation_service_pb2 as pb

app = typer.Typer(help="Tickets from a window to the information centre.", no_args_is_help=True)


class TicketKindName(StrEnum):
    """Names of TicketKind."""

    SMS_PHONE = "sms-phone"
    FOUR_ELEMENTS = "four-elements"
    ACTIVATION_PHONE = "activation-phone"
    OLD_CARD = "old-card"

    @property
    def number(self) -> pb.TicketKind.ValueType:
        return pb.TicketKind.Value(f"TICKET_KIND_{self.name}")


class TicketStateName(StrEnum):
    """Names of TicketState."""

    OPEN = "open"
    IN_CENTRE = "in-centre"
    RESOLVED = "resolved"
    REJECTED = "rejected"

    @property
    def number(self) -> pb.TicketState.ValueType:
        return pb.TicketState.Value(f"TICKET_STATE_{self.name}")


TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="Id of the ticket.")]


@app.command("list")
@operator_command
def list_tickets(
    connect: Connect,
    state: Annotated[TicketStateName | None, typer.Option(help="Default: all that have not ended.")] = None,
    kind: Annotated[TicketKindName | None, typer.Option(help="Only of this kind.")] = None,
    account: Annotated[str, typer.Option(help="All of this account, by its id.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tickets: those that wait oldest first, those that ended newest first.

    Example: verifield-cloud escalations list --kind sms-phone
    """
    request = pb.ListTicketsRequest(
        state=state.number if state else pb.TICKET_STATE_UNSPECIFIED,
        kind=kind.number if kind else pb.TICKET_KIND_UNSPECIFIED,
        account_id=account,
    )
    with connect() as client:
        found, more = fetch(client, client.escalations.ListTickets, request, items="tickets", page=page)
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"tickets": rows}, page, more))
        return
    print_table(
        ["TICKET", "KIND", "STATE", "OPENED", "ACCOUNT", "TAKEN BY"],
        [
            [
                row["ticket_id"],
                row["kind"],
                row["state"],
                row["open_time"],
                row["account_id"],
                row["taken_by"] or "-",
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, ticket: TicketArgument, as_json: JsonOption = False) -> None:
    """Show a ticket with what it is about, and its history. The look is noted in the audit chain.

    Example: verifield-cloud escalations show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        answer = client.call(client.escalations.GetTicket, pb.GetTicketRequest(ticket_id=ticket))
    payload = (
        MessageToDict(answer.payload, preserving_proto_field_name=True)
        if answer.HasField("payload")
        else None
    )
    history: list[dict[str, Any]] = [
        {
            "number": one.number,
            "time": show_time(one.time),
            "event": pb.TicketEventKind.Name(one.kind).removeprefix("TICKET_EVENT_KIND_"),
            "actor": one.actor,
            "note": one.note,
        }
        for one in answer.events
    ]
    row = _describe(answer.ticket)
    if as_json:
        print_json(row | {"payload": payload, "events": history})
        return
    print_values(row | _flat(payload or {}))
    print_table(
        ["NO", "TIME", "EVENT", "BY", "NOTE"],
        [[str(one["number"]), one["time"], one["event"], one["actor"], one["note"]] for one in history],
    )


@app.command("open")
@operator_command
def open_ticket(
    connect: Connect,
    kind: Annotated[TicketKindName, typer.Argument(help="What it is about.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    payload: Annotated[
        Path,
        typer.Option(help="JSON of a TicketPayload (docs/reviews.md), or - for standard input; not kept."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Hand a case over to the information centre.

    Example: verifield-cloud escalations open sms-phone 019ca5a0-0000-7000-8000-000000000001
    --payload ticket.json
    """
    request = pb.OpenTicketRequest(
        request_id=str(uuid.uuid4()), kind=kind.number, account_id=account, payload=_read_payload(payload)
    )
    with connect() as client:
        answer = client.call(client.escalations.OpenTicket, request)
    _print(answer.ticket, as_json=as_json)


@app.command()
@operator_command
def take(connect: Connect, ticket: TicketArgument, as_json: JsonOption = False) -> None:
    """See to a ticket; also in the place of a colleague.

    Example: verifield-cloud escalations take 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.TakeTicketRequest(request_id=str(uuid.uuid4()), ticket_id=ticket)
    with connect() as client:
        answer = client.call(client.escalations.TakeTicket, request)
    _print(answer.ticket, as_json=as_json)


@app.command()
@operator_command
def resolve(
    connect: Connect,
    ticket: TicketArgument,
    note: Annotated[str, typer.Option(help="How it was found out; kept encrypted.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Do what a ticket asks for; never who opened it.

    Example: verifield-cloud escalations resolve 019ca5a0-0000-7000-8000-000000000001 --note "called back"
    """
    request = pb.ResolveTicketRequest(request_id=str(uuid.uuid4()), ticket_id=ticket, note=note)
    with connect() as client:
        answer = client.call(client.escalations.ResolveTicket, request)
    _print(answer.ticket, as_json=as_json)


@app.command()
@operator_command
def reject(
    connect: Connect,
    ticket: TicketArgument,
    reason: Annotated[str, typer.Option(help="What the window is told; kept encrypted.")],
    as_json: JsonOption = False,
) -> None:
    """End a ticket without doing what it asks for.

    Example: verifield-cloud escalations reject 019ca5a0-0000-7000-8000-000000000001
    --reason "belongs to somebody else"
    """
    request = pb.RejectTicketRequest(request_id=str(uuid.uuid4()), ticket_id=ticket, reason=reason)
    with connect() as client:
        answer = client.call(client.escalations.RejectTicket, request)
    _print(answer.ticket, as_json=as_json)


def _read_payload(path: Path) -> pb.TicketPayload:
    return read_given(
        path,
        pb.TicketPayload(),
        code="PAYLOAD_UNREADABLE",
        what="What the ticket is about",
        hint='Write for example {"sms_phone": {"phone": "+86 138 0000 0000"}, "note": "..."}.',
    )


def _describe(one: pb.Ticket) -> dict[str, Any]:
    return {
        "ticket_id": one.ticket_id,
        "kind": pb.TicketKind.Name(one.kind).removeprefix("TICKET_KIND_"),
        "state": pb.TicketState.Name(one.state).removeprefix("TICKET_STATE_"),
        "account_id": one.account_id,
        "opened_by": one.opened_by,
        "open_time": show_time(one.open_time),
        "taken_by": one.taken_by or None,
        "take_time": show_maybe(one, "take_time"),
        "closed_by": one.closed_by or None,
        "close_time": show_maybe(one, "close_time"),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as one level: four_elements.elements.name."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = str(value)
    return found


def _print(ticket: pb.Ticket, *, as_json: bool) -> None:
    row = _describe(ticket)
    if as_json:
        print_json(row)
    else:
        print_values(row)
