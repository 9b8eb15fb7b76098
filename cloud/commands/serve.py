"""``verifield-cloud serve``: run the service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import structlog
import typer
from structlog.typing import FilteringBoundLogger

from cloud.app import Endpoint
from cloud.app import serve as run_service
from cloud.commands.common import ends_with_exit_code, print_json
from cloud.config import Config, load_config, parse_address
from cloud.sources import Sources
from cloud.tls13 import check_tls13


@ends_with_exit_code
def serve(
    config_file: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for operators and enrolment; default 127.0.0.1:7443.")
    ] = None,
    device_listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for devices; default: same host, next port.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Keys, tokens and the database; default ./verifield-cloud-data.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="SQLAlchemy address; default: SQLite in --data.")
    ] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Prints one JSON line when ready: listen, device_listen, root, operator_token_file. Logs JSON lines
    on standard error.
    """
    os.umask(0o077)  # what SQLite makes is for this user alone, like everything else
    config = load_config(
        config_file, listen=listen, device_listen=device_listen, data=data, database=database
    )
    asyncio.run(_serve(config))


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_service(config, Sources.system(), log=_open_log(), announce=_announce, stop=stop)


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
