"""One GET over HTTPS, bounded in time and size: no redirects, no proxies, no plain HTTP."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 3.0
"""Also between two pieces of an answer."""

TOTAL_TIMEOUT_S = 6.0
"""A caller waits for it at worst, and so does the end of the service; an issuer answers within a second."""

MAX_ANSWER_BYTES = 256 * 1024
"""Key sets with certificate chains have 20 KiB."""

_PIECE_BYTES = 16 * 1024
_OK = 200


class FetchError(Exception):
    """It was not got. The text holds nothing of the answer."""


def open_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS that checks the server: by the system's authorities, or by those in a PEM file.

    Raises:
        OSError: the file cannot be read, or holds no certificates (ssl.SSLError is an OSError).
    """
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def check_url(url: str) -> None:
    """Check that an address can be fetched here.

    Raises:
        ValueError: not https://HOST[:PORT]/..., or with a user or a fragment in it.
    """
    parts = urlsplit(url)
    port = parts.port  # raises for nonsense
    if parts.scheme != "https" or not parts.hostname or parts.fragment or "@" in parts.netloc or port == 0:
        raise ValueError("an address of an issuer is https://HOST/..., without user and fragment")


def get(url: str, *, context: ssl.SSLContext) -> bytes:
    """Return the content at ``url``; blocks for TOTAL_TIMEOUT_S at most, and the look-up of the name.

    Raises:
        FetchError: no answer in time, another status than 200, too large, or not a good address.
    """
    try:
        check_url(url)
    except ValueError as error:
        raise FetchError(str(error)) from error
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Connection(str(parts.hostname), parts.port, timeout=CONNECT_TIMEOUT_S, context=context)
    try:
        with _ended(connection):
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            if answer.status != _OK:
                raise FetchError(f"the answer has status {answer.status}")
            return _read(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        # ValueError: of a name or a path that cannot be sent, and of a connection that was ended meanwhile.
        raise FetchError(f"no answer ({type(error).__name__})") from error
    finally:
        connection.close()


class _Connection(http.client.HTTPSConnection):
    """One that can be ended at any time, also within the handshake."""

    def __init__(self, host: str, port: int | None, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context
        self._link: ssl.SSLSocket | None = None  # the base class lets go of it before the answer is read
        self._over = False

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._link = self._tls.wrap_socket(
            plain, server_hostname=self.host, do_handshake_on_connect=False
        )
        if self._over:
            raise TimeoutError
        self._link.do_handshake()

    def end(self) -> None:
        """From another thread: whoever reads sees the end of the connection."""
        self._over = True
        if self._link is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._link, socket.SHUT_RDWR)  # that of SSLSocket forgets its state


@contextmanager
def _ended(connection: _Connection) -> Iterator[None]:
    """End what the block does with a connection once its time is over, however slowly it goes on."""
    late = threading.Timer(TOTAL_TIMEOUT_S, connection.end)
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


def _read(answer: http.client.HTTPResponse) -> bytes:
    content = b""
    while piece := answer.read1(_PIECE_BYTES):
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise FetchError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    if answer.length:
        raise FetchError("the answer ends too early")
    return content
