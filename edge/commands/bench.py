"""``verifield-edge bench``: how fast this device is, in half a minute."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
)
from edge.config import load_config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def bench(
    config: ConfigOption = None,
    data: DataOption = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="A picture of one person: a whole decision is measured too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this device: looking, measuring a face, searching, storing, signing. Nothing is recorded.

    A signature is made with the device's own key where it has one, over bytes that are no record.

    Example: verifield-edge bench --picture me.jpg --json
    """
    from edge.bench import measure_device  # noqa: PLC0415 - the networks take a second to load
    from edge.capture.pictures import read_picture  # noqa: PLC0415

    settings = load_config(config, data_dir=data)
    image = read_picture(picture) if picture is not None else None
    measures = []
    for measure in measure_device(settings, picture=image):
        measures.append(measure)
        if not as_json and err().is_terminal:
            err().print(f"{measure.name} ...", style="dim")
    if as_json:
        print_json([asdict(measure) for measure in measures])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what")
    for name in ("median ms", "worst ms", "times"):
        table.add_column(name, justify="right")
    table.add_column("with")
    for one in measures:
        table.add_row(one.name, f"{one.median_ms:.2f}", f"{one.worst_ms:.2f}", str(one.count), one.note)
    out().print(table)
