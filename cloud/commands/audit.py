"""``verifield-cloud audit``: who did what, and whether that was changed since."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    ends_with_exit_code,
    operator_command,
    print_json,
    print_table,
    print_values,
)
from cloud.commands.files import write_output
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    RootsOption,
    opened_store,
    progress_bars,
    read_roots,
    settings,
)
from cloud.errors import ExitCode, SetupError
from verifield.v1 import audit_pb2
from verifield.v1 import audit_service_pb2 as pb

if TYPE_CHECKING:
    from cloud.audit.walk import Report
    from cloud.client import OperatorClient

app = typer.Typer(help="The audit chain.", no_args_is_help=True)

_OUTCOMES = {
    name.removeprefix("AUDIT_OUTCOME_").lower(): number for name, number in audit_pb2.AuditOutcome.items()
}

KeptOption = Annotated[
    list[Path] | None,
    typer.Option("--head", help="A signed head that was kept elsewhere; can be given several times."),
]


@app.command("list")
@operator_command
def list_events(
    connect: Connect,
    caller: Annotated[str, typer.Option(help="Only those of this caller, KIND/NAME.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, for example devices.revoke.")] = "",
    subject: Annotated[str, typer.Option(help="Only those about this id.")] = "",
    outcome: Annotated[str, typer.Option(help="Only these: done, refused or read.")] = "",
    where: Annotated[
        str, typer.Option("--filter", help='For example: time >= "2026-01-31T12:00:00Z"; see docs/api.md.')
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was done, refused and read, the newest first.

    Example: verifield-cloud audit list --action devices.revoke --limit 10
    """
    if outcome and outcome not in _OUTCOMES:
        raise typer.BadParameter("an outcome is done, refused or read")
    request = pb.ListAuditEventsRequest(
        page_size=min(limit, 500),
        caller=caller,
        action=action,
        subject=subject,
        filter=where,
        outcome=_OUTCOMES[outcome or "unspecified"],
    )
    events: list[audit_pb2.AuditEvent] = []
    with connect() as client:
        for page in client.pages(client.audit.ListAuditEvents, request):
            events += page.events
            if len(events) >= limit:
                break
    shown = [_describe(event) for event in events[:limit]]
    if as_json:
        print_json({"events": shown})
        return
    columns = ["SEQ", "TIME", "CALLER", "ACTION", "SUBJECT", "OUTCOME", "FACTS"]
    print_table(columns, [[_cell(value) for value in event.values()][:7] for event in shown])


