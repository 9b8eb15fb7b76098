"""``verifield-cloud import``: what a device wrote on a stick, and what it gets back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from cloud.client import OperatorClient
from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
)
from cloud.errors import SetupError
from verifield.v1.transfer_service_pb2 import ImportRequest, ImportSummary

_PIECE_BYTES = 48 * 1024
"""The most that the service takes in one message."""


@operator_command
def import_file(
    connect: Connect,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the device wrote.")],
    answer: Annotated[Path, typer.Option("--out", help="The file to write, to carry back to the device.")],
    as_json: JsonOption = False,
) -> None:
    """Import a device's transfer file, and write the answer for it.

    Importing a file again changes nothing, and gives the receipts again.

    Example: verifield-cloud import DEVICE.verifield --out answer.verifield
    """
    if _is_same(file, answer):
        raise typer.BadParameter("FILE is what the device wrote, and stays: name another file with --out")
    with connect() as client, _opened(file) as source:
        summary = _exchange(client, source, answer)
    counts = _counts(summary)
    if as_json:
        print_json({"device_id": summary.device_id, **counts, "answer": str(answer)})
        return
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    err().print(f"Device {summary.device_id}: {told}. Carry {answer} back to it.", markup=False)


def _exchange(client: OperatorClient, source: BinaryIO, answer: Path) -> ImportSummary:
    """Send the file and write what comes back, whole or not at all."""
    summary = ImportSummary()
    try:
        handle, name = tempfile.mkstemp(dir=answer.absolute().parent, prefix=f".{answer.name}.")
        try:
            with os.fdopen(handle, "wb") as target:
                for response in client.stream(client.transfers.Import, _pieces(source)):
                    target.write(response.content)
                    if response.HasField("summary"):
                        summary = response.summary
                target.flush()
                os.fsync(target.fileno())  # a stick is pulled out as soon as the prompt is back
            Path(name).replace(answer)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SetupError(
            "OUTPUT_UNWRITABLE",
            f"The file {answer} cannot be written ({error.strerror or type(error).__name__}).",
            hint="Choose another file with --out, or make room. What was imported stays; import it again.",
        ) from error
    return summary


def _is_same(file: Path, answer: Path) -> bool:
    try:
        return answer.samefile(file)
    except OSError:  # one of them is not there
        return False


def _pieces(source: BinaryIO) -> Iterator[ImportRequest]:
    while piece := source.read(_PIECE_BYTES):
        yield ImportRequest(content=piece)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise SetupError(
            "INPUT_UNREADABLE",
            f"The file {file} cannot be read ({type(error).__name__}).",
            hint="Name the file that the device wrote.",
        ) from error


def _counts(summary: ImportSummary) -> dict[str, Any]:
    names = ("records", "accepted", "already_here", "staged", "refused", "forked")
    return {name: getattr(summary, name) for name in names}
