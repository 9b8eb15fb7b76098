"""``verifield-edge compare``: are the people on two pictures the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.compare import compare_files
from edge.config import load_config
from edge.errors import ExitCode
from edge.policy import Policy
from edge.station import open_vision

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def compare(
    first: Annotated[Path, typer.Argument(help="A picture with one person on it.")],
    second: Annotated[Path, typer.Argument(help="Another picture with one person on it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the faces on two pictures; status 0 for a match, 1 for none.

    Example: verifield-edge compare passport.jpg selfie.jpg --json
    """
    vision = open_vision(load_config(config, data_dir=data))
    comparison = compare_files(
        first, second, detector=vision.detector, embedder=vision.embedder, policy=Policy()
    )
    answer = comparison.to_json()
    if as_json:
        print_json(answer)
    else:
        colour = "green" if comparison.result.matched else "yellow"
        out().print(
            Text.assemble(
                (answer["decision"], f"bold {colour}"),
                f"  score {answer['score']:.3f}, threshold {answer['threshold']:.3f} "
                f"(false match rate {answer['fmr']:.0e})",
            )
        )
    if not comparison.result.matched:
        raise typer.Exit(int(ExitCode.NEGATIVE))
