"""A TCP relay on loopback that counts what passes: the bytes that a connection puts on the wire."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Counted:
    """TCP payload (TLS records with all that is in them), without TCP/IP headers."""

    address: str
    up_bytes: int = 0
    down_bytes: int = 0


@contextmanager
def counting_proxy(target: str) -> Iterator[Counted]:
    """Relay connections to ``target`` (HOST:PORT) until the block ends."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        counted = Counted(f"127.0.0.1:{server.getsockname()[1]}")
        threads = [threading.Thread(target=_accept, args=(server, (host, int(port)), counted))]
        threads[0].start()
        try:
            yield counted
        finally:
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            threads[0].join()


def _accept(server: socket.socket, target: tuple[str, int], counted: Counted) -> None:
    workers: list[threading.Thread] = []
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            upstream = socket.create_connection(target)
            for one, other, name in ((client, upstream, "up_bytes"), (upstream, client, "down_bytes")):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                workers.append(threading.Thread(target=_relay, args=(one, other, counted, name)))
                workers[-1].start()
    for worker in workers:
        worker.join()


def _relay(source: socket.socket, sink: socket.socket, counted: Counted, name: str) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            setattr(counted, name, getattr(counted, name) + len(data))
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
