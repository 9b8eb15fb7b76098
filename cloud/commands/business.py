"""``verifield-cloud business``: requests for registration business, for windows and those who assess them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
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
from cloud.commands.files import check_free
from cloud.commands.listing import FilterOption, PageOption, fetch, keep_document, tell_next, with_next
from cloud.commands.plots import plot_steps
from cloud.commands.times import SinceOption, UntilOption, to_stamp, until_stamp
from verifield.terminal import visible
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import catalog_service_pb2
from verifield.v1.certification_service_pb2 import ApplicationState

app = typer.Typer(help="Requests for registration business.", no_args_is_help=True)

_PERCENTILES = ("p50", "p90", "p99", "max")
STATES = {
    value.name.removeprefix("BUSINESS_STATE_").lower().replace("_", "-"): value.number
    for value in pb.BusinessState.DESCRIPTOR.values
    if value.number
}

BusinessArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the request.")]


def parse_state(text: str) -> int:
    """A state's name; typer turns the error into a usage error."""
    try:
        return STATES[text.strip().lower().replace("_", "-")]
    except KeyError as error:
        raise typer.BadParameter(f"states are {', '.join(STATES)}") from error


@app.command("list")
@operator_command
def list_requests(
    connect: Connect,
    state: Annotated[
        int | None, typer.Option(parser=parse_state, metavar="STATE", help="Only those in this state.")
    ] = None,
    account: Annotated[str, typer.Option(help="Only those of this applicant: the account's id.")] = "",
    filter_text: FilterOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List requests, newest first.

    Example: verifield-cloud business list --state in-review
    """
    request = pb.SearchBusinessRequestsRequest(
        state=pb.BusinessState.ValueType(state or 0), account_id=account, filter=filter_text
    )
    with connect() as client:
        method = client.business.SearchBusinessRequests
        found, more = fetch(client, method, request, items="business", page=page)
    rows = [_outline(one) for one in found]
    if as_json:
        print_json(with_next({"business": rows}, page, more))
        return
    print_table(
        ["ID", "SERVICE", "STATE", "AGENT", "BEGUN", "CHANGED"],
        [
            [
                row["business_id"],
                row["service_code"],
                row["state"],
                "yes" if row["agent_account_id"] else "-",
                row["create_time"],
                row["update_time"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, business_id: BusinessArgument, as_json: JsonOption = False) -> None:
    """Show all that is known of one request, with what happened to it.

    Example: verifield-cloud business show 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.InspectBusinessRequestRequest(business_id=business_id)
    with connect() as client:
        found = client.call(client.business.InspectBusinessRequest, request).business
    row = _describe(found)
    if as_json:
        print_json(row)
        return
    lists = ("permission", "documents", "timeline", "reasons")
    print_values({name: value for name, value in row.items() if name not in lists})
    print_values({f"permission {name}": value for name, value in row["permission"].items()})
    for step in row["timeline"]:
        print(f"{step['time']}  {step['event']}  {step['state']}")
    for document in row["documents"]:
        print(f"document  {document['document_id']}  {document['kind']}  {document['size_bytes']}")
    for reason in row["reasons"]:
        print(visible(f"reason  {reason['code']}  {reason['text']}"))


@app.command()
@operator_command
def document(
    connect: Connect,
    business_id: BusinessArgument,
    document_id: Annotated[str, typer.Argument(metavar="DOCUMENT", help="The id of the document.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write it; never over another.")],
    as_json: JsonOption = False,
) -> None:
    """Write a document of a request to a file that only you can read. The audit chain tells that you did.

    Example: verifield-cloud business document 019ca5a0-0000-7000-8000-000000000001
    019ca5a0-0000-7000-8000-000000000002 --out licence.pdf
    """
    check_free(out)
    request = pb.ReadBusinessDocumentRequest(business_id=business_id, document_id=document_id)
    with connect() as client:
        answers = list(client.receive(client.business.ReadBusinessDocument, request))
    keep_document(out, answers, as_json=as_json)


@app.command()
@operator_command
def close(
    connect: Connect,
    business_id: BusinessArgument,
    why: Annotated[str, typer.Option("--why", help="What the applicant reads.")],
    as_json: JsonOption = False,
) -> None:
    """End a request that is not decided, for an applicant who cannot.

    Example: verifield-cloud business close 019ca5a0-0000-7000-8000-000000000001
    --why "asked for at the window"
    """
    request = pb.CloseBusinessRequestRequest(request_id=str(uuid.uuid4()), business_id=business_id, why=why)
    with connect() as client:
        row = _outline(client.call(client.business.CloseBusinessRequest, request).business)
    if as_json:
        print_json(row)
    else:
        err().print(f"{row['business_id']} is {row['state']}.", markup=False)


@app.command()
@operator_command
def report(
    connect: Connect,
    since: SinceOption,
    until: UntilOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw it into this PNG file too; needs matplotlib.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how long each step of requests and certifications took that ended in a period, by version.

    Example: verifield-cloud business report --since 2026-11-01
    """
    request = pb.GetProcessReportRequest(start_time=to_stamp(since), end_time=until_stamp(until))
    with connect() as client:
        answer = client.call(client.business.GetProcessReport, request)
    rows = [
        *(
            _step("business", _name("BUSINESS_STATE_", pb.BusinessState.Name(one.step)), one)
            for one in answer.steps
        ),
        *(
            _step("certification", _name("APPLICATION_STATE_", ApplicationState.Name(one.step)), one)
            for one in answer.certification_steps
        ),
    ]
    if plot is not None:
        plot_steps(plot, rows, percentiles=_PERCENTILES)
    if as_json:
        print_json({"steps": rows})
        return
    print_table(
        ["PROCESS", "STEP", "VERSION", "COUNT", "HALF", "NINE IN TEN", "99 IN 100", "LONGEST"],
        [
            [
                row["process"],
                row["step"],
                str(row["process_version"]),
                str(row["count"]),
                *(show_span(row[f"{name}_s"]) for name in _PERCENTILES),
            ]
            for row in rows
        ],
    )


@operator_command
def catalogue(
    connect: Connect,
    group: Annotated[int, typer.Option(min=0, max=4, help="Only this group; 0: all.")] = 0,
    language: Annotated[str, typer.Option(help="Of the names: zh, en or es.")] = "en",
    as_json: JsonOption = False,
) -> None:
    """List the kinds of registration business.

    Example: verifield-cloud catalogue --group 3 --language zh
    """
    if language not in ("zh", "en", "es"):
        raise typer.BadParameter("languages are zh, en, es")
    request = catalog_service_pb2.ListServiceTypesRequest(group=group)
    with connect() as client:
        found = client.call(client.catalog.ListServiceTypes, request).service_types
    if as_json:
        rows = [
            {
                "code": one.code,
                "group": one.group,
                "number": one.number,
                "name": {"zh": one.name.zh, "en": one.name.en, "es": one.name.es},
                "needs_reason": one.needs_reason,
            }
            for one in found
        ]
        print_json({"service_types": rows})
        return
    print_table(
        ["GROUP", "CODE", "NAME"],
        [[f"{one.group}.{one.number}", one.code, getattr(one.name, language)] for one in found],
    )


def show_span(seconds: float) -> str:
    """A length of time for people: 3.2 s, 14 min, 5.1 h, 2.0 d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _step(process: str, step: str, one: pb.StepReport | pb.CertificationStepReport) -> dict[str, Any]:
    return {
        "process": process,
        "step": step,
        "process_version": one.process_version,
        "count": one.count,
        "p50_s": one.p50_us / 1e6,
        "p90_s": one.p90_us / 1e6,
        "p99_s": one.p99_us / 1e6,
        "max_s": one.max_us / 1e6,
    }


def _outline(one: pb.BusinessRequest) -> dict[str, Any]:
    return {
        "business_id": one.business_id,
        "service_code": one.service_code,
        "state": _name("BUSINESS_STATE_", pb.BusinessState.Name(one.state)),
        "account_id": one.account_id,
        "agent_account_id": one.agent_account_id,
        "process_version": one.process_version,
        "supplement_until": show_maybe(one, "supplement_until"),
        "create_time": show_time(one.create_time),
        "update_time": show_time(one.update_time),
        "etag": one.etag,
    }


def _describe(one: pb.BusinessRequest) -> dict[str, Any]:
    permission = one.permission
    return _outline(one) | {
        "text": one.text,
        "permission": {
            "check_time": show_time(permission.check_time),
            "valid_from": show_maybe(permission, "valid_from"),
            "valid_until": show_maybe(permission, "valid_until"),
            "method": permission.method,
            "verification_id": permission.verification_id,
            "delegation_id": permission.delegation_id,
        },
        "documents": [
            {
                "document_id": document.document_id,
                "kind": _name("BUSINESS_DOCUMENT_KIND_", pb.BusinessDocumentKind.Name(document.kind)),
                "media_type": document.media_type,
                "size_bytes": document.size_bytes,
                "sha256": document.sha256.hex(),
            }
            for document in one.documents
        ],
        "timeline": [
            {
                "time": show_time(step.time),
                "event": _name("BUSINESS_EVENT_", pb.BusinessEvent.Name(step.event)),
                "state": _name("BUSINESS_STATE_", pb.BusinessState.Name(step.state)),
            }
            for step in one.timeline
        ],
        "reasons": [{"code": reason.code, "text": reason.text} for reason in one.reasons],
    }


def _name(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)
