"""What every command shares: options, one way to end with an error, one way to print JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from cloud.client import OperatorClient, find_target, open_client
from cloud.errors import ClientError, ExitCode, SetupError
from verifield.terminal import VisibleConsole, visible, visible_json
from verifield.usage import tell_fault

P = ParamSpec("P")

DEFAULT_DATA = Path("verifield-cloud-data")

DataOption = Annotated[
    Path, typer.Option("--data", envvar="VERIFIELD_CLOUD_DATA", help="The service's data directory.")
]
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="HOST:PORT; default: from --data.")]
RootOption = Annotated[Path | None, typer.Option("--root", help="Trust root, PEM; default: from --data.")]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the operator's or a sign-in token; default: from --data."),
]
CertificateOption = Annotated[
    Path | None, typer.Option("--certificate", help="PEM: your client certificate, in place of a token.")
]
CertificateKeyOption = Annotated[
    Path | None, typer.Option("--certificate-key", help="PEM: the key of --certificate.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]

MAX_NUMBER = 2**31 - 1
"""Of a version, an edition or a reviewer: the service takes no larger one."""

_MAX_ANSWER_CHARS = 1024

Connect = Callable[[], AbstractContextManager[OperatorClient]]


def out() -> Console:
    """For results."""
    return VisibleConsole(highlight=False)


def err() -> Console:
    """For progress and problems."""
    return VisibleConsole(stderr=True, highlight=False, soft_wrap=True)


def ask(question: str) -> str:
    """A line that a person types; Typer's own prompt would leave a blank on standard output.

    Raises:
        typer.Abort: the input is at its end.
    """
    err().print(f"{question}: ", end="", markup=False)
    line = sys.stdin.readline(_MAX_ANSWER_CHARS)
    if not line:
        raise typer.Abort
    return line.strip()


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person, unless ``yes``; anything but a yes ends the command with status 1."""
    if not yes and ask(f"{question} [y/N]").lower() not in {"y", "yes"}:
        raise typer.Abort


def print_json(value: dict[str, Any]) -> None:
    """One line, UTF-8, keys as given; what would steer a terminal is escaped."""
    print(visible_json(json.dumps(value, ensure_ascii=False)), flush=True)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A plain table; columns without names get no header.

    Cells stay whole however narrow the terminal is: ids are there to be copied. They may come from strangers:
    each is one line, and what would steer the terminal is shown.
    """
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    header, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    )
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if header:
        console.print(header, style="bold")
    for line in lines:
        console.print(line)
    if not lines:
        err().print("There are none.")


def print_values(values: dict[str, Any]) -> None:
    """One line for each value, behind its name."""
    print_table(["", ""], [[name, "" if value is None else str(value)] for name, value in values.items()])


def show_time(stamp: Timestamp) -> str:
    """ISO 8601, UTC, to the second."""
    return stamp.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def show_maybe(message: Message, field: str) -> str | None:
    """The time in a field, or None where it is absent."""
    return show_time(getattr(message, field)) if message.HasField(field) else None


def to_pem(certificates: Iterable[bytes]) -> bytes:
    """DER certificates as one PEM file, in their order."""
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in certificates)


@contextmanager
def connect(
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    root: RootOption = None,
    token_file: TokenOption = None,
    certificate: CertificateOption = None,
    certificate_key: CertificateKeyOption = None,
) -> Iterator[OperatorClient]:
    """A client for the service that the options name: options of every :func:`operator_command`."""
    target = find_target(
        data,
        endpoint=endpoint,
        root=root,
        token_file=token_file,
        certificate=certificate,
        certificate_key=certificate_key,
    )
    with open_client(target) as client:
        yield client


def operator_command(command: Callable[Concatenate[Connect, P], None]) -> Callable[..., None]:
    """A command that calls the service: it is given :func:`connect`, whose parameters become options of it.

    Ends as :func:`ends_with_exit_code`.
    """
    own, target = (signature(one, eval_str=True) for one in (command, connect))
    _, *options = own.parameters.values()

    def run(*args: Any, **given: Any) -> None:
        where = {name: given.pop(name) for name in target.parameters}
        command(partial(connect, **where), *args, **given)

    decorated: Any = wraps(command)(run)
    # Typer asks for the signature.
    decorated.__signature__ = own.replace(parameters=[*options, *target.parameters.values()])
    return ends_with_exit_code(decorated)


def ends_with_exit_code(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a fault into one sentence, a hint and the documented exit status; other ends: verifield.usage."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (SetupError, ClientError) as error:
            tell_fault(error.code, error.message, error.hint, as_json=bool(kwargs.get("as_json")))
            sys.exit(int(ExitCode.SETUP if isinstance(error, SetupError) else ExitCode.CLOUD))

    return run
