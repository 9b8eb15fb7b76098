"""``verifield-cloud seals`` and ``approvals``: seals, and what they were set under; for staff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    MAX_NUMBER,
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.files import check_free, write_new
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from verifield.v1 import approval_service_pb2 as approval_pb
from verifield.v1 import seal_service_pb2 as pb
from verifield.v1.signing_service_pb2 import SignMethod

app = typer.Typer(help="Electronic seals of organisations.", no_args_is_help=True)
approvals_app = typer.Typer(help="Documents under an organisation's seal.", no_args_is_help=True)

SEAL_STATES = {
    value.name.removeprefix("SEAL_STATE_").lower().replace("_", "-"): value.number
    for value in pb.SealState.DESCRIPTOR.values
    if value.number
}
APPROVAL_STATES = {
    value.name.removeprefix("APPROVAL_STATE_").lower(): value.number
    for value in approval_pb.ApprovalState.DESCRIPTOR.values
    if value.number
}

OrganisationOption = Annotated[str, typer.Option("--organisation", help="Only those of this organisation.")]
SealArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the seal.")]


def parse_seal_state(text: str) -> int:
    """A state's name; typer turns the error into a usage error."""
    return _parse(SEAL_STATES, text)


def parse_approval_state(text: str) -> int:
    """As :func:`parse_seal_state`."""
    return _parse(APPROVAL_STATES, text)


@app.command("list")
@operator_command
def list_seals(
    connect: Connect,
    state: Annotated[
        int | None, typer.Option(parser=parse_seal_state, metavar="STATE", help="Only those in this state.")
    ] = None,
    organisation: OrganisationOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List seals, newest first.

    Example: verifield-cloud seals list --state pending-review
    """
    request = pb.SearchSealsRequest(state=pb.SealState.ValueType(state or 0), organisation_id=organisation)
    with connect() as client:
        found, more = fetch(client, client.seals.SearchSeals, request, items="seals", page=page)
    rows = [_seal(one) for one in found]
    if as_json:
        print_json(with_next({"seals": rows}, page, more))
        return
    print_table(
        ["ID", "ORGANISATION", "KIND", "STATE", "SIGNS", "NEWEST", "CHANGED"],
        [
            [
                row["seal_id"],
                row["organisation_id"],
                row["kind"],
                row["state"],
                str(row["approved_version"] or "-"),
                str(row["newest_version"]),
                row["update_time"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command("show")
@operator_command
def show_seal(connect: Connect, seal_id: SealArgument, as_json: JsonOption = False) -> None:
    """Show one seal with its versions.

    Example: verifield-cloud seals show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        found = client.call(client.seals.InspectSeal, pb.InspectSealRequest(seal_id=seal_id)).seal
    versions = [
        {
            "version": one.version,
            "state": _name("SEAL_VERSION_STATE_", pb.SealVersionState.Name(one.state)),
            "source": _name("SEAL_SOURCE_", pb.SealSource.Name(one.source)),
            "colour": _name("SEAL_COLOUR_", pb.SealColour.Name(one.colour)),
            "size_mm": [one.width_dmm / 10, one.height_dmm / 10],
            "size_px": [one.width_px, one.height_px],
            "image_sha256": one.image_sha256.hex(),
            "policy_version": one.policy_version,
            "create_time": show_time(one.create_time),
            "decide_time": show_maybe(one, "decide_time"),
        }
        for one in found.versions
    ]
    if as_json:
        print_json(_seal(found) | {"versions": versions})
        return
    print_values(_seal(found))
    for row in versions:
        print(f"version {row['version']}  {row['state']}  {row['source']}  {row['image_sha256']}")


@app.command()
@operator_command
def image(
    connect: Connect,
    seal_id: SealArgument,
    version: Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, metavar="VERSION", help="Its number.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the PNG file; never over another.")],
    as_json: JsonOption = False,
) -> None:
    """Write the picture of a version to a file, for its review. Reading it is noted in the audit chain.

    Example: verifield-cloud seals image 019ca5a0-0000-7000-8000-000000000001 1 --out seal.png
    """
    check_free(out)
    request = pb.ReadSealImageRequest(seal_id=seal_id, version=version)
    with connect() as client:
        content = b"".join(one.content for one in client.receive(client.seals.ReadSealImage, request))
    write_new(out, content)
    if as_json:
        print_json({"file": str(out), "size_bytes": len(content)})
    else:
        err().print(f"Wrote {out}: {len(content)} bytes.", markup=False)


