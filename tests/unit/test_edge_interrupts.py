"""A stop that comes while something has to be whole is obeyed afterwards, and not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from edge.interrupts import STOPS, obey_stops, stops_held_back


def work_while(number: signal.Signals) -> list[str]:
    signal.raise_signal(number)
    signal.raise_signal(number)
    return ["whole"]


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    done: list[str] = []
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stops_held_back():
            done.extend(work_while(number))
        assert done == ["whole"]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_without_a_stop_nothing_is_changed() -> None:
    before = [signal.getsignal(number) for number in STOPS]
    with stops_held_back():
        assert [signal.getsignal(number) for number in STOPS] != before
    assert [signal.getsignal(number) for number in STOPS] == before


def test_a_fault_of_the_block_is_passed_on_and_the_handlers_are_back() -> None:
    before = [signal.getsignal(number) for number in STOPS]
    with pytest.raises(ValueError, match="disk"), stops_held_back():
        raise ValueError("disk")
    assert [signal.getsignal(number) for number in STOPS] == before


@pytest.fixture
def heeded() -> Iterator[None]:
    """Every stop raises KeyboardInterrupt, as in the commands."""
    before = {number: signal.getsignal(number) for number in STOPS}
    obey_stops()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPS)
def test_the_first_stop_cuts_short_what_obeys_and_the_next_waits(
    heeded: None, number: signal.Signals
) -> None:
    done = []

    def work() -> None:
        with stops_held_back() as stops:
            try:
                with stops.obeyed():
                    signal.raise_signal(number)
                    done.append("not reached")
            except KeyboardInterrupt:
                signal.raise_signal(number)
                done.append("recorded")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["recorded"]


def test_a_stop_that_came_before_is_obeyed_as_soon_as_may_be(heeded: None) -> None:
    with stops_held_back() as stops:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), stops.obeyed():
            raise AssertionError("not reached")


def test_what_is_to_be_ignored_stays_ignored(heeded: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    obey_stops()
    with stops_held_back() as stops, stops.obeyed():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_another_thread_has_nothing_to_hold_back() -> None:
    passed = threading.Event()

    def work() -> None:
        with stops_held_back():
            passed.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert passed.is_set()
