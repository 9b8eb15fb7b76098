"""``verifield-edge doctor``: what is wrong with what is plugged in, and what to do about it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from edge.app import identity_folder, open_identity, open_recorder, open_state
from edge.attest.identity import current_folder
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import EdgeConfig, load_config
from edge.documents import check_up_reader, open_card_reader
from edge.errors import EdgeError, ExitCode
from edge.model import PeripheralKind
from edge.reader.checkup import Finding, Level
from edge.reader.traffic import TRAFFIC
from edge.readiness import note_peripheral

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_WIDTH = 18


@app.command()
@ends_with_exit_code
def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Port of the card reader.")] = None,
    pin: Annotated[
        bool | None,
        typer.Option(
            "--pin/--unpin",
            help="Let no other card reader than this one be used, or any.",
            show_default=False,
        ),
    ] = None,
    traffic: Annotated[
        bool,
        typer.Option("--traffic", help="Show commands and replies by name and size; no card's data."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at the card reader: port, rights, speed, protocol, module, photos; status 4 where one fails.

    --pin writes down which module belongs to this device, where nothing fails; the chain of records tells it.

    Example: verifield-edge doctor --reader /dev/serial/by-id/usb-reader
    """
    if traffic:
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
        logging.getLogger("edge.reader.traffic").setLevel(TRAFFIC)
    settings = load_config(config, data_dir=data, reader_port=reader)
    findings = []
    for finding in _look(settings, pin=pin):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(int(ExitCode.HARDWARE))


def _look(settings: EdgeConfig, *, pin: bool | None) -> Iterator[Finding]:
    if pin is False:
        yield _write_pin(settings, "")
    pinned = ""
    if pin is None:
        try:
            pinned = _read_pin(settings)
        except EdgeError as error:  # a doctor that needs a healthy device is none
            yield Finding(
                "READER_PIN", Level.WARN, f"Which reader is pinned cannot be told ({error.code}).", error.hint
            )
    fails = False
    for finding in check_up_reader(settings, pinned=pinned):
        fails |= finding.level is Level.FAIL
        yield finding
    if pin and not fails:
        reader = open_card_reader(settings)
        reader.close()
        yield _write_pin(settings, reader.sam_id)


def _read_pin(settings: EdgeConfig) -> str:
    """The pinned module; empty where none is, or where there is no device yet."""
    if current_folder(identity_folder(settings)) is None:
        return ""
    with open_state(settings, open_identity(settings)) as state:
        return state.pinned(PeripheralKind.READER)


def _write_pin(settings: EdgeConfig, sam_id: str) -> Finding:
    with open_recorder(settings) as recorder, open_state(settings, recorder.identity) as state:
        note_peripheral(recorder, state, PeripheralKind.READER, sam_id)
        state.pin(PeripheralKind.READER, sam_id)
    what = f"{sam_id} is pinned: no other is used" if sam_id else "no module is pinned any more"
    return Finding("READER_PIN", Level.OK, what)


def _print(finding: Finding) -> None:
    level = (f"{finding.level:<5}", f"bold {_COLOURS[finding.level]}")
    out().print(Text.assemble(level, f" {finding.check:<{_WIDTH}} {finding.what}"), soft_wrap=True)
    if finding.hint:
        out().print(f"      {'':<{_WIDTH}} {finding.hint}", soft_wrap=True)
