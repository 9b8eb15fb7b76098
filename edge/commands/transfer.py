"""``verifield-edge export`` and ``verifield-edge import``: delivery by hand, where there is no network."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import SpinnerColumn, TextColumn

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
from edge.delivery import export_records, import_answer

export_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
import_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@export_app.command()
@ends_with_exit_code
def export(
    path: Annotated[Path, typer.Argument(help="A file to write, or a folder (a stick) to write it into.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all records that no receipt covers, and their files, into one signed file.

    Needs no network. Carry the file to the operator of the cloud, and the answer back. Exporting again
    before the answer is there is fine.

    Example: verifield-edge export /media/stick
    """
    settings = load_config(config, data_dir=data)
    with _progress("records", quiet=as_json) as tell:
        report = export_records(settings, path, stop=_stop(), progress=tell)
    if as_json:
        print_json(
            {
                "path": str(report.path),
                "transfer_id": report.transfer_id,
                "records": report.records,
                "files": report.files,
                "bytes": report.size_bytes,
                "complete": report.complete,
            }
        )
        return
    out().print(f"{report.path}: {report.records} records, {report.files} files, {report.size_bytes} bytes.")
    if not report.complete:
        out().print("The file is as large as it may be: export again once its answer is here.")


@import_app.command()
@ends_with_exit_code
def import_(
    path: Annotated[Path, typer.Argument(help="The answer file that the cloud wrote.")],
    config: ConfigOption = None,
    data: DataOption = None,
    accept_log: Annotated[
        bool,
        typer.Option(
            "--accept-log",
            help="After LOG_INCONSISTENT and a word with the operator of the cloud: believe its log as it is "
            "now.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the cloud's answer to an exported file: receipts, policies and orders, what is refused.

    Importing a file again changes nothing.

    Example: verifield-edge import /media/stick/answer.verifield
    """
    settings = load_config(config, data_dir=data)
    report = import_answer(settings, path, stop=_stop(), accept_log=accept_log)
    if as_json:
        print_json(
            {
                "delivered": report.delivered,
                "confirmed": report.confirmed,
                "refused": report.refused,
                "forked": report.forked,
                "files": report.files,
                "news": report.news,
                "stale": report.stale,
                "notes": report.notes,
            }
        )
        return
    out().print(f"Delivered {report.delivered}, confirmed {report.confirmed}, files {report.files}.")
    if report.stale:
        out().print("The device has heard from the cloud since that export: its receipts are older.")
    if report.notes:
        out().print(f"{report.notes} notes were recorded about records: export again.")


def _stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show on the terminal how far it is; nothing where only JSON is wanted."""
    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.description}"))
    with progress_bar(*columns, quiet=quiet) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)
