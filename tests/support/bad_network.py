"""A TCP proxy that does to a connection what field networks do, told to at any time from the test.

    with bad_network("127.0.0.1:7444") as network:
        network.weather = Weather(bytes_per_s=2_875, delay_s=0.3)
        ... connect to network.endpoint ...
        network.weather = SILENT

``Weather`` holds for all connections, also those that are open. Everything random comes from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

READ_BYTES = 4096
TICK_S = 0.01
SLOW_FIELD_LINK_BYTES_PER_S = 23_000 // 8


@dataclass(frozen=True)
class Weather:
    """``bytes_per_s``: in each direction, None for no limit. ``delay_s``: one way.

    ``cut_after``: bytes from the device, in all connections together, after which each is reset.
    ``silent``: bytes are swallowed and none come back, on old connections and new ones. ``refuse``: a new
    connection is reset at once. ``deaf``: a new connection is accepted and never read. ``jitter_s``: at most
    so much more delay, another for each piece; pieces are of any size then. ``cut_chance``: that a piece is
    the last of its connection.
    """

    bytes_per_s: float | None = None
    delay_s: float = 0.0
    cut_after: int | None = None
    silent: bool = False
    refuse: bool = False
    deaf: bool = False
    jitter_s: float = 0.0
    cut_chance: float = 0.0


CLEAR = Weather()
SILENT = Weather(silent=True)
REFUSING = Weather(refuse=True)
DEAF = Weather(deaf=True)
SLOW = Weather(bytes_per_s=SLOW_FIELD_LINK_BYTES_PER_S, delay_s=0.05)
ROUGH = Weather(jitter_s=0.01, cut_chance=0.03)


@dataclass
class BadNetwork:
    """``upstream_bytes``: from the device, so far. ``connections``: accepted, so far.

    ``target`` may change: connections made from then on go there.
    """

    target: str
    weather: Weather = CLEAR
    endpoint: str = ""
    connections: int = 0
    upstream_bytes: int = 0
    downstream_bytes: int = 0
    seed: int = 0
    _chance: random.Random = field(init=False)
    _links: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def calm(self) -> None:
        """End all trouble: what was open is reset, and what comes now works."""
        self.weather = CLEAR
        self.cut_all()

    def cut_all(self) -> None:
        """Reset every open connection."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def flap(self, seed: int, *, turns: int, longest_s: float) -> threading.Thread:
        """Change the weather ``turns`` times, each for a random while, and end CLEAR; returns the thread."""
        chance = random.Random(seed)
        plan = [
            (
                chance.choice(
                    [
                        CLEAR,
                        SILENT,
                        REFUSING,
                        DEAF,
                        ROUGH,
                        Weather(cut_after=chance.randint(200, 20_000)),
                        Weather(bytes_per_s=chance.randint(2_000, 50_000), delay_s=chance.uniform(0, 0.1)),
                    ]
                ),
                chance.uniform(longest_s / 10, longest_s),
            )
            for _ in range(turns)
        ]

        def change() -> None:
            pause = threading.Event()
            for planned, seconds in plan:
                more = planned.cut_after
                cut_after = None if more is None else self.upstream_bytes + more
                self.weather = replace(planned, cut_after=cut_after)
                pause.wait(seconds)
                if chance.random() < 0.3:
                    self.cut_all()
            self.calm()

        thread = threading.Thread(target=change, name="weather")
        thread.start()
        return thread

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._links.add(writer)
        try:
            if self.weather.refuse:
                return
            while self.weather.deaf:  # noqa: ASYNC110 - the test's thread changes the weather
                await asyncio.sleep(TICK_S)
            host, _, port = self.target.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self._links.add(far_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, far_writer, up=True))
                    group.create_task(self._pump(far_reader, writer, up=False))
            finally:
                self._links.discard(far_writer)
                _reset(far_writer)
        except* (OSError, EOFError):
            pass
        finally:
            self._links.discard(writer)
            _reset(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while True:
            size = self._chance.randint(1, READ_BYTES) if self.weather.jitter_s else READ_BYTES
            data = await reader.read(size)
            if not data:
                while up and self.weather.silent:  # nobody tells the far side either  # noqa: ASYNC110
                    await asyncio.sleep(TICK_S)
                raise EOFError
            weather = self.weather
            if weather.jitter_s:
                await asyncio.sleep(self._chance.uniform(0, weather.jitter_s))
            if weather.delay_s:
                await asyncio.sleep(weather.delay_s)
            if weather.bytes_per_s:
                await asyncio.sleep(len(data) / weather.bytes_per_s)
            if self.weather.silent or self.weather.deaf:
                continue
            if up:
                self.upstream_bytes += len(data)
            else:
                self.downstream_bytes += len(data)
            cut = weather.cut_after is not None and self.upstream_bytes >= weather.cut_after
            if cut or self._chance.random() < weather.cut_chance:
                raise EOFError
            writer.write(data)
            await writer.drain()

    def _reset_all(self) -> None:
        for writer in list(self._links):
            _reset(writer)

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        self.weather = CLEAR
        self._reset_all()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.transport.abort()


@contextmanager
def bad_network(target: str, *, seed: int = 0) -> Iterator[BadNetwork]:
    """Serve in front of ``target`` (host:port) until the block ends."""
    network = BadNetwork(target, seed=seed)
    ready = threading.Event()
    stop = asyncio.Event()

    def work() -> None:
        asyncio.set_event_loop(network._loop)
        network._loop.run_until_complete(network._serve(ready, stop))
        network._loop.close()

    thread = threading.Thread(target=work, name="bad-network")
    thread.start()
    try:
        assert ready.wait(10)
        yield network
    finally:
        network._loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
