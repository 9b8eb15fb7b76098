"""``verifield-edge``: the appliance's command. Each command lives in its own module of edge.commands."""

from __future__ import annotations

import typer

from edge.app import software_version
from edge.commands import models, outbox
from edge.commands.common import JsonOption, out, print_json
from edge.commands.compare import compare
from edge.commands.enroll import enroll
from edge.commands.sync import sync
from edge.commands.verify import verify

app = typer.Typer(
    help="The face-verification appliance. Exit statuses: 0 yes, 1 no, 2 usage, 3 set-up, 4 hardware, "
    "5 input, 6 cloud, 7 storage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(enroll)
app.command()(verify)
app.command()(compare)
app.command()(sync)
app.add_typer(models.app, name="models")
app.add_typer(outbox.app, name="outbox")


@app.command("version")
def print_version(as_json: JsonOption = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": software_version()})
    else:
        out().print(software_version())


def main() -> None:
    """Entry point."""
    app()
