"""``verifield-cloud organisations``: organisations for operators; what they handed in is not shown."""

from __future__ import annotations

from pathlib import Path
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
from cloud.commands.files import check_free
from cloud.commands.listing import PageOption, fetch, keep_document, tell_next, with_next
from verifield.v1 import organisation_service_pb2 as pb

app = typer.Typer(help="Organisations, and whether they are verified.", no_args_is_help=True)

STATES = {
    value.name.removeprefix("ORGANISATION_STATE_").lower().replace("_", "-"): value.number
    for value in pb.OrganisationState.DESCRIPTOR.values
    if value.number
}

OrganisationArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the organisation.")]


def parse_state(text: str) -> int:
    """A state's name; typer turns the error into a usage error."""
    try:
        return STATES[text.strip().lower().replace("_", "-")]
    except KeyError as error:
        raise typer.BadParameter(f"states are {', '.join(STATES)}") from error


@app.command("list")
@operator_command
def list_organisations(
    connect: Connect,
    state: Annotated[
        int | None, typer.Option(parser=parse_state, metavar="STATE", help="Only those in this state.")
    ] = None,
    account: Annotated[str, typer.Option(help="Only those of this administrator: the account's id.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List organisations, newest first.

    Example: verifield-cloud organisations list --state verified
    """
    request = pb.SearchOrganisationsRequest(
        state=pb.OrganisationState.ValueType(state or 0), account_id=account
    )
    with connect() as client:
        method = client.organisations.SearchOrganisations
        found, more = fetch(client, method, request, items="organisations", page=page)
    rows = [_outline(one) for one in found]
    if as_json:
        print_json(with_next({"organisations": rows}, page, more))
        return
    print_table(
        ["ID", "STATE", "ADMINISTRATOR", "VERIFIED", "CHANGED"],
        [
            [
                row["organisation_id"],
                row["state"],
                row["account_id"],
                row["verify_time"] or "-",
                row["update_time"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, organisation_id: OrganisationArgument, as_json: JsonOption = False) -> None:
    """Show one organisation, with its documents and what happened to it.

    Example: verifield-cloud organisations show 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.InspectOrganisationRequest(organisation_id=organisation_id)
    with connect() as client:
        found = client.call(client.organisations.InspectOrganisation, request).organisation
    row = _outline(found) | {
        "documents": [
            {
                "document_id": one.document_id,
                "kind": _name("ORGANISATION_DOCUMENT_KIND_", pb.OrganisationDocumentKind.Name(one.kind)),
                "media_type": one.media_type,
                "size_bytes": one.size_bytes,
                "sha256": one.sha256.hex(),
            }
            for one in found.documents
        ],
        "timeline": [
            {
                "time": show_time(step.time),
                "event": _name("ORGANISATION_EVENT_", pb.OrganisationEvent.Name(step.event)),
                "state": _name("ORGANISATION_STATE_", pb.OrganisationState.Name(step.state)),
            }
            for step in found.timeline
        ],
    }
    if as_json:
        print_json(row)
        return
    print_values({name: value for name, value in row.items() if name not in ("documents", "timeline")})
    for step in row["timeline"]:
        print(f"{step['time']}  {step['event']}  {step['state']}")
    for document in row["documents"]:
        print(f"document  {document['document_id']}  {document['kind']}  {document['size_bytes']}")


@app.command()
@operator_command
def document(
    connect: Connect,
    organisation_id: OrganisationArgument,
    document_id: Annotated[str, typer.Argument(metavar="DOCUMENT", help="The id of the document.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write it; never over another.")],
    as_json: JsonOption = False,
) -> None:
    """Write a document of an organisation to a file that only you can read; the audit chain tells that.

    Example: verifield-cloud organisations document 019ca5a0-0000-7000-8000-000000000001
    019ca5a0-0000-7000-8000-000000000002 --out licence.pdf
    """
    check_free(out)
    request = pb.ReadOrganisationDocumentRequest(organisation_id=organisation_id, document_id=document_id)
    with connect() as client:
        answers = list(client.receive(client.organisations.ReadOrganisationDocument, request))
    keep_document(out, answers, as_json=as_json)


def _outline(one: pb.Organisation) -> dict[str, Any]:
    return {
        "organisation_id": one.organisation_id,
        "state": _name("ORGANISATION_STATE_", pb.OrganisationState.Name(one.state)),
        "account_id": one.account_id,
        "task_id": one.task_id,
        "supplement_until": show_maybe(one, "supplement_until"),
        "verify_time": show_maybe(one, "verify_time"),
        "create_time": show_time(one.create_time),
        "update_time": show_time(one.update_time),
    }


def _name(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)
