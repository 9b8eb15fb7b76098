"""The real command ``verifield-cloud serve`` as a process, and what its clients need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog.testing

from cloud.app import Endpoint
from cloud.client import find_target, open_client
from cloud.config import ENV_PREFIX
from tests.support.cloud import FakeClock, RunningCloud

COMMAND = str(Path(sys.executable).parent / "verifield-cloud")
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is ready."""

    cloud: RunningCloud
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """As by a power cut: nothing is brought to its end."""
        self.process.kill()
        self.process.wait(STOP_S)


def begin(data: Path, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start it on free ports; ``settings`` by their names. It says one line once it is ready."""
    environ = {f"{ENV_PREFIX}{name.upper()}": value for name, value in (settings or {}).items()}
    return subprocess.Popen(
        [COMMAND, "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def ready(process: subprocess.Popen[str], data: Path, *, database: str | None = None) -> Iterator[Served]:
    """Wait until it is ready; killed at the end if it still runs."""
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the service did not start: {process.wait(STOP_S)}"
            target = find_target(data, endpoint=None, root=None, token_file=None)
            with open_client(target) as operator:
                cloud = RunningCloud(
                    data,
                    Endpoint(**json.loads(line)),
                    FakeClock(),
                    operator,
                    structlog.testing.CapturingLogger(),
                    database or f"sqlite:///{data.absolute() / 'verifield.db'}",
                )
                assert target.endpoint == cloud.endpoint.listen
                yield Served(cloud, process)
        finally:
            process.kill()
