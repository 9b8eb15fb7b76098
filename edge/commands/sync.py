"""``verifield-edge sync``: deliver what waits, and take what comes down; as a daemon, for ever."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import structlog
import typer

from edge.attest.clock import SystemClock
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
)
from edge.config import EdgeConfig, load_config
from edge.delivery import run_sync
from edge.errors import CloudError, Interrupted
from edge.heartbeat import SYNC_BEAT, Heartbeat
from edge.service import Service
from edge.state.records import PullOutcome
from edge.sync.daemon import SyncReport
from edge.sync.events import Trouble
from edge.sync.machine import State

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def sync(
    config: ConfigOption = None,
    data: DataOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Deliver what is there, then end; wakes a daemon that halted.")
    ] = False,
    accept_log: Annotated[
        bool,
        typer.Option(
            "--accept-log",
            help="With --once, after LOG_INCONSISTENT and a word with the operator of the cloud: believe its "
            "log as it is now.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver records to the cloud and take its receipts, policies and orders.

    Trouble with the cloud never ends the daemon.

    Example: verifield-edge sync --once --json
    """
    if accept_log and not once:
        raise typer.BadParameter("--accept-log is one person's decision, for one run: add --once")
    settings = load_config(config, data_dir=data)
    log = _open_log()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def tell_trouble(state: State, trouble: Trouble) -> None:
        log.warning("sync_trouble", state=state.name, code=trouble.code)

    with _watched(settings, once=once) as on_turn:
        report = run_sync(
            settings,
            stop=stop,
            once=once,
            accept_log=accept_log,
            on_trouble=tell_trouble,
            on_news=lambda outcome: _tell_news(log, outcome),
            on_turn=on_turn,
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


def _tell_news(log: Any, outcome: PullOutcome) -> None:
    for item in outcome.refused:
        log.warning("news_refused", kind=item.kind, code=item.code)
    if outcome.policy is not None:
        log.info("policy_adopted", version=outcome.policy.version)
    if outcome.lock is not None:
        log.warning("device_locked" if outcome.lock.locked else "device_unlocked")
    if outcome.wiped:
        log.warning("device_wiped")


@contextmanager
def _watched(settings: EdgeConfig, *, once: bool) -> Iterator[Callable[[State, Trouble | None], None]]:
    """Tell systemd and the device's health that the daemon's loop turns; one run alone tells nobody."""
    if once:
        yield lambda _state, _trouble: None
        return
    service = Service.open(os.environ)
    heart = Heartbeat(settings.run_folder() / SYNC_BEAT, SystemClock())
    told_ready = False

    def on_turn(state: State, trouble: Trouble | None) -> None:
        nonlocal told_ready
        code = trouble.code if trouble is not None else ""
        if not told_ready:
            service.ready()
            told_ready = True
        service.alive()
        service.status(f"{state.name} {code}".strip())
        heart.beat(state=state.name, code=code)

    yield on_turn
    service.stopping()
    heart.end()  # not where a fault ended it: who falls silent is missed


def _open_log() -> Any:
    """One line of JSON on standard error for each thing to know."""
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )


def _print(report: SyncReport, as_json: bool) -> None:
    if as_json:
        trouble = None if report.trouble is None else report.trouble.code
        print_json(
            {
                "delivered": report.delivered,
                "confirmed": report.confirmed,
                "media": report.media,
                "trouble": trouble,
            }
        )
    else:
        out().print(f"Delivered {report.delivered}, confirmed {report.confirmed}, files {report.media}.")
