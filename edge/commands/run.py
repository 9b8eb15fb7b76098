"""``verifield-edge run``: the whole appliance in one process tree, the office screen and delivery."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from edge.app import open_identity
from edge.commands.common import ConfigOption, DataOption, ends_with_exit_code, err
from edge.config import load_config
from edge.supervise import supervise

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def run(
    config: ConfigOption = None,
    data: DataOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of the office screen, on 127.0.0.1; 0 takes a free one."),
    ] = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="For a small device in the field: battery, link, USB stick.")
    ] = False,
) -> None:
    """Run the office screen and the delivery of records until stopped; a part that fails is started again.

    An installed device has systemd units for both instead, which are watched and locked down: see
    docs/operations.md.

    Example: verifield-edge run --port 8765
    """
    settings = load_config(config, data_dir=data)
    open_identity(settings)  # a device that is not enrolled has nothing to run: say so once
    where = [*_option("--config", config), *_option("--data", data)]
    screen = [*where, *([] if port is None else ["--port", str(port)]), *(["--portable"] if portable else [])]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())

    def tell(name: str, what: str, status: int | None) -> None:
        err().print(f"{name} {what}" + ("" if status is None else f" (status {status})"))

    status = supervise(
        [("kiosk", _command("kiosk", screen)), ("sync", _command("sync", where))], stop=stop, tell=tell
    )
    if status:
        raise typer.Exit(status)


def _option(name: str, value: Path | None) -> list[str]:
    return [] if value is None else [name, str(value)]


def _command(name: str, arguments: list[str]) -> list[str]:
    """Our own program, in the Python that runs this one and as apart from its surroundings."""
    apart = ["-I"] if sys.flags.isolated else []
    return [sys.executable, *apart, "-c", "from edge.cli import main; main()", name, *arguments]
