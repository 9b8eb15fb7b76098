"""Processes of both sides that can be killed: the clerk's, the sync daemon's, the cloud's.

    python -m tests.support.field_worker

One process imports everything once. For each line of JSON on its standard input it forks a child and
answers with the child's process id. What a child promises or announces it writes to a file at once, so that
it is there however the child ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import structlog

from cloud.app import Endpoint, serve
from cloud.config import Config
from cloud.sources import Sources
from edge.app import open_recorder
from edge.config import EdgeConfig
from edge.delivery import run_sync
from edge.model import Decision, Evidence, Outcome
from tests.support.haste import make_haste, set_for_ever

LONGEST_PAUSE_S = 0.03


def work(data: Path, *, seed: int, out: Path) -> None:
    """Make records for ever; append the place and digest of each that the store has promised to keep."""
    chance = random.Random(seed)
    decision = Decision(Outcome.ABORTED, ("TIMEOUT",))
    said = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open_recorder(EdgeConfig(data_dir=data)) as recorder:
        while True:
            record = recorder.record(Evidence(aborted="TIMEOUT"), decision)
            line = {"place": [record.epoch, record.seq], "sha256": record.sha256.hex()}
            os.write(said, json.dumps(line).encode() + b"\n")
            time.sleep(chance.uniform(0, LONGEST_PAUSE_S))


def deliver(data: Path) -> None:
    """The sync daemon."""
    run_sync(
        EdgeConfig(data_dir=data),
        stop=threading.Event(),
        once=False,
        accept_log=False,
        on_trouble=lambda _state, _trouble: None,
        on_news=lambda _outcome: None,
    )


def serve_cloud(data: Path, *, out: Path) -> None:
    """The service; ``out`` appears whole, with where it listens, when it is ready."""

    def announce(endpoint: Endpoint) -> None:
        temporary = out.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(endpoint)))
        temporary.replace(out)

    log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
    config = Config(data=data, listen="127.0.0.1:0")
    asyncio.run(serve(config, Sources.system(), log=log, announce=announce, stop=asyncio.Event()))


def run(order: dict[str, str]) -> None:
    data = Path(order["data"])
    match order["role"]:
        case "work":
            work(data, seed=int(order["seed"]), out=Path(order["out"]))
        case "deliver":
            make_haste(set_for_ever)
            deliver(data)
        case "cloud":
            serve_cloud(data, out=Path(order["out"]))
        case other:
            raise ValueError(other)


def main() -> None:
    """Fork a child for each order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that were killed leave nothing behind
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                run(json.loads(line))
            finally:
                os._exit(1)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
