"""Limits of calls: so many in a minute, then none, then again as the window moves; and bounded memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from cloud.access.rates import Places, RateLimits, Rates, class_of
from cloud.access.roles import Permission
from cloud.access.rules import Rule
from cloud.access.windows import Windows
from cloud.errors import Reason, ServiceError

RATES = Rates(read=5, write=2, device=3, account=6, open=4, failed=1)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(limits: RateLimits, name: str, who: str) -> ServiceError | None:
    try:
        limits.take(name, who)
    except ServiceError as error:
        return error
    return None


@pytest.mark.parametrize("name", ["read", "write", "device", "account", "open", "failed"])
def test_each_class_has_its_own_limit_on_both_sides(name: str) -> None:
    clock = Clock()
    limits = RateLimits(RATES, clock)
    amount = getattr(RATES, name)
    for _ in range(amount):
        assert refused(limits, name, "a") is None
    error = refused(limits, name, "a")
    assert error is not None
    assert error.reason is Reason.RATE_LIMITED
    assert error.metadata == {"class": name, "limit": str(amount), "window_s": "60"}
    assert refused(limits, name, "b") is None
    clock.now += 60
    assert refused(limits, name, "a") is None


def test_the_answer_says_when_there_is_room_again() -> None:
    clock = Clock()
    limits = RateLimits(RATES, clock)
    limits.take("write", "a")
    clock.now += 20
    limits.take("write", "a")
    error = refused(limits, "write", "a")
    assert error is not None
    assert error.retry_s == pytest.approx(40)
    clock.now += 39.9
    assert refused(limits, "write", "a") is not None
    clock.now += 0.2
    assert refused(limits, "write", "a") is None
    assert refused(limits, "write", "a") is not None  # the second one still counts


def test_a_check_takes_nothing_and_a_note_refuses_nothing() -> None:
    limits = RateLimits(RATES, Clock())
    for _ in range(3):
        limits.check("failed", "a")
    for _ in range(3):
        limits.note("failed", "a")
    with pytest.raises(ServiceError):
        limits.check("failed", "a")
    limits.check("failed", "b")


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    limits = RateLimits(RATES, clock)
    for _ in range(50):
        refused(limits, "write", "a")
    clock.now += 60
    assert refused(limits, "write", "a") is None


@given(
    steps=st.lists(st.tuples(st.floats(0, 50), st.integers(0, 2)), max_size=60),
    limit=st.integers(1, 4),
)
def test_never_more_than_the_limit_in_any_minute(steps: list[tuple[float, int]], limit: int) -> None:
    clock = Clock()
    limiter = MovingWindowRateLimiter(Windows(clock))
    item = RateLimitItemPerMinute(limit)
    taken: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for pause, who in steps:
        clock.now += pause
        recent = [moment for moment in taken[who] if moment > clock.now - 60]
        assert limiter.hit(item, str(who)) == (len(recent) < limit)
        if len(recent) < limit:
            taken[who].append(clock.now)


def test_so_many_callers_are_remembered_and_the_quietest_is_forgotten() -> None:
    windows = Windows(Clock(), max_keys=3)
    for who in ("a", "b", "c"):
        assert windows.acquire_entry(who, 1, 60)
    assert not windows.acquire_entry("a", 1, 60), "three are remembered"
    assert windows.acquire_entry("d", 1, 60)
    assert len(windows) == 3
    assert not windows.acquire_entry("a", 1, 60), "who is refused is not quiet"
    assert windows.acquire_entry("b", 1, 60), "this one was"
    for number in range(1000):
        windows.acquire_entry(str(number), 1, 60)
    assert len(windows) == 3


def test_who_is_shut_out_stays_so_however_many_others_come() -> None:
    limits = RateLimits(RATES, Clock(), max_keys=3)
    limits.note("failed", "guesser")
    for number in range(50):
        limits.take("device", f"device-{number}")
        if number % 2:
            limits.note("failed", f"address-{number}")
        with pytest.raises(ServiceError):
            limits.check("failed", "guesser")


def test_what_counts_no_more_is_not_kept() -> None:
    clock = Clock()
    windows = Windows(clock)
    for number in range(100):
        windows.acquire_entry(str(number), 5, 60, amount=5)
        clock.now += 1
    assert len(windows) == 60


def test_so_many_calls_at_once_and_no_more() -> None:
    places = Places(most=2)
    with places.take("a"), places.take("b"):
        with places.take("a"), pytest.raises(ServiceError) as caught, places.take("a"):
            raise AssertionError("a third one")
        assert caught.value.reason is Reason.RATE_LIMITED
        assert caught.value.metadata == {"class": "at_once", "limit": "2"}
        with suppress(KeyError), places.take("a"):
            raise KeyError
        with places.take("a"):
            assert len(places) == 2
    assert len(places) == 0


def test_a_window_can_be_emptied() -> None:
    windows = Windows(Clock())
    assert windows.acquire_entry("a", 2, 60, amount=2)
    assert not windows.acquire_entry("a", 2, 60)
    assert windows.get_moving_window("a", 2, 60) == (1000.0, 2)
    windows.clear("a")
    assert windows.get_moving_window("a", 2, 60) == (1000.0, 0)
    assert not windows.acquire_entry("b", 2, 60, amount=3)
    windows.acquire_entry("b", 2, 60)
    assert windows.check()
    assert windows.reset() == 1
    assert len(windows) == 0


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (None, "write"),
        (Rule(open=True), "open"),
        (Rule(device=True), "device"),
        (Rule(permission=Permission.USERS_READ), "read"),
        (Rule(permission=Permission.USERS_MANAGE), "write"),
    ],
)
def test_what_a_method_needs_says_its_class(rule: Rule | None, name: str) -> None:
    assert class_of(rule) == name
