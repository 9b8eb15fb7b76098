"""``verifield-edge doctor``: what is wrong with what is plugged in, and what to do about it."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import load_config
from edge.errors import ExitCode
from edge.reader.checkup import Finding, Level
from edge.reader.traffic import TRAFFIC
from edge.station import check_up_reader

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_WIDTH = 18


@app.command()
@ends_with_exit_code
def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Port of the card reader.")] = None,
    traffic: Annotated[
        bool,
        typer.Option("--traffic", help="Show commands and replies by name and size; no card's data."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at the card reader: port, rights, speed, protocol, module, photos; status 4 where one fails.

    Example: verifield-edge doctor --reader /dev/serial/by-id/usb-reader
    """
    if traffic:
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
        logging.getLogger("edge.reader.traffic").setLevel(TRAFFIC)
    settings = load_config(config, data_dir=data, reader_port=reader)
    findings = []
    for finding in check_up_reader(settings):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(int(ExitCode.HARDWARE))


def _print(finding: Finding) -> None:
    level = (f"{finding.level:<5}", f"bold {_COLOURS[finding.level]}")
    out().print(Text.assemble(level, f" {finding.check:<{_WIDTH}} {finding.what}"), soft_wrap=True)
    if finding.hint:
        out().print(f"      {'':<{_WIDTH}} {finding.hint}", soft_wrap=True)
