"""A service in its own process, a bystander who must not notice anything, and sockets to be rude with."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog.testing

from cloud.app import Endpoint
from cloud.client import find_target, open_client
from cloud.config import parse_address
from demo.processes import Service
from tests.support.cloud import FakeClock, RunningCloud, next_envelopes
from verifield.v1.device_service_pb2 import ListDevicesRequest

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)

SETTINGS_TEXT = """
read_calls_per_minute = 1000000
write_calls_per_minute = 1000000
device_calls_per_minute = 1000000
open_calls_per_minute = 1000000
failed_calls_per_minute = 1000000
verify_processes = 0
stop_grace_s = 2.0
"""
"""Rates have tests of their own: here everybody comes from one address."""


@dataclass
class Victim:
    """``cloud``: how it is called; ``pid``: whose memory is looked at."""

    cloud: RunningCloud
    pid: int

    @property
    def public(self) -> tuple[str, int]:
        return parse_address(self.cloud.endpoint.listen)

    @property
    def device(self) -> tuple[str, int]:
        return parse_address(self.cloud.endpoint.device_listen)

    def memory_mib(self) -> float:
        """What the process holds in memory now."""
        with Path(f"/proc/{self.pid}/status").open() as status:
            [line] = [line for line in status if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def files(self) -> int:
        """How many files and sockets the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def tls(self, address: tuple[str, int]) -> ssl.SSLSocket:
        """A TLS connection without a client certificate, about to speak HTTP/2."""
        context = ssl.create_default_context(cadata=self.cloud.root_pem.decode())
        context.set_alpn_protocols(["h2"])
        link = socket.create_connection(address, timeout=10)
        return context.wrap_socket(link, server_hostname="localhost")


@contextmanager
def victim(folder: Path, *, files: int | None = None) -> Iterator[Victim]:
    """Serve from ``folder`` until the block ends; the log is in ``folder/log``. ``files``: it may open."""
    (folder / "cloud.toml").write_text(SETTINGS_TEXT)
    service = Service.start(
        *("verifield-cloud", "serve", "--config", "cloud.toml", "--data", "data"),
        *("--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0"),
        cwd=folder,
        log=folder / "log",
    )
    if files is not None:  # before it has begun to look
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (files, files))
    try:
        endpoint = Endpoint(**service.endpoints())
        data = folder / "data"
        with open_client(find_target(data, endpoint=None, root=None, token_file=None)) as operator:
            url = f"sqlite:///{data / 'verifield.db'}"
            log = structlog.testing.CapturingLogger()
            cloud = RunningCloud(data, endpoint, FakeClock(), operator, log, url)
            yield Victim(cloud, service.pid)
    finally:
        service.stop()
    told = (folder / "log").read_text()
    assert "Traceback" not in told, told
    ours = [line for line in told.splitlines() if line.startswith("{")]  # gRPC's core writes lines of its own
    faults = [line for line in ours if json.loads(line)["level"] == "error"]
    assert not faults, faults


@dataclass
class Bystander:
    """Calls as an operator and as a device, again and again. Times are seconds of the slowest call."""

    slowest_s: float = 0.0
    calls: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def bystander(who: Victim) -> Iterator[Bystander]:
    """Somebody with an honest concern, while the block runs; what failed is told at its end."""
    seen = Bystander()
    cloud = who.cloud
    device = cloud.enroll()
    over = threading.Event()

    def once() -> None:
        cloud.operator.call(cloud.operator.devices.ListDevices, ListDevicesRequest())
        [answer] = cloud.deliver(device, next_envelopes(device, 1))  # with a connection of its own
        if answer.results[0].status != 1:
            seen.failures.append(f"status {answer.results[0].status}")

    def live() -> None:
        while not over.is_set():
            started = time.monotonic()
            try:
                once()
            except Exception as error:  # whatever it is, it is told
                seen.failures.append(repr(error))
                return
            seen.slowest_s = max(seen.slowest_s, time.monotonic() - started)
            seen.calls += 1

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(60)
    assert not seen.failures, seen.failures
    assert seen.calls > 0


@contextmanager
def many(links: Iterator[socket.socket]) -> Iterator[list[socket.socket]]:
    """Hold sockets until the block ends."""
    with ExitStack() as stack:
        yield [stack.enter_context(link) for link in links]


def frame(
    kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0, length: int | None = None
) -> bytes:
    """One HTTP/2 frame; ``length`` may lie."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(values: dict[str, str]) -> bytes:
    """A header block (HPACK literals without indexing); texts are shorter than 127 characters."""
    return b"".join(
        b"\0" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
        for key, value in values.items()
    )


def call_headers(path: str) -> bytes:
    """What begins a gRPC call."""
    return headers(
        {
            ":method": "POST",
            ":scheme": "https",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
        }
    )


def closed_within(link: socket.socket, seconds: float) -> bool:
    """Whether the other side ends the connection in time; what it says before is read and forgotten."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            if not link.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False
