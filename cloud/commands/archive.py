"""``verifield-cloud archive``: what was decided about certifications, with all that it rests on."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    MAX_NUMBER,
    Connect,
    JsonOption,
    ends_with_exit_code,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_time,
)
from cloud.commands.files import check_free, write_new
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.offline import ConfigOption, FolderOption, RootsOption, read_roots, settings
from cloud.commands.times import FORMATS, to_stamp
from cloud.errors import ExitCode, SetupError
from verifield.terminal import visible
from verifield.v1 import archive_service_pb2 as pb
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as certification_pb

app = typer.Typer(help="Decided certifications: found, shown, exported, checked.", no_args_is_help=True)

_OUTCOMES = {
    "passed": certification_pb.RESULT_OUTCOME_PASSED,
    "not-passed": certification_pb.RESULT_OUTCOME_NOT_PASSED,
}

ResultArgument = Annotated[str, typer.Argument(metavar="RESULT", help="Id of the result: archive search.")]
OutputOption = Annotated[Path, typer.Option("--output", help="Where to write it; never over another.")]


@app.command()
@operator_command
def search(
    connect: Connect,
    account: Annotated[str, typer.Option(help="Only those of this account.")] = "",
    outcome: Annotated[str, typer.Option(help="Only these: passed or not-passed.")] = "",
    reviewer: Annotated[
        int, typer.Option(min=0, max=MAX_NUMBER, help="Only those of the reviewer with this number.")
    ] = 0,
    since: Annotated[
        datetime | None, typer.Option("--since", help="Decided from here on, UTC.", formats=FORMATS)
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", help="Decided before this, UTC.", formats=FORMATS)
    ] = None,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List decisions, newest first.

    Example: verifield-cloud archive search --outcome not-passed --since 2026-11-01
    """
    if outcome and outcome not in _OUTCOMES:
        raise typer.BadParameter("an outcome is passed or not-passed")
    request = pb.SearchArchiveRequest(
        account_id=account,
        outcome=_OUTCOMES.get(outcome, certification_pb.RESULT_OUTCOME_UNSPECIFIED),
        reviewer_number=reviewer,
        from_time=to_stamp(since),
        until_time=to_stamp(until),
    )
    with connect() as client:
        found, more = fetch(client, client.archive.SearchArchive, request, items="entries", page=page)
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"entries": rows}, page, more))
        return
    columns = ("result_id", "decided", "type", "outcome", "reviewer", "state", "account_id")
    print_table(
        [column.upper() for column in columns], [[str(row[column]) for column in columns] for row in rows]
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, result: ResultArgument, as_json: JsonOption = False) -> None:
    """Show one decision: reasons, measures, and the digests of its files.

    Example: verifield-cloud archive show 019ca5a0-0000-7000-8000-000000000001
    """
    from verifield.dsse import parse_envelope  # noqa: PLC0415

    with connect() as client:
        found = client.call(client.archive.GetArchived, pb.GetArchivedRequest(result_id=result))
    envelope = parse_envelope(badge_pb2.SignedManifest.FromString(found.manifest).envelope)
    manifest = badge_pb2.ArchiveManifest.FromString(envelope.payload)
    values: dict[str, Any] = _describe(found.entry) | {
        "reasons": [{"code": one.code, "text": one.text} for one in found.reasons],
        "measures": [
            {"reason": one.reason, "caller": one.caller, "time": show_time(one.time)}
            for one in found.measures
        ],
        "files": {one.name: one.sha256.hex() for one in manifest.files},
    }
    if as_json:
        print_json(values)
        return
    files, reasons, measures = (values.pop(name) for name in ("files", "reasons", "measures"))
    print_values(values)
    for one in reasons:
        typer.echo(visible(f"reason   {one['code']}: {one['text']}"))
    for one in measures:
        typer.echo(visible(f"measure  {one['time']} {one['caller']}: {one['reason']}"))
    for name, digest in files.items():
        typer.echo(visible(f"{digest}  {name}"))


