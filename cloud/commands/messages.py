"""``verifield-cloud messages``: what was sent to people and what became of it, never what it said."""

from __future__ import annotations

import uuid
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
from verifield.v1 import message_service_pb2 as pb

app = typer.Typer(help="What was sent to people by text message and e-mail.", no_args_is_help=True)

STATES = ("queued", "sending", "delivered", "failed")

MessageArgument = Annotated[str, typer.Argument(metavar="MESSAGE", help="Id of the message.")]


def parse_state(text: str) -> pb.MessageState.ValueType:
    """A state's name; typer turns the error into a usage error."""
    if text.lower() not in STATES:
        raise typer.BadParameter(f"states are {', '.join(STATES)}")
    return pb.MessageState.Value(f"MESSAGE_STATE_{text.upper()}")


@app.command("list")
@operator_command
def list_messages(
    connect: Connect,
    state: Annotated[
        int | None, typer.Option(parser=parse_state, metavar="STATE", help=f"One of {', '.join(STATES)}.")
    ] = None,
    account: Annotated[str, typer.Option(help="Only those to this account.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages, the newest first; addresses have their middle hidden.

    Example: verifield-cloud messages list --state failed
    """
    request = pb.ListMessagesRequest(state=pb.MessageState.ValueType(state or 0), account_id=account)
    with connect() as client:
        found, more = fetch(client, client.messages.ListMessages, request, items="messages", page=page)
    rows = [_describe(message) for message in found]
    if as_json:
        print_json(with_next({"messages": rows}, page, more))
        return
    print_table(
        ["MESSAGE", "CHANNEL", "TO", "TEMPLATE", "STATE", "ATTEMPTS", "FAULT", "CREATED"],
        [
            [
                row["message_id"],
                row["channel"],
                row["masked_address"] or "-",
                row["template"],
                row["state"],
                str(row["attempts"]),
                row["fault"] or "-",
                row["create_time"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, message: MessageArgument, as_json: JsonOption = False) -> None:
    """Show one message.

    Example: verifield-cloud messages show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        answer = client.call(client.messages.GetMessage, pb.GetMessageRequest(message_id=message))
    _print(answer.message, as_json=as_json)


@app.command()
@operator_command
def retry(connect: Connect, message: MessageArgument, as_json: JsonOption = False) -> None:
    """Take up a message that was given up. One that expired, as codes do, is never sent late.

    Example: verifield-cloud messages retry 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.RetryMessageRequest(request_id=str(uuid.uuid4()), message_id=message)
    with connect() as client:
        answer = client.call(client.messages.RetryMessage, request)
    _print(answer.message, as_json=as_json)


def _print(message: pb.SentMessage, *, as_json: bool) -> None:
    if as_json:
        print_json(_describe(message))
    else:
        print_values(_describe(message))


def _describe(message: pb.SentMessage) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "person_id": message.person_id,
        "channel": pb.MessageChannel.Name(message.channel).removeprefix("MESSAGE_CHANNEL_"),
        "masked_address": message.masked_address,
        "template": message.template,
        "language": message.language,
        "state": pb.MessageState.Name(message.state).removeprefix("MESSAGE_STATE_"),
        "attempts": message.attempts,
        "fault": message.fault,
        "create_time": show_time(message.create_time),
        "update_time": show_time(message.update_time),
        "next_attempt_time": show_maybe(message, "next_attempt_time"),
        "expire_time": show_maybe(message, "expire_time"),
    }
