"""The process of ``verifield-cloud serve``: settings, signals, the log, and one line when it is ready."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import structlog
from structlog.typing import FilteringBoundLogger

from cloud.app import Endpoint, serve
from cloud.commands.common import print_json
from cloud.config import Config, load_config, parse_address
from cloud.sources import Sources
from cloud.tls13 import check_tls13


def run(config_file: Path | None, **options: str | Path | None) -> None:
    """Run the service until SIGTERM or Ctrl-C; ``options`` are settings, None where not given.

    Raises:
        SetupError: it cannot start.
    """
    os.umask(0o077)  # what SQLite makes is for this user alone, like everything else
    asyncio.run(_serve(load_config(config_file, **options)))


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(config, Sources.system(), log=_open_log(), announce=_announce, stop=stop)


def _announce(endpoint: Endpoint) -> None:
    check_tls13(*parse_address(endpoint.listen))
    print_json(asdict(endpoint))


def _open_log() -> FilteringBoundLogger:
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return log
