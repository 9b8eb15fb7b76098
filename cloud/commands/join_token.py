"""``verifield-cloud join-token``: let a new device in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    show_time,
)
from verifield.v1.device_service_pb2 import CreateJoinTokenRequest

app = typer.Typer(help="Join tokens, with which devices enrol.", no_args_is_help=True)

_TTL = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_ttl(text: str) -> timedelta:
    """``90s``, ``30m``, ``12h`` or ``7d``; typer turns the error into a usage error."""
    match = _TTL.fullmatch(text)
    if match is None:
        raise typer.BadParameter("write a number and s, m, h or d, for example 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@app.callback()
def group() -> None:
    """Keep ``create`` a command of its own while it is the only one."""


@app.command()
@operator_command
def create(
    connect: Connect,
    site: Annotated[str, typer.Option(help="The site that the device will belong to.")],
    ttl: Annotated[
        timedelta, typer.Option(parser=parse_ttl, metavar="TIME", help="1m to 30d, for example 12h.")
    ] = "1d",  # type: ignore[assignment] # typer parses the default
    account: Annotated[str, typer.Option(help="The account that the device will belong to.")] = "",
    replaces: Annotated[
        str, typer.Option(metavar="DEVICE", help="The device whose place the new one takes.")
    ] = "",
    waive_approval: Annotated[
        bool,
        typer.Option(
            "--waive-approval",
            help="Let the device in without a person comparing its key: whoever holds the token is believed.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a token that enrols one device. It is shown once.

    Example: verifield-cloud join-token create --site bogota-3 --ttl 10m
    """
    request = CreateJoinTokenRequest(
        site_id=site, account_id=account, predecessor_id=replaces, waive_approval=waive_approval
    )
    request.ttl.FromTimedelta(ttl)
    with connect() as client:
        answer = client.call(client.devices.CreateJoinToken, request)
    expires = show_time(answer.expire_time)
    if as_json:
        print_json(
            {
                "join_token": answer.join_token,
                "site_id": site,
                "account_id": account,
                "predecessor_id": replaces,
                "waive_approval": waive_approval,
                "expire_time": expires,
            }
        )
    else:
        print(answer.join_token)
        how = "at once" if waive_approval else "by its TPM, or once you have approved its key"
        err().print(f"Enrols one device at {site} until {expires}; it is let in {how}.", markup=False)
