"""What every command shares: options, one way to end with an error, one way to print JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from cloud.client import OperatorClient, find_target, open_client
from cloud.errors import ClientError, CloudError, ExitCode, SetupError

P = ParamSpec("P")

DEFAULT_DATA = Path("verifield-cloud-data")

DataOption = Annotated[
    Path, typer.Option("--data", envvar="VERIFIELD_CLOUD_DATA", help="The service's data directory.")
]
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="HOST:PORT; default: from --data.")]
RootOption = Annotated[Path | None, typer.Option("--root", help="Trust root, PEM; default: from --data.")]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the operator token; default: from --data.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def out() -> Console:
    """For results."""
    return Console(highlight=False)


def err() -> Console:
    """For progress and problems."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """One line, UTF-8, keys as given."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A plain table. Cells stay whole however narrow the terminal is: ids are there to be copied."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    header, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    )
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(header, style="bold")
    for line in lines:
        console.print(line)
    if not lines:
        err().print("There are none.")


def show_time(stamp: Timestamp) -> str:
    """ISO 8601, UTC, to the second."""
    return stamp.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def connect(
    data: Path, endpoint: str | None, root: Path | None, token_file: Path | None
) -> Iterator[OperatorClient]:
    """A client for the service that the options name."""
    with open_client(find_target(data, endpoint=endpoint, root=root, token_file=token_file)) as client:
        yield client


def ends_with_exit_code(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a fault into one sentence, a hint and the documented exit status."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (SetupError, ClientError) as error:
            _explain(error, error.code, as_json=bool(kwargs.get("as_json")))
            sys.exit(int(ExitCode.SETUP if isinstance(error, SetupError) else ExitCode.CLOUD))

    return run


def _explain(error: CloudError, code: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"code": code, "message": error.message, "hint": error.hint}})
    console = err()
    console.print(f"[bold red]{code}[/]: ", end="")
    console.print(error.message, markup=False)
    if error.hint:
        console.print("[dim]What to do:[/] ", end="")
        console.print(error.hint, markup=False)
