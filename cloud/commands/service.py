"""The process of ``verifield-cloud serve``: settings, signals, the log, and one line when it is ready."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from dataclasses import asdict
from pathlib import Path

from cloud.app import Endpoint, serve
from cloud.commands.common import print_json
from cloud.config import Config, load_config, parse_address
from cloud.sources import Sources
from cloud.telemetry.logs import open_log, take_libraries
from cloud.telemetry.notify import READY, STOPPING, Notifier
from cloud.tls13 import check_tls13


def run(config_file: Path | None, **options: str | Path | None) -> None:
    """Run the service until SIGTERM or Ctrl-C; ``options`` are settings, None where not given.

    Raises:
        SetupError: it cannot start.
    """
    os.umask(0o077)  # what SQLite makes is for this user alone, like everything else
    _allow_files()
    asyncio.run(_serve(load_config(config_file, **options)))


async def _serve(config: Config) -> None:
    log = open_log(form=config.log_format, level=config.log_level)
    take_libraries(log)
    notifier = Notifier.system()
    stop, now = asyncio.Event(), asyncio.Event()

    def end() -> None:
        if stop.is_set():  # a second signal: whoever stops the service does not want to wait
            now.set()
        notifier.tell(STOPPING)
        stop.set()

    def announce(endpoint: Endpoint) -> None:
        gc.freeze()  # what is here now stays until the end: it need not be looked at again and again
        _announce(endpoint)
        notifier.tell(READY)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    feeding = asyncio.create_task(notifier.feed())
    try:
        await serve(config, Sources.system(), log=log, announce=announce, stop=stop, now=now)
    finally:
        feeding.cancel()


def _allow_files() -> None:
    """As many files, and so connections, as this process is allowed: the default is made for shells."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(endpoint: Endpoint) -> None:
    check_tls13(*parse_address(endpoint.listen))
    print_json(asdict(endpoint))