@app.command()
@operator_command
def export(
    connect: Connect, result: ResultArgument, output: OutputOption, as_json: JsonOption = False
) -> None:
    """Write one decision with all its files as a ZIP archive, which only you can read.

    Example: verifield-cloud archive export 019ca5a0-0000-7000-8000-000000000001 --output bundle.zip
    """
    check_free(output)
    with connect() as client:
        pieces = client.receive(client.archive.ExportArchived, pb.ExportArchivedRequest(result_id=result))
        content = b"".join(piece.chunk for piece in pieces)
    write_new(output, content)
    _tell({"archive": str(output), "bytes": len(content)}, as_json=as_json)


@app.command()
@ends_with_exit_code
def verify(
    archive: Annotated[Path, typer.Argument(help="An archive that was exported.")],
    config_file: ConfigOption = None,
    data: FolderOption = None,
    root: RootsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an archive without the service: who signed its list of files, and each file; status 4 if not.

    Example: verifield-cloud archive verify bundle.zip --root root.pem
    """
    from verifield.archive import check_archive  # noqa: PLC0415
    from verifield.errors import VerifieldError  # noqa: PLC0415

    roots = read_roots(root or settings(config_file, data).keys_folder / "root.pem")
    try:
        with archive.open("rb") as file:
            manifest = check_archive(file, roots=roots)
    except OSError as error:
        raise SetupError(
            "FILE_UNREADABLE",
            f"The file {archive} cannot be read ({type(error).__name__}).",
            hint="Check its path.",
        ) from error
    except VerifieldError as error:
        _tell({"holds": False, "fault": error.code, "what": error.message}, as_json=as_json)
        sys.exit(ExitCode.UNSOUND)
    values = {"holds": True, "result_id": manifest.result_id, "files": len(manifest.files)}
    _tell(values, as_json=as_json)


@app.command()
@operator_command
def case(
    connect: Connect,
    application: Annotated[str, typer.Argument(help="Id of the application: the task's subject has it.")],
    as_json: JsonOption = False,
) -> None:
    """Show an application as its reviewer needs it: the form, and what was uploaded.

    Example: verifield-cloud archive case 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        found = client.call(client.archive.GetCase, pb.GetCaseRequest(application_id=application))
    form = {one.name: one.value for one in found.form}
    materials = [
        {
            "material_id": one.material_id,
            "kind": one.kind,
            "media_type": one.media_type,
            "bytes": one.size_bytes,
            "sha256": one.sha256.hex(),
        }
        for one in found.materials
    ]
    if as_json:
        print_json({"application_id": application, "form": form, "materials": materials})
        return
    print_values(form)
    print_table(
        ["MATERIAL", "KIND", "TYPE", "BYTES", "SHA-256"],
        [[str(value) for value in one.values()] for one in materials],
    )


@app.command()
@operator_command
def read(
    connect: Connect,
    application: Annotated[str, typer.Argument(help="Id of the application.")],
    material: Annotated[str, typer.Argument(help="Id of the material: archive case.")],
    output: OutputOption,
    as_json: JsonOption = False,
) -> None:
    """Write one piece of material to a file that only you can read.

    Example: verifield-cloud archive read 019ca5a0-0000-7000-8000-000000000001
    019ca5a0-0000-7000-8000-000000000002 --output front.jpg
    """
    check_free(output)
    request = pb.ReadMaterialRequest(application_id=application, material_id=material)
    with connect() as client:
        content = b"".join(one.chunk for one in client.receive(client.archive.ReadMaterial, request))
    write_new(output, content)
    _tell({"file": str(output), "bytes": len(content)}, as_json=as_json)


def _describe(entry: pb.ArchiveEntry) -> dict[str, Any]:
    outcome = certification_pb.ResultOutcome.Name(entry.outcome).removeprefix("RESULT_OUTCOME_")
    state = certification_pb.ApplicationState.Name(entry.state).removeprefix("APPLICATION_STATE_")
    return {
        "result_id": entry.result_id,
        "application_id": entry.application_id,
        "account_id": entry.account_id,
        "type": entry.type_code,
        "outcome": outcome.lower(),
        "reviewer": entry.reviewer_number,
        "decided": show_time(entry.decide_time),
        "state": state.lower(),
    }


def _tell(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        print_values(values)
