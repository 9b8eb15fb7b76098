"""What every command shares: options, one way to end with an error, one way to print JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text

from edge.errors import EdgeError, Interrupted, SoftwareFault, StorageError
from verifield.streams import give_up, or_nowhere
from verifield.terminal import VisibleConsole, visible, visible_json
from verifield.usage import DEBUG_VARIABLE

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


_log = logging.getLogger(__name__)


def out() -> Console:
    """For results. What is printed may come from elsewhere, so square brackets in it are no markup.

    Its ``print`` raises StorageError: FILE_NOT_WRITTEN.
    """
    console = _Results(highlight=False, markup=False)
    return console if console.is_terminal else _Results(highlight=False, markup=False, width=TABLE_WIDTH)


def err() -> Console:
    """For progress and problems; square brackets are no markup here either."""
    return VisibleConsole(stderr=True, highlight=False, markup=False)


def progress_bar(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """On standard error; nothing where that is no terminal, not even the line at its end."""
    console = err()
    hidden = quiet or not console.is_interactive
    return Progress(*columns, console=console, transient=True, disable=hidden)


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """One line, UTF-8, keys as given; what would steer a terminal is escaped.

    Raises:
        StorageError: FILE_NOT_WRITTEN.
    """
    line = visible_json(json.dumps(value, ensure_ascii=False))
    with _to_standard_output():
        print(line, flush=True)


def print_values(values: dict[str, Any], *, width: int) -> None:
    """One line for each value, its name in ``width`` columns; what is nested is named with a dot."""
    for name, value in _flat(values, ""):
        shown = "-" if value in (None, "") else visible(str(value))
        out().print(f"{name:<{width}}  {shown}", soft_wrap=True)


def print_fault(error: EdgeError) -> None:
    """One sentence with its code, and what to do, for a person."""
    console = err()
    console.print(Text.assemble((error.code, "bold red"), f": {visible(error.message)}"), soft_wrap=True)
    if error.hint:
        console.print(Text.assemble(("What to do:", "dim"), f" {visible(error.hint)}"), soft_wrap=True)


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


class _Results(VisibleConsole):
    def print(self, *args: Any, **kwargs: Any) -> None:
        with _to_standard_output():
            super().print(*args, **kwargs)


@contextmanager
def _to_standard_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough: no fault, and Typer's to end
        raise
    except OSError as error:
        give_up(sys.stdout)
        raise StorageError(
            "FILE_NOT_WRITTEN",
            f"The answer cannot be written to standard output ({error.strerror or type(error).__name__}).",
            hint="Send it to where there is room. The command may have done its work: look before you "
            "run it again.",
        ) from error


def ends_with_exit_code(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a fault into one sentence, a hint and the documented exit status; a bug, too."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            fault: EdgeError = Interrupted()
        except EdgeError as error:
            fault = error
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # Typer's own ways to end
        except Exception as error:  # the last resort: a traceback is no answer
            fault = _bug(error)
        else:
            return
        _tell_fault(fault, as_json=bool(kwargs.get("as_json")))
        sys.exit(int(fault.exit_code))

    return run


def _bug(error: Exception) -> EdgeError:
    """What may be told of a fault that nobody foresaw: its type, never its words."""
    _log.debug("a fault that nobody foresaw", exc_info=error)
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    return SoftwareFault(
        "INTERNAL_FAULT",
        f"The program failed where it should not ({type(error).__name__}).",
        hint=f"Run it again with {DEBUG_VARIABLE}=1 to see where, and report that to who maintains the "
        "software; it may name people and files.",
    )


def _tell_fault(fault: EdgeError, *, as_json: bool) -> None:
    """Where one stream takes nothing, the other one and the exit status still tell it."""
    if as_json:
        with suppress(StorageError):
            print_json({"error": fault_json(fault)})
    with or_nowhere(sys.stderr):
        print_fault(fault)
