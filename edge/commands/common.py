"""What every command shares: options, one way to end with an error, one way to print JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from edge.errors import EdgeError

P = ParamSpec("P")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; default: verifield-edge.toml in the data directory."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Where keys, certificates and the outbox live.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def out() -> Console:
    """For results."""
    return Console(highlight=False)


def err() -> Console:
    """For progress and problems."""
    return Console(stderr=True, highlight=False)


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """One line, UTF-8, keys as given."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def ends_with_exit_code(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a fault into one sentence, a hint and the documented exit status."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except EdgeError as error:
            if kwargs.get("as_json"):
                print_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
            err().print(f"[bold red]{error.code}[/]: {error.message}", soft_wrap=True)
            if error.hint:
                err().print(f"[dim]What to do:[/] {error.hint}", soft_wrap=True)
            sys.exit(int(error.exit_code))

    return run
