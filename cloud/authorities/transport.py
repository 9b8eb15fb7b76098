"""One exchange with a gateway over HTTP: bounded in time and size, nothing followed, nothing decoded.

httpx's asynchronous client: calls of the service run in an event loop, so a question that waits holds no
thread, its whole time can be bounded however slowly bytes come, and it ends with the caller who goes away.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol, Self

import httpx

MAX_CONNECTIONS = 256
"""Of one gateway; fewer questions are under way (``authority_parallel``)."""

NAME_THREADS = 2
"""For looking up the name of a gateway: answers of a name server come in milliseconds, or not at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``content`` has at most the bytes that were asked for."""

    status: int
    media_type: str
    content: bytes
    retry_after_s: float | None = None


class UnreachableError(Exception):
    """Nothing came back, or not in time (``late``). The text names the fault, and nothing of the exchange."""

    def __init__(self, what: str, *, late: bool = False) -> None:
        super().__init__(what)
        self.late = late


class OversizedError(Exception):
    """More came back than any good answer has, or in a form that was not asked for."""


class Transport(Protocol):
    """One gateway."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        limit: int,
    ) -> Reply:
        """Send and read all of the answer within ``timeout_s``; at most ``limit`` bytes of it.

        Raises:
            UnreachableError: no whole answer came in time.
            OversizedError: it is too large, or encoded.
        """

    async def close(self) -> None:
        """End all connections."""


class HttpTransport:
    """Over httpx. ``secret``: a bearer token, or empty; it is in no ``repr`` and no error."""

    def __init__(self, client: httpx.AsyncClient, *, secret: str) -> None:
        self._client = client
        self._secret = secret
        self._names = ThreadPoolExecutor(NAME_THREADS, thread_name_prefix="names")

    @classmethod
    def open(cls, url: str, *, context: ssl.SSLContext | None, connect_s: float, secret: str = "") -> Self:
        """Nothing is connected yet. ``context``: None for a gateway on this machine without TLS."""
        client = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            verify=context if context is not None else False,
            timeout=httpx.Timeout(None, connect=connect_s),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=8),
            follow_redirects=False,
            trust_env=False,  # a proxy in the environment would see whom we ask about
            # None is taken: it would tie what is asked about one person to the next.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        return cls(client, secret=secret)

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        limit: int,
    ) -> Reply:
        """As the port says."""
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        if self._secret:
            sent["Authorization"] = f"Bearer {self._secret}"
        try:
            async with asyncio.timeout(timeout_s):
                await self._find()
                async with self._client.stream(method, path, content=content, headers=sent) as response:
                    return await _read(response, limit)
        except TimeoutError:
            raise UnreachableError("Timeout", late=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise UnreachableError(type(error).__name__) from None

    async def close(self) -> None:
        """As the port says."""
        self._names.shutdown(wait=False, cancel_futures=True)
        await self._client.aclose()

    async def _find(self) -> None:
        """See that the gateway's name is found before the client looks for it.

        The client would do so in the event loop's own threads, in which calls are at work: a name server that
        is silent keeps each of them for half a minute, however short our patience is.
        """
        host = self._client.base_url.host
        await asyncio.get_running_loop().run_in_executor(self._names, socket.getaddrinfo, host, None)


async def _read(response: httpx.Response, limit: int) -> Reply:
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise OversizedError("Encoded")
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > limit:
            raise OversizedError("TooLarge")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Reply(response.status_code, media_type, bytes(content), _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of Retry-After; the form with a date is not heeded (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else None
