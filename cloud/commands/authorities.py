"""``verifield-cloud authorities``: how the lines to the people's registry, the bank and others are."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    show_maybe,
    show_time,
)
from cloud.errors import ClientError, ExitCode
from verifield.v1 import authority_service_pb2 as pb

app = typer.Typer(help="The authorities that the service asks.", no_args_is_help=True)

_KIND = "AUTHORITY_KIND_"


@app.command()
@operator_command
def status(connect: Connect, as_json: JsonOption = False) -> None:
    """Show each authority's circuit, its last fault and its last answer, as this server knows them.

    Example: verifield-cloud authorities status --json
    """
    with connect() as client:
        answer = client.call(client.authorities.ListAuthorities, pb.ListAuthoritiesRequest())
    rows = [_describe(line) for line in answer.authorities]
    if as_json:
        print_json({"authorities": rows})
        return
    print_table(
        ["AUTHORITY", "CONFIGURED", "CIRCUIT", "FAILED", "UNDER WAY", "LAST ANSWER", "LAST FAULT"],
        [
            [
                row["authority"],
                "yes" if row["configured"] else "no",
                row["circuit"],
                str(row["failed_in_a_row"]),
                str(row["under_way"]),
                row["last_answer_time"] or "-",
                _fault(row["last_fault"]),
            ]
            for row in rows
        ],
    )


@app.command()
@operator_command
def check(
    connect: Connect,
    authority: Annotated[
        str,
        typer.Argument(
            metavar="[AUTHORITY]", help="registry, bank, ctid or carrier; all that are configured."
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the gateways whether they are well; nobody's data is asked for. Ends with 6 where one is not.

    Example: verifield-cloud authorities check registry
    """
    rows = []
    with connect() as client:
        for name in [authority] if authority else _configured(client):
            answer = client.call(
                client.authorities.CheckAuthority, pb.CheckAuthorityRequest(authority=_parse(name))
            )
            rows.append(
                {
                    "authority": name,
                    "well": answer.well,
                    "detail": answer.detail,
                    "seconds": round(answer.duration.ToTimedelta().total_seconds(), 3),
                }
            )
    if as_json:
        print_json({"authorities": rows})
    else:
        print_table(
            ["AUTHORITY", "WELL", "SECONDS", "DETAIL"],
            [
                [
                    str(row["authority"]),
                    "yes" if row["well"] else "no",
                    str(row["seconds"]),
                    str(row["detail"]),
                ]
                for row in rows
            ],
        )
    if not all(row["well"] for row in rows):
        sys.exit(ExitCode.CLOUD)


def _configured(client: Any) -> list[str]:
    answer = client.call(client.authorities.ListAuthorities, pb.ListAuthoritiesRequest())
    return [_name(line.authority) for line in answer.authorities if line.configured]


def _parse(name: str) -> pb.AuthorityKind.ValueType:
    number = pb.AuthorityKind.DESCRIPTOR.values_by_name.get(_KIND + name.upper())
    if number is None or not number.number:
        raise ClientError(
            "AUTHORITY_UNKNOWN",
            f"There is no authority {name}.",
            hint="It is one of registry, bank, ctid and carrier.",
        )
    return pb.AuthorityKind.ValueType(number.number)


def _name(kind: pb.AuthorityKind.ValueType) -> str:
    return pb.AuthorityKind.Name(kind).removeprefix(_KIND).lower()


def _describe(line: pb.AuthorityLine) -> dict[str, Any]:
    fault = None
    if line.HasField("last_fault"):
        kind = pb.AuthorityFaultKind.Name(line.last_fault.kind).removeprefix("AUTHORITY_FAULT_KIND_")
        fault = {"kind": kind, "detail": line.last_fault.detail, "time": show_time(line.last_fault.time)}
    return {
        "authority": _name(line.authority),
        "configured": line.configured,
        "circuit": pb.CircuitState.Name(line.circuit).removeprefix("CIRCUIT_STATE_"),
        "failed_in_a_row": line.failed_in_a_row,
        "under_way": line.under_way,
        "last_answer_time": show_maybe(line, "last_answer_time"),
        "last_fault": fault,
    }


def _fault(fault: dict[str, str] | None) -> str:
    return f"{fault['kind']} ({fault['detail']}) {fault['time']}" if fault else "-"
