"""``verifield-cloud log``: the transparency log."""

from __future__ import annotations

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
)
from verifield.note import parse_checkpoint
from verifield.v1.log_service_pb2 import GetCheckpointRequest

app = typer.Typer(help="The transparency log.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep ``checkpoint`` a command of its own while it is the only one."""


@app.command()
@operator_command
def checkpoint(
    connect: Connect,
    as_json: JsonOption = False,
) -> None:
    """Print the newest signed checkpoint (C2SP signed note).

    Example: verifield-cloud log checkpoint --json
    """
    with connect() as client:
        note = client.call(client.log.GetCheckpoint, GetCheckpointRequest()).checkpoint
    if as_json:
        parsed = parse_checkpoint(note)
        print_json({"origin": parsed.origin, "size": parsed.size, "root": parsed.root.hex(), "note": note})
    else:
        print(note, end="")
