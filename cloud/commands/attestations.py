"""``verifield-cloud attestations``: what devices delivered, and bundles for third parties."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    out,
    print_json,
    print_table,
    show_time,
)
from cloud.commands.files import write_output
from cloud.commands.listing import FilterOption
from cloud.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from verifield.v1.attestation_pb2 import Outcome, RecordKind
from verifield.v1.attestation_service_pb2 import (
    AttestationSummary,
    GetAttestationRequest,
    GetBundleRequest,
    ListAttestationsRequest,
)

app = typer.Typer(help="Delivered attestations.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The attestation's id.")]


class OutcomeName(StrEnum):
    """The outcomes that can be asked for."""

    VERIFIED = "VERIFIED"
    NOT_MATCHED = "NOT_MATCHED"
    SPOOF = "SPOOF"
    INCONCLUSIVE = "INCONCLUSIVE"
    MANUAL = "MANUAL"
    ABORTED = "ABORTED"


@app.command("list")
@operator_command
def list_attestations(
    connect: Connect,
    device: Annotated[str, typer.Option(help="Of this device only.")] = "",
    outcome: Annotated[
        OutcomeName | None, typer.Option(case_sensitive=False, help="With this outcome only.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = DEFAULT_PAGE_SIZE,
    filter_text: FilterOption = "",
    as_json: JsonOption = False,
) -> None:
    """List attestations, newest first.

    Example: verifield-cloud attestations list --outcome VERIFIED --limit 10
    """
    found: list[AttestationSummary] = []
    request = ListAttestationsRequest(device_id=device, filter=filter_text)
    if outcome:
        request.outcome = Outcome.Value(f"OUTCOME_{outcome}")
    with connect() as client:
        while len(found) < limit:
            request.page_size = min(MAX_PAGE_SIZE, limit - len(found))
            answer = client.call(client.attestations.ListAttestations, request)
            found += answer.attestations
            request.page_token = answer.next_page_token
            if not request.page_token:
                break
    rows = [_describe(summary) for summary in found]
    if as_json:
        print_json({"attestations": rows})
        return
    print_table(
        ["ATTESTATION", "DEVICE", "RECORD", "RECEIVED", "OUTCOME", "REASONS"],
        [
            [
                row["attestation_id"],
                row["device_id"],
                f"{row['chain_epoch']}/{row['seq']}",
                row["received_time"],
                row["outcome"] or row["kind"],
                " ".join(row["reasons"]),
            ]
            for row in rows
        ],
    )


@app.command()
@operator_command
def show(
    connect: Connect,
    attestation_id: IdArgument,
    as_json: JsonOption = False,
) -> None:
    """Show one attestation with its whole statement.

    Example: verifield-cloud attestations show 019ca5a0-0000-7000-8000-000000000001 --json
    """
    with connect() as client:
        answer = client.call(
            client.attestations.GetAttestation, GetAttestationRequest(attestation_id=attestation_id)
        )
    row = _describe(answer.summary)
    statement = MessageToDict(answer.statement, preserving_proto_field_name=True)
    if as_json:
        print_json({"attestation": row, "statement": statement})
        return
    print_table(["FIELD", "VALUE"], [[name, str(value)] for name, value in row.items() if value])
    out().print_json(data=statement)


@app.command()
@operator_command
def bundle(
    connect: Connect,
    attestation_id: IdArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write all that a third party needs to check one attestation offline.

    Example: verifield-cloud attestations bundle 019ca5a0-0000-7000-8000-000000000001 --output record.bundle
    """
    with connect() as client:
        answer = client.call(client.attestations.GetBundle, GetBundleRequest(attestation_id=attestation_id))
    content = answer.bundle.SerializeToString(deterministic=True)
    write_output(output, content)
    if as_json:
        print_json({"attestation_id": attestation_id, "file": str(output), "bytes": len(content)})
    else:
        err().print(f"Wrote {len(content)} bytes to {output}.", markup=False)


def _describe(summary: AttestationSummary) -> dict[str, Any]:
    return {
        "attestation_id": summary.attestation_id,
        "device_id": summary.device_id,
        "site_id": summary.site_id,
        "chain_epoch": summary.chain_epoch,
        "seq": summary.seq,
        "kind": RecordKind.Name(summary.kind).removeprefix("RECORD_KIND_"),
        "outcome": Outcome.Name(summary.outcome).removeprefix("OUTCOME_") if summary.outcome else None,
        "reasons": list(summary.reasons),
        "wall_time": show_time(summary.wall_time),
        "received_time": show_time(summary.received_time),
        "log_index": summary.log_index,
        "envelope_sha256": summary.envelope_sha256.hex(),
    }
