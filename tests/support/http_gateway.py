"""A gateway that says exactly what a test wants it to say, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Say = Callable[[socket.socket, str], None]
"""Is given the connection, and the key of the request that came in."""

PATIENCE_S = 10.0


@contextmanager
def saying(say: Say) -> Iterator[str]:
    """Answer each request so until the block ends; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(link: socket.socket) -> None:
        with link, suppress(OSError):
            link.settimeout(PATIENCE_S)
            say(link, _read_request(link))

    def accept() -> None:
        while not over.is_set():
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(link,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def answer(body: bytes, *, status: str = "200 OK", headers: tuple[str, ...] = ()) -> bytes:
    """A whole answer; the connection ends with it."""
    lines = (
        f"HTTP/1.1 {status}",
        *(headers or ("Content-Type: application/json",)),
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _read_request(link: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(65536)
        if not piece:
            return ""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    fields = dict(
        line.lower().split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ": " in line
    )
    left = int(fields.get("content-length", "0")) - len(rest)
    while left > 0:
        piece = link.recv(65536)
        if not piece:
            break
        left -= len(piece)
    return fields.get("idempotency-key", "")
