"""Who may hold a delivery open, and who gives way, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from cloud.attestations.limits import MAX_STREAMS, STREAM_PATIENCE_S
from cloud.attestations.streams import MAX_STREAMS_PER_DEVICE, Stream, Streams
from cloud.errors import Reason, ServiceError
from cloud.server import MAX_CALLS


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Context:
    """What a handler writes to; ``reads`` lets the device read."""

    reads: asyncio.Event = field(default_factory=asyncio.Event)
    written: list[object] = field(default_factory=list)

    async def write(self, answer: object) -> None:
        await self.reads.wait()
        self.written.append(answer)


class Sent:
    """What a device sends: ``queue`` has its requests, None is the end."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        request = await self.queue.get()
        if request is None:
            raise StopAsyncIteration
        return request


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def reason_of(caught: pytest.ExceptionInfo[ServiceError]) -> Reason:
    return caught.value.reason


def fill(stack: ExitStack, streams: Streams, count: int) -> list[Stream]:
    return [stack.enter_context(streams.opened(f"slow-{number}")) for number in range(count)]


def test_a_device_has_so_many_streams_and_no_more(clock: Clock) -> None:
    streams = Streams(clock)
    with ExitStack() as stack:
        for _ in range(MAX_STREAMS_PER_DEVICE):
            stack.enter_context(streams.opened("a"))
        with pytest.raises(ServiceError) as caught, streams.opened("a"):
            pass
        assert reason_of(caught) is Reason.TOO_MANY_STREAMS
        stack.enter_context(streams.opened("b"))
    assert len(streams) == 0
    with streams.opened("a"):
        pass


def test_requests_come_one_by_one_to_the_end(clock: Clock) -> None:
    async def work() -> None:
        with Streams(clock).opened("a") as stream:
            sent = Sent()
            for request in ("one", "two", None):
                sent.queue.put_nowait(request)
            assert [await stream.next(sent) for _ in range(3)] == ["one", "two", None]

    run(work)


def test_the_one_that_has_waited_longest_gives_way_once_its_patience_is_over(clock: Clock) -> None:
    async def work() -> None:
        streams = Streams(clock, most=3)
        with ExitStack() as stack:
            reading = []
            for stream in fill(stack, streams, 3):
                reading.append(asyncio.create_task(stream.next(Sent())))
                await settle()
                clock.now += 1
            clock.now += STREAM_PATIENCE_S - 3.5
            with pytest.raises(ServiceError) as caught, streams.opened("new"):
                pass
            assert reason_of(caught) is Reason.BUSY, "nobody has waited long enough"
            clock.now += 0.5
            stack.enter_context(streams.opened("new"))
            with pytest.raises(ServiceError) as gone:
                await reading[0]
            assert reason_of(gone) is Reason.BUSY
            assert [one.done() for one in reading] == [True, False, False]
            assert len(streams) == 3
            for one in reading[1:]:
                one.cancel()
            await asyncio.gather(*reading[1:], return_exceptions=True)

    run(work)


def test_one_whose_batch_is_in_work_never_gives_way(clock: Clock) -> None:
    async def work() -> None:
        streams = Streams(clock, most=1)
        with streams.opened("busy") as stream:
            sent = Sent()
            sent.queue.put_nowait("batch")
            assert await stream.next(sent) == "batch"
            clock.now += 3600
            with pytest.raises(ServiceError) as caught, streams.opened("new"):
                pass
            assert reason_of(caught) is Reason.BUSY

    run(work)


def test_one_that_does_not_read_its_answer_gives_way_too(clock: Clock) -> None:
    async def work() -> None:
        streams = Streams(clock, most=1)
        context: Any = Context()
        with ExitStack() as stack:
            stream = stack.enter_context(streams.opened("deaf"))
            writing = asyncio.create_task(stream.write(context, "answer"))
            await settle()
            clock.now += STREAM_PATIENCE_S
            stack.enter_context(streams.opened("new"))
            with pytest.raises(ServiceError) as gone:
                await writing
            assert reason_of(gone) is Reason.BUSY
            assert context.written == []

    run(work)


def test_one_that_reads_in_time_gets_its_answer(clock: Clock) -> None:
    async def work() -> None:
        context: Any = Context()
        with Streams(clock).opened("a") as stream:
            writing = asyncio.create_task(stream.write(context, "answer"))
            await settle()
            context.reads.set()
            await writing
            assert context.written == ["answer"]
            assert stream.since is None

    run(work)


def test_one_whose_batch_came_at_the_very_moment_gives_way_behind_it(clock: Clock) -> None:
    async def work() -> None:
        with Streams(clock).opened("a") as stream:
            sent = Sent()
            reading = asyncio.create_task(stream.next(sent))
            await settle()
            sent.queue.put_nowait("batch")
            stream.give_way()
            assert await reading == "batch"
            with pytest.raises(ServiceError) as gone:
                await stream.next(sent)
            assert reason_of(gone) is Reason.BUSY

    run(work)


def test_slow_ones_push_out_each_other_and_no_others(clock: Clock) -> None:
    """A thousand slow clients come again and again; whoever delivers in a second always finds a place."""

    async def work() -> None:
        streams = Streams(clock, most=10)
        slow: set[asyncio.Task[None]] = set()
        turned_away = 0

        async def dawdle(number: int) -> None:
            nonlocal turned_away
            try:
                with streams.opened(f"slow-{number}") as stream:
                    await stream.next(Sent())
            except ServiceError:
                turned_away += 1

        delivered = 0
        for number in range(1000):
            slow.add(asyncio.create_task(dawdle(number)))
            clock.now += STREAM_PATIENCE_S / 8  # so fast that they fill the ten places all the time
            await settle()
            with streams.opened("good") as stream:
                sent = Sent()
                sent.queue.put_nowait("batch")
                assert await stream.next(sent) == "batch"
                delivered += 1
            assert len(streams) <= 10
        assert delivered == 1000
        assert turned_away >= 900
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert len(streams) == 0

    run(work)


def test_there_are_calls_left_for_others() -> None:
    assert 2 * MAX_STREAMS <= MAX_CALLS
