"""``verifield-edge models``: what the face models are, whether they are intact, and fetching them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
    progress_bar,
)
from edge.config import load_config
from edge.errors import ExitCode
from edge.models.store import ModelState, ModelStatus, ModelStore

app = typer.Typer(help="Face models: list, check, fetch.", no_args_is_help=True, add_completion=False)


@app.command("list")
@ends_with_exit_code
def list_models(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List every model with its licence and whether it is on this device.

    Example: verifield-edge models list --json
    """
    _print(_open(config, data).list(), as_json)


@app.command("verify")
@ends_with_exit_code
def verify_models(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Read every model that is here and check its digest; status 1 where a default one is not intact.

    Example: verifield-edge models verify
    """
    statuses = _open(config, data).verify()
    _print(statuses, as_json)
    if any(status.entry.default and status.state is not ModelState.READY for status in statuses):
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("pull")
@ends_with_exit_code
def pull_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models to fetch; none: the defaults, and what liveness can use of the folder."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what is missing, check it and prepare it.

    The folder named by VERIFIELD_MODELS is asked first: that is how a device without a network is served.

    Example: VERIFIELD_MODELS=/media/stick verifield-edge models pull
    """
    store = _open(config, data)
    with progress_bar(quiet=quiet or as_json) as progress:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        store.pull(names or None, tell)
    if not quiet:
        shown = [
            status
            for status in store.list()
            if (
                status.entry.name in names
                if names
                else status.entry.default or status.state is ModelState.READY
            )
        ]
        _print(tuple(shown), as_json)


def _open(config: Path | None, data: Path | None) -> ModelStore:
    """The store that ``verify`` and ``compare`` use with the same settings."""
    return ModelStore.open(load_config(config, data_dir=data).models_dir)


def _print(statuses: tuple[ModelStatus, ...], as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "models": [
                    {
                        "name": status.entry.name,
                        "role": status.entry.role,
                        "licence": status.entry.licence,
                        "default": status.entry.default,
                        "sha256": status.entry.sha256,
                        "state": status.state.value,
                        "path": str(status.path),
                    }
                    for status in statuses
                ]
            }
        )
        return
    table = Table("model", "role", "licence", "default", "state", box=None)
    for status in statuses:
        entry = status.entry
        default = "yes" if entry.default else ""
        table.add_row(entry.name, entry.role, entry.licence, default, status.state.value)
    out().print(table)
