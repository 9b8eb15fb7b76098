"""A TCP relay on loopback that fails as field links do: seeded delays, stalls, cuts and refusals."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHUNK_BYTES = 16 * 1024
MAX_DELAY_S = 0.004
MEAN_TIME_TO_TROUBLE_S = 6.0
MAX_TROUBLE_S = 3.0


@dataclass(slots=True)
class FlakyRelay:
    """``cuts``, ``stalls`` and ``refused`` count what happened. ``calm`` ends all trouble."""

    address: str
    seed: int
    cuts: int = 0
    stalls: int = 0
    refused: int = 0
    calm: threading.Event = field(default_factory=threading.Event)
    _stalled: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open = [one for one in self._open if one.fileno() >= 0]
            self._open += sockets

    def cut(self) -> None:
        """End every connection at once, wherever its bytes are."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def hold(self, rng: random.Random) -> None:
        """Let a chunk wait: a little always, long while the link stalls."""
        if self.calm.is_set():
            return
        time.sleep(rng.random() * MAX_DELAY_S)
        while self._stalled.is_set() and not self.calm.is_set():
            time.sleep(0.05)

    def make_trouble(self) -> None:
        rng = random.Random(self.seed)
        while not self.calm.wait(rng.expovariate(1 / MEAN_TIME_TO_TROUBLE_S)):
            if rng.random() < 0.5:
                self.cuts += 1
                self.cut()
            else:
                self.stalls += 1
                self._stalled.set()
                self.calm.wait(rng.random() * MAX_TROUBLE_S)
                self._stalled.clear()


@contextmanager
def flaky_relay(target: str, *, seed: int) -> Iterator[FlakyRelay]:
    """Relay connections to ``target`` (HOST:PORT), badly, until the block ends."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = FlakyRelay(f"127.0.0.1:{server.getsockname()[1]}", seed)
        threads = [
            threading.Thread(target=_accept, args=(server, (host, int(port)), relay), daemon=True),
            threading.Thread(target=relay.make_trouble, daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield relay
        finally:
            relay.calm.set()
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            relay.cut()
            for thread in threads:
                thread.join()


def _accept(server: socket.socket, target: tuple[str, int], relay: FlakyRelay) -> None:
    number = 0
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            try:
                upstream = socket.create_connection(target, timeout=5)
            except OSError:  # the service is down just now
                relay.refused += 1
                client.close()
                continue
            upstream.settimeout(None)
            relay.keep(client, upstream)
            for one, other in ((client, upstream), (upstream, client)):
                number += 1
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                rng = random.Random(relay.seed * 1_000_003 + number)
                threading.Thread(target=_pass_on, args=(one, other, relay, rng), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, relay: FlakyRelay, rng: random.Random) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            relay.hold(rng)
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    sink.close()
