"""``GET /metrics`` over plain HTTP, for a Prometheus on the same machine. Nothing else is served.

Plain HTTP has neither encryption nor a password, so only addresses of this machine itself are taken,
unless the configuration says that something in front of the port (a mesh, a firewall) does that work.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from cloud.errors import SetupError

MAX_HEAD_BYTES = 8 * 1024
"""A scraper's request has some 300 bytes."""

MAX_CONNECTIONS = 8
"""One Prometheus uses one, a pair of them two; further ones are closed at once."""

REQUEST_TIMEOUT_S = 5.0
"""From the connection to the end of the request's head, and again for the answer to be taken."""

PATH = "/metrics"


class Scrape:
    """A small HTTP server in the event loop; figures are collected in a thread, one scrape at a time."""

    def __init__(self, collect: Callable[[], bytes]) -> None:
        self._collect = collect
        self._turn = asyncio.Lock()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, address: tuple[str, int], registry: CollectorRegistry, *, exposed: bool) -> Scrape:
        """Listen. ``exposed``: take an address of other machines' networks too.

        Raises:
            SetupError: METRICS_ADDRESS (not loopback), PORT_UNAVAILABLE.
        """
        host, port = address
        check_exposure(host, exposed=exposed)
        scrape = cls(partial(render, registry))
        try:
            scrape._server = await asyncio.start_server(scrape._begin, host, port, limit=MAX_HEAD_BYTES)
        except OSError as error:
            raise SetupError(
                "PORT_UNAVAILABLE",
                f"The address {host} port {port} cannot be used for figures.",
                hint="Stop what uses it, or choose another with metrics_listen.",
            ) from error
        return scrape

    @property
    def port(self) -> int:
        """The real port."""
        if self._server is None:
            raise RuntimeError("not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and what is open on it."""
        if self._server:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await self._answer(reader))
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # whoever does not read has no claim on our memory
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        if len(self._serving) > MAX_CONNECTIONS:
            return b""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return _response("408 Request Timeout")
        except asyncio.LimitOverrunError:
            return _response("431 Request Header Fields Too Large")
        except asyncio.IncompleteReadError:
            return b""
        method, path = parse_request(head)
        if path is None:
            return _response("400 Bad Request")
        if path.partition("?")[0] != PATH:
            return _response("404 Not Found", f"Figures are at {PATH}.\n".encode())
        if method != "GET":
            return _response("405 Method Not Allowed")
        async with self._turn:
            body = await asyncio.to_thread(self._collect)
        return _response("200 OK", body, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def parse_request(head: bytes) -> tuple[str, str | None]:
    """Method and path of a request's head; None for the path of what is not HTTP/1."""
    parts = head.partition(b"\r\n")[0].split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
        return "", None
    return parts[0].decode("latin-1"), parts[1].decode("latin-1")


def check_exposure(host: str, *, exposed: bool) -> None:
    """Check that figures are shown to this machine alone, or that somebody wants it otherwise.

    Raises:
        SetupError: METRICS_ADDRESS.
    """
    if not exposed and not is_loopback(host):
        raise SetupError(
            "METRICS_ADDRESS",
            f"Figures would be readable by everybody who reaches {host}.",
            hint="Let metrics_listen name 127.0.0.1 or [::1], or set metrics_exposed = true "
            "where something else guards the port.",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Lean:
    """A registry without the ``_created`` series, which double a scrape and which nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> list[Metric]:
        lean = []
        for metric in self._registry.collect():
            kept = Metric(metric.name, metric.documentation, metric.type)
            kept.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            lean.append(kept)
        return lean


def render(registry: CollectorRegistry) -> bytes:
    """All figures as Prometheus' text."""
    return generate_latest(_Lean(registry))


def _response(status: str, body: bytes = b"", *, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n"
        "\r\n"
    )
    return head.encode("ascii") + body
