"""``verifield-edge scan``: what can be read from pictures of a document, before a session rests on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge.attest.clock import SystemClock
from edge.capture.pictures import read_picture
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    print_json,
    print_values,
)
from edge.config import load_config
from edge.documents import looker
from edge.errors import ExitCode
from edge.reader.numbers import mask_number
from edge.reader.scan.scanner import Scan
from edge.station import open_vision
from verifield.tasks import mask_name

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_WIDTH = 14


@app.command()
@ends_with_exit_code
def scan(
    front: Annotated[Path, typer.Argument(help="Picture of one side of the card, or of a passport's page.")],
    back: Annotated[Path | None, typer.Argument(help="Picture of the other side.")] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print names and numbers in full: personal data.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a document from pictures; status 0 when nothing is missing. Nothing is kept or recorded.

    Names and numbers are masked unless --show is given.

    Example: verifield-edge scan front.jpg back.jpg
    """
    settings = load_config(config, data_dir=data)
    sides = [read_picture(path) for path in (front, back) if path is not None]
    look = looker(settings, sides, detector=open_vision(settings).detector, today=SystemClock().wall().date())
    found = look()
    answer = _to_json(found, show=show)
    if as_json:
        print_json(answer)
    else:
        print_values(answer, width=_WIDTH)
    if found.missing() and found.zone is None:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _to_json(found: Scan, *, show: bool) -> dict[str, Any]:
    fields, zone = found.fields, found.zone
    name, number = (str, str) if show else (mask_name, mask_number)
    return {
        "name": name(fields.name),
        "number": number(fields.number),
        "valid_from": fields.valid_from,
        "valid_to": fields.valid_to,
        "portrait": found.portrait is not None,
        "missing": list(found.missing()),
        "zone": None
        if zone is None
        else {
            "name": name(zone.name),
            "number": number(zone.number),
            "nationality": zone.nationality,
            "birth": zone.birth.isoformat() if show else "*",
            "expires": zone.expires.isoformat(),
        },
    }
