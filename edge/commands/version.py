"""``verifield-edge version``."""

from __future__ import annotations

from importlib.metadata import version

import typer

from edge.commands.common import JsonOption, ends_with_exit_code, out, print_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def print_version(as_json: JsonOption = False) -> None:
    """Print the version.

    Example: verifield-edge version --json
    """
    release = version("verifield")
    if as_json:
        print_json({"version": release})
    else:
        out().print(release)
