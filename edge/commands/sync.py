"""``verifield-edge sync``: deliver what waits; as a daemon, for ever."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from typing import Annotated

import structlog
import typer

from edge.app import open_recorder
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
)
from edge.config import load_config
from edge.errors import CloudError, Interrupted
from edge.sync.daemon import SyncReport, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def sync(
    config: ConfigOption = None,
    data: DataOption = None,
    once: Annotated[bool, typer.Option("--once", help="Deliver what is there, then end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver records to the cloud and take its receipts. Trouble with the cloud never ends the daemon.

    Example: verifield-edge sync --once --json
    """
    settings = load_config(config, data_dir=data)
    log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_recorder(settings) as recorder:
        report = run(
            identity=recorder.identity,
            outbox=recorder.outbox,
            stop=stop,
            once=once,
            retention=timedelta(days=settings.retention_days),
            on_trouble=lambda state, trouble: log.warning(
                "sync_trouble", state=state.name, code=trouble.code
            ),
        )
    if once and stop.is_set():
        raise Interrupted
    if once and report.trouble is not None:
        raise CloudError(
            report.trouble.code,
            report.trouble.message,
            hint="Delivery has stopped and needs a person; the records are kept.",
        )
    _print(report, as_json)


def _print(report: SyncReport, as_json: bool) -> None:
    if as_json:
        trouble = None if report.trouble is None else report.trouble.code
        print_json({"delivered": report.delivered, "confirmed": report.confirmed, "trouble": trouble})
    else:
        out().print(f"Delivered {report.delivered}, confirmed {report.confirmed}.")
