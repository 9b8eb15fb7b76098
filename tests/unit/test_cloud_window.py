"""How much is in work at once is bounded, for one device and for all, and so is what waits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from cloud.attestations.limits import (
    MAX_BATCH_BYTES,
    MAX_DEVICE_WORK_BYTES,
    MAX_WAITING_BYTES,
    MAX_WORK_BATCHES,
    MAX_WORK_BYTES,
)
from cloud.attestations.window import Window
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import MAX_WAITING


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


async def ask(window: Window, device: str, size: int) -> asyncio.Task[None]:
    """Someone who wants to come in, and has had time to."""
    task = asyncio.create_task(window.enter(device, size))
    await settle()
    return task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def small(**limits: int) -> Window:
    return Window(**{"most_bytes": 10, "most_batches": 100, "most_of_device": 6, "most_waiting": 20} | limits)


def test_as_much_as_fits_comes_in_and_the_next_when_one_left() -> None:
    async def work() -> None:
        window = small()
        for device, size in (("a", 6), ("b", 4)):
            await window.enter(device, size)
        waits = await ask(window, "c", 1)
        assert (waits.done(), window.bytes_in_work, window.bytes_waiting) == (False, 10, 1)
        window.leave("b", 4)
        await waits
        assert (window.bytes_in_work, window.batches_in_work, window.bytes_waiting) == (7, 2, 0)

    run(work)


def test_one_device_has_its_share_and_those_behind_it_pass() -> None:
    async def work() -> None:
        window = small()
        await window.enter("a", 6)
        more_of_a = await ask(window, "a", 1)
        b = await ask(window, "b", 4)
        assert (more_of_a.done(), b.done()) == (False, True)
        window.leave("a", 6)
        await more_of_a

    run(work)


def test_small_ones_do_not_keep_a_large_one_out() -> None:
    async def work() -> None:
        window = small()
        await window.enter("a", 6)
        large = await ask(window, "b", 6)
        later = await ask(window, "c", 1)
        assert (large.done(), later.done()) == (False, False), "it would fit, but came later"
        window.leave("a", 6)
        await large
        await later

    run(work)


def test_one_that_is_larger_than_everything_comes_in_alone() -> None:
    async def work() -> None:
        window = small(most_waiting=100)
        await window.enter("a", 1)
        huge = await ask(window, "b", 50)
        assert not huge.done()
        window.leave("a", 1)
        await huge
        assert window.bytes_in_work == 50

    run(work)


def test_the_number_of_batches_is_bounded_too() -> None:
    async def work() -> None:
        window = small(most_batches=2)
        for device in "ab":
            await window.enter(device, 0)
        third = await ask(window, "c", 0)
        assert not third.done()
        window.leave("a", 0)
        await third

    run(work)


def test_beyond_what_may_wait_a_batch_is_refused_at_once() -> None:
    async def work() -> None:
        window = small()
        await window.enter("a", 6)
        waiting = [await ask(window, "a", 5) for _ in range(4)]
        assert window.bytes_waiting == 20
        with pytest.raises(ServiceError) as refused:
            await window.enter("b", 5)
        assert refused.value.reason is Reason.BUSY
        assert (window.bytes_in_work, window.bytes_waiting) == (6, 20)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (window.bytes_in_work, window.bytes_waiting) == (6, 0)
        await window.enter("b", 4)

    run(work)


def test_who_goes_away_at_the_very_moment_leaves_its_place() -> None:
    async def work() -> None:
        window = small()
        await window.enter("a", 10)
        waits = await ask(window, "b", 5)
        window.leave("a", 10)  # lets it in
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        assert (window.bytes_in_work, window.batches_in_work, window.bytes_waiting) == (0, 0, 0)

    run(work)


def test_whatever_happens_the_bounds_hold_and_everyone_comes_in() -> None:
    chance = random.Random(11)

    async def one(window: Window, device: str, size: int) -> bool:
        await window.enter(device, size)
        try:
            assert window.bytes_in_work <= 10
            assert window.batches_in_work <= 4
            assert window.bytes_waiting <= 1000
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            return True
        finally:
            window.leave(device, size)

    async def work() -> None:
        window = small(most_batches=4, most_waiting=1000)
        tasks = [
            asyncio.create_task(one(window, chance.choice("abc"), chance.randint(0, 6))) for _ in range(200)
        ]
        await settle()
        gone = chance.sample(tasks, 30)
        for task in gone:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is True for one in results if not isinstance(one, asyncio.CancelledError))
        assert (window.bytes_in_work, window.batches_in_work, window.bytes_waiting) == (0, 0, 0)

    run(work)


def test_the_limits_go_together() -> None:
    assert MAX_DEVICE_WORK_BYTES >= 2 * MAX_BATCH_BYTES, "one is verified while another is written"
    assert MAX_WORK_BYTES >= 4 * MAX_DEVICE_WORK_BYTES, "no few devices take all there is"
    assert MAX_WAITING_BYTES >= MAX_WORK_BYTES
    assert MAX_WORK_BATCHES < MAX_WAITING, "the log never refuses a delivery that was let in"
