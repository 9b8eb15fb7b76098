"""One process that holds session after session, as the office screen does, and says what it holds.

For each line on standard input it opens the device, holds a session and closes it, and answers with one line
of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import rss_mib_of
from edge.app import open_recorder, open_state
from edge.config import EdgeConfig, load_config
from edge.station import open_pipeline


def hold_session(config: EdgeConfig) -> str:
    """The outcome."""
    with (
        open_recorder(config) as recorder,
        open_state(config, recorder.identity) as state,
        open_pipeline(config, recorder, state) as pipeline,
    ):
        return pipeline.run().decision.outcome.value


def holdings() -> dict[str, float | int]:
    gc.collect()
    links = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)]
    return {
        "rss_mib": round(rss_mib_of(os.getpid()), 1),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(links) - 1,  # without the one that lists them
        "sockets": sum(link.startswith("socket:") for link in links),
    }


def main(data: Annotated[Path, typer.Option()]) -> None:
    """Hold sessions until standard input ends."""
    config = load_config(None, data_dir=data)
    for _ in sys.stdin:
        outcome = hold_session(config)
        print(json.dumps({"outcome": outcome, **holdings()}), flush=True)


if __name__ == "__main__":
    typer.run(main)
