"""``verifield-cloud rules``: rules that change on a day, and who changed them why."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    print_table,
    show_maybe,
)
from cloud.commands.times import FORMATS, TimeOption, to_stamp
from cloud.errors import SetupError
from cloud.paging import MAX_PAGE_SIZE
from verifield.rules import MAX_COUNTER
from verifield.terminal import visible_json
from verifield.v1 import rulebook_pb2
from verifield.v1 import rulebook_service_pb2 as pb

app = typer.Typer(help="Rules with a date: numbers served, versions, time limits.", no_args_is_help=True)

MAX_RULES_FILE_BYTES = 512 * 1024
"""500 segments with their notes; JSON is wordier than what is kept."""

_PREFIX, _STATE = "RULE_KIND_", "RULES_STATE_"
KINDS = {
    value.name.removeprefix(_PREFIX).lower().replace("_", "-"): value.number
    for value in rulebook_pb2.RuleKind.DESCRIPTOR.values
    if value.number
}


def parse_kind(text: str) -> int:
    """A kind's name; typer turns the error into a usage error."""
    try:
        return KINDS[text.strip().lower().replace("_", "-")]
    except KeyError as error:
        raise typer.BadParameter(f"kinds are {', '.join(KINDS)}") from error


KindArgument = Annotated[
    int, typer.Argument(parser=parse_kind, metavar="KIND", help="For example number-segments.")
]
VersionOption = Annotated[int, typer.Option("--version", min=1, max=MAX_COUNTER, help="Of the edition.")]


@app.command("list")
@operator_command
def list_editions(connect: Connect, kind: KindArgument, as_json: JsonOption = False) -> None:
    """List the editions of a kind, newest first.

    Example: verifield-cloud rules list number-segments
    """
    request = pb.ListEditionsRequest(kind=_kind(kind), page_size=MAX_PAGE_SIZE)
    with connect() as client:
        found = [one for page in client.pages(client.rules.ListEditions, request) for one in page.editions]
    rows = [_describe(edition) for edition in found]
    if as_json:
        print_json({"editions": rows})
        return
    print_table(
        ["VERSION", "STATE", "FROM", "UNTIL", "AUTHOR", "NOTE"],
        [
            [
                str(row["version"]),
                row["state"],
                row["effective_time"] or "-",
                row["retire_time"] or "-",
                row["author"],
                row["note"],
            ]
            for row in rows
        ],
    )


@app.command()
@operator_command
def show(
    connect: Connect,
    kind: KindArgument,
    at: TimeOption = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, max=MAX_COUNTER, help="This edition, whatever its time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the rules of a kind that are in effect, as JSON: change them, then publish them.

    Example: verifield-cloud rules show number-segments > rules.json
    """
    request = pb.GetRulesRequest(kind=_kind(kind), at=to_stamp(at), version=version or 0)
    with connect() as client:
        edition = client.call(client.rules.GetRules, request).edition
    if as_json:
        print_json(_describe(edition) | {"rules": json_format.MessageToDict(edition.rules)})
        return
    row = _describe(edition)
    err().print(f"Version {row['version']}, {row['state'].lower()}, by {row['author']}.", markup=False)
    print(visible_json(json_format.MessageToJson(edition.rules, ensure_ascii=False)))


@app.command()
@operator_command
def publish(
    connect: Connect,
    file: Annotated[Path, typer.Option("--file", help="The rules as JSON, for example from `rules show`.")],
    note: Annotated[str, typer.Option("--note", help="Why, for those who look later.")],
    start: Annotated[
        datetime | None,
        typer.Option("--from", help="When they take effect, UTC; default: now.", formats=FORMATS),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish rules that take effect now, or at a time to come.

    Example: verifield-cloud rules publish --file rules.json --from 2026-12-01 --note "carriers are ready"
    """
    request = pb.PublishRulesRequest(
        request_id=str(uuid.uuid4()), rules=read_rules(file), effective_time=to_stamp(start), note=note
    )
    with connect() as client:
        edition = client.call(client.rules.PublishRules, request).edition
    row = _describe(edition)
    if as_json:
        print_json(row)
    else:
        told = f"{row['kind']} version {row['version']} takes effect at {row['effective_time']}."
        err().print(f"Published: {told}", markup=False)
        print(row["version"])


@app.command()
@operator_command
def withdraw(
    connect: Connect, kind: KindArgument, version: VersionOption, as_json: JsonOption = False
) -> None:
    """Take back an edition that has not yet taken effect.

    Example: verifield-cloud rules withdraw number-segments --version 1
    """
    request = pb.WithdrawRulesRequest(request_id=str(uuid.uuid4()), kind=_kind(kind), version=version)
    with connect() as client:
        edition = client.call(client.rules.WithdrawRules, request).edition
    row = _describe(edition)
    if as_json:
        print_json(row)
    else:
        err().print(f"Withdrawn: {row['kind']} version {row['version']}.", markup=False)


@app.command()
@operator_command
def versions(
    connect: Connect,
    client_name: Annotated[str, typer.Argument(metavar="CLIENT", help="For example kiosk.")],
    as_json: JsonOption = False,
) -> None:
    """Show which versions of a client are served, and what the latest one brings.

    Example: verifield-cloud rules versions kiosk
    """
    with connect() as client:
        answer = client.call(client.rules.GetVersionInfo, pb.GetVersionInfoRequest(client=client_name))
    if as_json:
        print_json(json_format.MessageToDict(answer, preserving_proto_field_name=True))
        return
    print_table(["SINCE", "LATEST", "NOTES"], [[answer.min_version, answer.latest_version, answer.notes.en]])


def read_rules(file: Path) -> rulebook_pb2.Rules:
    """Read rules from JSON, of whichever kind.

    Raises:
        SetupError: RULES_UNREADABLE.
    """
    try:
        with file.open("rb") as source:
            # A longer file is cut in its middle, and then is no JSON.
            text = source.read(MAX_RULES_FILE_BYTES)
        rules = json_format.Parse(text.decode(), rulebook_pb2.Rules(), max_recursion_depth=8)
    except (OSError, ValueError, json_format.ParseError) as error:
        raise SetupError(
            "RULES_UNREADABLE",
            f"The file {file} is not rules as JSON: {' '.join(str(error).split())[:200].rstrip('.')}.",
            hint="Begin with what `verifield-cloud rules show KIND` prints.",
        ) from error
    if rules.WhichOneof("rules") is None:
        raise SetupError(
            "RULES_UNREADABLE",
            f"The file {file} holds no rules of any kind.",
            hint="Begin with what `verifield-cloud rules show KIND` prints.",
        )
    return rules


def _kind(number: int) -> rulebook_pb2.RuleKind.ValueType:
    return rulebook_pb2.RuleKind.ValueType(number)


def _describe(edition: rulebook_pb2.RuleEdition) -> dict[str, Any]:
    return {
        "kind": rulebook_pb2.RuleKind.Name(edition.kind).removeprefix(_PREFIX),
        "version": edition.version,
        "state": rulebook_pb2.RulesState.Name(edition.state).removeprefix(_STATE),
        "effective_time": show_maybe(edition, "effective_time"),
        "retire_time": show_maybe(edition, "retire_time"),
        "author": edition.author,
        "note": edition.note,
        "publish_time": show_maybe(edition, "publish_time"),
        "withdraw_time": show_maybe(edition, "withdraw_time"),
    }