@app.command()
@operator_command
def head(
    connect: Connect,
    sign: Annotated[bool, typer.Option("--sign", help="Sign the chain's end now.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="Keep the signed head in this file, elsewhere.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the chain stands, and its newest signed head.

    Example: verifield-cloud audit head --sign --output kept.head
    """
    with connect() as client:
        if sign:
            client.call(client.audit.SignAuditHead, pb.SignAuditHeadRequest())
        found = client.call(client.audit.GetAuditHead, pb.GetAuditHeadRequest())
    if output is not None:
        if not found.HasField("signed"):
            raise SetupError("AUDIT_EMPTY", "There is no signed head yet.", hint="Sign one now with --sign.")
        write_output(output, found.signed.SerializeToString(deterministic=True))
    values: dict[str, Any] = {"seq": found.seq, "sha256": found.sha256.hex(), "signed": None}
    if found.HasField("signed"):
        values["signed"] = _describe_head(found.signed)
    if as_json:
        print_json(values)
        return
    signed = values.pop("signed") or {}
    print_values(values | {f"signed {name}": value for name, value in signed.items()})


@app.command()
@ends_with_exit_code
def verify(
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    root: RootsOption = None,
    kept: KeptOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the running service instead of reading its database.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every event, every signed head, and the heads that you kept; status 4 where something is wrong.

    Reads the database itself, so that the service need not be believed; --online checks what it sends.

    Example: verifield-cloud audit verify --data data --head kept.head
    """
    from cloud.audit.check import check_chain  # noqa: PLC0415 (the database layer; half a second)

    config = settings(config_file, data, database)
    roots = read_roots(root or config.keys_folder / "root.pem")
    heads = [_read_head(path) for path in kept or ()]
    if online:
        report = _verify_online(config.data, roots, heads)
    else:
        with opened_store(config) as store, progress_bars() as bars, store.reading() as connection:
            report = check_chain(
                connection,
                roots=roots,
                kept=heads,
                progress=lambda done, total: bars("events", done, total),
            )
    print_report(report, as_json=as_json)
    if not report.holds:
        sys.exit(ExitCode.UNSOUND)


def print_report(report: Report, *, as_json: bool) -> None:
    """The outcome, and the findings one by one."""
    values = report_values(report)
    if as_json:
        print_json(values)
        return
    findings = values.pop("findings")
    print_values(values)
    if findings:
        print_table(["FAULT", "SEQ", "WHAT"], [[_cell(cell) for cell in one.values()] for one in findings])


def report_values(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "holds": report.holds,
        "events": report.end.seq,
        "end_sha256": report.end.sha256.hex(),
        "signed_heads": report.heads,
        "kept_heads": report.kept_heads,
        "findings": [{"fault": one.fault.value, "seq": one.seq, "what": one.text} for one in report.findings],
    }


def _verify_online(data: Path, roots: Sequence[Any], heads: Sequence[audit_pb2.SignedAuditHead]) -> Report:
    from cloud.audit.walk import Walk, conclude, judge_heads  # noqa: PLC0415
    from cloud.client import find_target, open_client  # noqa: PLC0415
    from cloud.store.audit import ChainEnd  # noqa: PLC0415

    target = find_target(data, endpoint=None, root=None, token_file=None)
    with open_client(target) as client, progress_bars() as bars:
        end = client.call(client.audit.GetAuditHead, pb.GetAuditHeadRequest())
        own = judge_heads(_all_heads(client), heads, roots=roots)
        walk = Walk(own.marks | {end.seq})
        for page in client.receive(client.audit.ExportAuditEvents, pb.ExportAuditEventsRequest()):
            for content in page.events:
                walk.step(content)
            bars("events", min(walk.end.seq, end.seq), end.seq)
    walk.finish_before(ChainEnd(end.seq, end.sha256))
    return conclude(walk, own)


def _all_heads(client: OperatorClient) -> list[audit_pb2.SignedAuditHead]:
    found: list[audit_pb2.SignedAuditHead] = []
    for page in client.pages(client.audit.ListAuditHeads, pb.ListAuditHeadsRequest(page_size=500)):
        found += page.heads
    return found


def _read_head(path: Path) -> audit_pb2.SignedAuditHead:
    from cloud.audit.heads import parse_signed_head  # noqa: PLC0415
    from verifield.errors import VerifieldError  # noqa: PLC0415

    try:
        return parse_signed_head(path.read_bytes())
    except (OSError, VerifieldError) as error:
        raise SetupError(
            "AUDIT_HEAD_UNUSABLE",
            f"The file {path} cannot be used ({type(error).__name__}).",
            hint="Give a file that was written by: verifield-cloud audit head --output FILE.",
        ) from error


def _describe(event: audit_pb2.AuditEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time": _time(event.time_us),
        "caller": event.caller,
        "action": event.action,
        "subject": event.subject,
        "outcome": audit_pb2.AuditOutcome.Name(event.outcome).removeprefix("AUDIT_OUTCOME_").lower(),
        "facts": {fact.key: fact.value for fact in event.facts},
        "request_id": event.request_id,
    }


def _describe_head(signed: audit_pb2.SignedAuditHead) -> dict[str, Any]:
    from verifield.dsse import parse_envelope  # noqa: PLC0415

    parsed = audit_pb2.AuditHead.FromString(parse_envelope(signed.envelope).payload)
    return {
        "seq": parsed.seq,
        "sha256": parsed.sha256.hex(),
        "time": _time(parsed.time_us),
        "log_index": signed.log_index,
    }


def _time(microseconds: int) -> str:
    from cloud.sources import from_us  # noqa: PLC0415

    return from_us(microseconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={one}" for key, one in value.items())
    return str(value)
