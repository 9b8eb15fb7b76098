"""What every command shares: options, one way to end with an error, one way to print JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from edge.errors import EdgeError, Interrupted

P = ParamSpec("P")

TABLE_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where a terminal's 80 would cut identifiers."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; default: verifield-edge.toml in the data directory."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Where keys, certificates and the outbox live.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def out() -> Console:
    """For results. What is printed may come from elsewhere, so square brackets in it are no markup."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=TABLE_WIDTH)


def err() -> Console:
    """For progress and problems; square brackets are no markup here either."""
    return Console(stderr=True, highlight=False, markup=False)


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """One line, UTF-8, keys as given."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_values(values: dict[str, Any], *, width: int) -> None:
    """One line for each value, its name in ``width`` columns; what is nested is named with a dot."""
    for name, value in _flat(values, ""):
        shown = "-" if value in (None, "") else value
        out().print(f"{name:<{width}}  {shown}", soft_wrap=True)


def print_fault(error: EdgeError) -> None:
    """One sentence with its code, and what to do, for a person."""
    console = err()
    console.print(Text.assemble((error.code, "bold red"), f": {error.message}"), soft_wrap=True)
    if error.hint:
        console.print(Text.assemble(("What to do:", "dim"), f" {error.hint}"), soft_wrap=True)


def fault_json(error: EdgeError) -> dict[str, str]:
    """The same for a machine."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from ((prefix + name, _in_words(item)) for item in value or [None])
        else:
            yield prefix + name, value


def _in_words(item: Any) -> Any:
    if isinstance(item, dict):
        return "; ".join(f"{name}: {_in_words(value)}" for name, value in item.items())
    return item


def ends_with_exit_code(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a fault into one sentence, a hint and the documented exit status."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            fault: EdgeError = Interrupted()
        except EdgeError as error:
            fault = error
        else:
            return
        if kwargs.get("as_json"):
            print_json({"error": fault_json(fault)})
        print_fault(fault)
        sys.exit(int(fault.exit_code))

    return run