@approvals_app.command("list")
@operator_command
def list_approvals(
    connect: Connect,
    state: Annotated[
        int | None,
        typer.Option(parser=parse_approval_state, metavar="STATE", help="Only those in this state."),
    ] = None,
    organisation: OrganisationOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List approvals, newest first; what stands in them is not shown.

    Example: verifield-cloud approvals list --state sealed
    """
    request = approval_pb.SearchApprovalsRequest(
        state=approval_pb.ApprovalState.ValueType(state or 0), organisation_id=organisation
    )
    with connect() as client:
        method = client.approvals.SearchApprovals
        found, more = fetch(client, method, request, items="approvals", page=page)
    rows = [_approval(one) for one in found]
    if as_json:
        print_json(with_next({"approvals": rows}, page, more))
        return
    columns = ("approval_id", "organisation_id", "state", "pages", "update_time")
    print_table(
        ["ID", "ORGANISATION", "STATE", "PAGES", "CHANGED"],
        [[str(row[column]) for column in columns] for row in rows],
    )
    tell_next(more)


@approvals_app.command("show")
@operator_command
def show_approval(
    connect: Connect,
    approval_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the approval.")],
    as_json: JsonOption = False,
) -> None:
    """Show one approval with the signatures in it.

    Example: verifield-cloud approvals show 019ca5a0-0000-7000-8000-000000000001
    """
    request = approval_pb.InspectApprovalRequest(approval_id=approval_id)
    with connect() as client:
        found = client.call(client.approvals.InspectApproval, request).approval
    signatures = [
        {
            "field": one.field,
            "account_id": one.account_id,
            "seal_id": one.seal_id,
            "seal_version": one.seal_version,
            "certificate_serial": one.certificate_serial,
            "method": _name("SIGN_METHOD_", SignMethod.Name(one.method)),
            "sign_time": show_time(one.sign_time),
            "after_sha256": one.after_sha256.hex(),
        }
        for one in found.signatures
    ]
    if as_json:
        print_json(_approval(found) | {"signatures": signatures})
        return
    print_values(_approval(found))
    for row in signatures:
        print(f"{row['sign_time']}  {row['field']}  seal {row['seal_id']}  account {row['account_id']}")


def _seal(one: pb.Seal) -> dict[str, Any]:
    return {
        "seal_id": one.seal_id,
        "organisation_id": one.organisation_id,
        "kind": _name("SEAL_KIND_", pb.SealKind.Name(one.kind)),
        "state": _name("SEAL_STATE_", pb.SealState.Name(one.state)),
        "approved_version": one.approved_version or None,
        "newest_version": one.newest_version,
        "create_time": show_time(one.create_time),
        "update_time": show_time(one.update_time),
    }


def _approval(one: approval_pb.Approval) -> dict[str, Any]:
    return {
        "approval_id": one.approval_id,
        "organisation_id": one.organisation_id,
        "state": _name("APPROVAL_STATE_", approval_pb.ApprovalState.Name(one.state)),
        "created_by": one.created_by,
        "pages": one.pages,
        "document_sha256": one.document_sha256.hex(),
        "sealed_sha256": one.sealed_sha256.hex(),
        "create_time": show_time(one.create_time),
        "update_time": show_time(one.update_time),
    }


def _parse(states: dict[str, int], text: str) -> int:
    try:
        return states[text.strip().lower().replace("_", "-")]
    except KeyError as error:
        raise typer.BadParameter(f"states are {', '.join(states)}") from error


def _name(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)
