"""``verifield-cloud contracts``: how contracts stand, without titles and names."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

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
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from verifield.v1 import contract_service_pb2 as pb

app = typer.Typer(help="Contracts: how they stand, without titles and names.", no_args_is_help=True)


class State(StrEnum):
    """States as options name them."""

    DRAFT = "draft"
    INTERNAL_REVIEW = "internal-review"
    SENT = "sent"
    PARTIALLY_SIGNED = "partially-signed"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    DELETED = "deleted"


@app.command("list")
@operator_command
def list_contracts(
    connect: Connect,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List contracts, the newest first.

    Example: verifield-cloud contracts list --state sent
    """
    wanted = (
        pb.ContractState.Value(f"CONTRACT_STATE_{state.name}") if state else pb.CONTRACT_STATE_UNSPECIFIED
    )
    request = pb.ListContractsRequest(state=wanted)
    with connect() as client:
        found, more = fetch(client, client.contracts.ListContracts, request, items="contracts", page=page)
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"contracts": rows}, page, more))
        return
    columns = ["contract_id", "state", "pages", "revision", "send_time", "deadline_time"]
    print_table(
        ["CONTRACT", "STATE", "PAGES", "REVISION", "SENT", "DEADLINE"],
        [[_cell(row[name]) for name in columns] for row in rows],
    )
    tell_next(more)


@app.command()
@operator_command
def show(
    connect: Connect,
    contract: Annotated[str, typer.Argument(metavar="CONTRACT", help="The contract's id.")],
    as_json: JsonOption = False,
) -> None:
    """Show how one contract stands, its parties without names, and what happened.

    Example: verifield-cloud contracts show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        found = client.call(client.contracts.InspectContract, pb.InspectContractRequest(contract_id=contract))
    values = _describe(found.contract) | {
        "organisation_id": found.contract.organisation_id,
        "document_sha256": found.contract.document_sha256.hex(),
        "revision_sha256": found.contract.revision_sha256.hex(),
        "timestamp_pending": found.contract.timestamp_pending,
        "retention_time": show_maybe(found.contract, "retention_time"),
    }
    parties = [_party(one) for one in found.parties]
    timeline = [_event(one) for one in found.timeline]
    if as_json:
        print_json(values | {"parties": parties, "timeline": timeline})
        return
    print_values(values)
    print_table(
        ["PARTY", "KIND", "ROLE", "ORDER", "STATE", "AWAITED"],
        [[str(value) for value in one.values()] for one in parties],
    )
    print_table(
        ["TIME", "EVENT", "STATE", "PARTY"], [[str(value) for value in one.values()] for one in timeline]
    )


def _describe(one: pb.Contract) -> dict[str, Any]:
    return {
        "contract_id": one.contract_id,
        "state": _name(pb.ContractState.Name(one.state), "CONTRACT_STATE_"),
        "pages": one.page_count,
        "revision": one.revision_no,
        "create_time": show_time(one.create_time),
        "send_time": show_maybe(one, "send_time"),
        "deadline_time": show_maybe(one, "deadline_time"),
        "complete_time": show_maybe(one, "complete_time"),
    }


def _party(one: pb.ContractParty) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": _name(pb.ContractPartyKind.Name(one.kind), "CONTRACT_PARTY_KIND_"),
        "role": _name(pb.ContractPartyRole.Name(one.role), "CONTRACT_PARTY_ROLE_"),
        "order": one.order,
        "state": _name(pb.ContractPartyState.Name(one.state), "CONTRACT_PARTY_STATE_"),
        "awaited": one.awaited,
    }


def _event(one: pb.ContractEvent) -> dict[str, Any]:
    return {
        "time": show_time(one.time),
        "event": _name(pb.ContractEventKind.Name(one.kind), "CONTRACT_EVENT_KIND_"),
        "state": _name(pb.ContractState.Name(one.state), "CONTRACT_STATE_"),
        "party": one.party_number,
    }


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", "-")
