"""``verifield-cloud feedback``: what users think of the process, for those who improve it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from cloud.commands.common import Connect, JsonOption, operator_command, print_json, print_table, show_time
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.times import FORMATS, SinceOption, UntilOption, to_stamp, until_stamp
from verifield.v1 import feedback_service_pb2 as pb

app = typer.Typer(help="What users think of the process.", no_args_is_help=True)

_PREFIX = "FEEDBACK_CATEGORY_"
_LOOK_ALIKES = str.maketrans("OIL", "011")
CATEGORIES = {
    value.name.removeprefix(_PREFIX).lower().replace("_", "-"): value.number
    for value in pb.FeedbackCategory.DESCRIPTOR.values
    if value.number
}


def parse_category(text: str) -> int:
    """A category's name; typer turns the error into a usage error."""
    try:
        return CATEGORIES[text.strip().lower().replace("_", "-")]
    except KeyError as error:
        raise typer.BadParameter(f"categories are {', '.join(CATEGORIES)}") from error


def normal_number(text: str) -> str:
    """A number as somebody read it out: small letters, and the ones that no number has, taken for digits."""
    head, dash, rest = text.strip().upper().partition("-")
    return head + dash + rest.translate(_LOOK_ALIKES)


@app.command("list")
@operator_command
def list_feedback(
    connect: Connect,
    category: Annotated[
        int | None, typer.Option(parser=parse_category, metavar="CATEGORY", help="Only what is about this.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", help="From this time or day on, UTC.", formats=FORMATS)
    ] = None,
    until: UntilOption = None,
    number: Annotated[str, typer.Option("--number", help="Only the one with this number.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what came, newest first. Reading it is noted in the audit chain.

    Example: verifield-cloud feedback list --category face --since 2026-11-01
    """
    request = pb.ListFeedbackRequest(
        category=pb.FeedbackCategory.ValueType(category or 0),
        start_time=to_stamp(since),
        end_time=to_stamp(until),
        ack_number=normal_number(number),
    )
    with connect() as client:
        found, more = fetch(client, client.feedback.ListFeedback, request, items="feedback", page=page)
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"feedback": rows}, page, more))
        return
    print_table(
        ["NUMBER", "RECEIVED", "CATEGORY", "APP", "SCREEN", "TEXT"],
        [
            [
                row["ack_number"],
                row["receive_time"],
                row["category"],
                " ".join(filter(None, (row["app"], row["app_version"]))) or "-",
                row["screen"] or "-",
                " ".join(row["text"].split()),
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def summary(
    connect: Connect, since: SinceOption, until: UntilOption = None, as_json: JsonOption = False
) -> None:
    """Count what came in a period, by category, most first.

    Example: verifield-cloud feedback summary --since 2026-11-01
    """
    request = pb.SummarizeFeedbackRequest(start_time=to_stamp(since), end_time=until_stamp(until))
    with connect() as client:
        answer = client.call(client.feedback.SummarizeFeedback, request)
    counts = [
        {"category": _category(one.category), "count": one.count, "from_accounts": one.from_accounts}
        for one in answer.counts
    ]
    if as_json:
        print_json({"counts": counts, "total": answer.total})
        return
    print_table(
        ["CATEGORY", "COUNT", "FROM ACCOUNTS"],
        [[str(one["category"]), str(one["count"]), str(one["from_accounts"])] for one in counts],
    )


def _category(number: pb.FeedbackCategory.ValueType) -> str:
    return pb.FeedbackCategory.Name(number).removeprefix(_PREFIX)


def _describe(one: pb.Feedback) -> dict[str, Any]:
    return {
        "ack_number": one.ack_number,
        "category": _category(one.category),
        "text": one.text,
        "app": one.context.app,
        "app_version": one.context.app_version,
        "screen": one.context.screen,
        "language": one.context.language,
        "account_id": one.account_id,
        "device_id": one.device_id,
        "receive_time": show_time(one.receive_time),
    }
