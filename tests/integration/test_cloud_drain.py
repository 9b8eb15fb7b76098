"""The end of a service: it says so first, lets running calls end, and does not wait for ever."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.people import bearer, reason_of
from verifield.v1 import log_service_pb2, transfer_service_pb2
from verifield.v1.log_service_pb2_grpc import LogServiceStub
from verifield.v1.transfer_service_pb2_grpc import TransferServiceStub

BIN = Path(sys.executable).parent
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TIMEOUT_S = 30.0


@dataclass
class Process:
    process: subprocess.Popen[str]
    listen: str
    root: bytes
    token: str

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        with grpc.secure_channel(self.listen, grpc.ssl_channel_credentials(self.root)) as channel:
            yield channel

    def signal(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        return self.process.wait(TIMEOUT_S)


@contextmanager
def serving(folder: Path, *, grace_s: float) -> Iterator[Process]:
    (folder / "config.toml").write_text(f"stop_grace_s = {grace_s}\nverify_processes = 0\n")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(str(BIN / "verifield-cloud"), "serve", "--config", str(folder / "config.toml")),
                *(
                    "--data",
                    str(folder / "data"),
                    "--listen",
                    "127.0.0.1:0",
                    "--device-listen",
                    "127.0.0.1:0",
                ),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        endpoint = json.loads(process.stdout.readline())
        token = Path(endpoint["operator_token_file"]).read_text().strip()
        yield Process(process, endpoint["listen"], Path(endpoint["root"]).read_bytes(), token)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()


class Import:
    """An import that goes on for as long as a test wants: a call that runs when the end comes."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._pieces: queue.Queue[transfer_service_pb2.ImportRequest | None] = queue.Queue()
        self._pieces.put(transfer_service_pb2.ImportRequest(content=b"no transfer file"))
        self._call: Any = TransferServiceStub(channel).Import(
            iter(self._pieces.get, None), metadata=bearer(token)
        )
        self._outcome: tuple[grpc.StatusCode, str] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            list(self._call)
        except grpc.RpcError as error:
            self._outcome = error.code(), reason_of(error)

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def finish(self) -> tuple[grpc.StatusCode, str]:
        """Send nothing more; return how the service answered."""
        self._pieces.put(None)
        self._thread.join(TIMEOUT_S)
        assert self._outcome is not None
        return self._outcome


def begin_import(process: Process, channel: grpc.Channel) -> Import:
    """An import that the service has begun: a second one is refused then, and it is not the second one."""
    ends = time.monotonic() + TIMEOUT_S
    running = Import(channel, process.token)
    while time.monotonic() < ends:
        with process.channel() as another:
            found = Import(another, process.token).finish()
        if running.over:
            running = Import(channel, process.token)
        elif found[1] == "TRANSFER_BUSY":
            return running
    raise AssertionError("the import was not begun in time")


def watch(channel: grpc.Channel) -> Iterator[int]:
    request = health_pb2.HealthCheckRequest(service="verifield.v1.DeviceService")
    for answer in health_pb2_grpc.HealthStub(channel).Watch(request):
        yield answer.status


def test_running_calls_end_by_themselves_and_new_ones_are_not_begun(tmp_path: Path) -> None:
    with serving(tmp_path, grace_s=60) as process, process.channel() as channel, process.channel() as other:
        statuses = watch(other)
        assert next(statuses) == SERVING
        running = begin_import(process, channel)
        process.signal()
        assert next(statuses) == NOT_SERVING  # said before anything else
        assert list(statuses) == []  # and watchers are let go: nobody waits for them
        with process.channel() as late, pytest.raises(grpc.RpcError) as caught:
            LogServiceStub(late).GetCheckpoint(
                log_service_pb2.GetCheckpointRequest(), timeout=5, metadata=bearer(process.token)
            )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert process.process.poll() is None
        assert running.finish() == (grpc.StatusCode.INVALID_ARGUMENT, "TRANSFER_INVALID")
        assert process.ended() == 0


def test_without_running_calls_the_end_comes_at_once_also_with_watchers(tmp_path: Path) -> None:
    with serving(tmp_path, grace_s=60) as process, process.channel() as channel:
        statuses = watch(channel)
        assert next(statuses) == SERVING
        begun = time.monotonic()
        process.signal()
        assert process.ended() == 0
        assert time.monotonic() - begun < 20
        assert next(statuses) == NOT_SERVING


def test_a_call_that_goes_on_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    with serving(tmp_path, grace_s=0.5) as process, process.channel() as channel:
        running = begin_import(process, channel)
        process.signal()
        assert process.ended() == 0
        assert running.finish()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_second_signal_ends_it_now(tmp_path: Path) -> None:
    with serving(tmp_path, grace_s=300) as process, process.channel() as channel, process.channel() as other:
        statuses = watch(other)
        assert next(statuses) == SERVING
        running = begin_import(process, channel)
        process.signal()
        assert next(statuses) == NOT_SERVING
        assert process.process.poll() is None
        process.signal()
        assert process.ended() == 0
        assert running.finish()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
