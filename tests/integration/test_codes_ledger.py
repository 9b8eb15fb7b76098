"""How often codes are sent: exact in time, under concurrency, across restarts and servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.codes.desk import Purpose
from cloud.codes.ledger import PHONE_WINDOWS, SourceLimits
from cloud.errors import Reason, ServiceError
from tests.support.codes import BEGIN, OTHER_PHONE, PHONE, Office, SetClock, open_office

MICRO = timedelta(microseconds=1)


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path) as opened:
        yield opened


def refused(office: Office, phone: str = PHONE, **given: object) -> ServiceError:
    """Ask for a code that is refused, and see that nothing at all was changed."""
    before = office.rows()
    with pytest.raises(ServiceError) as caught:
        office.send(phone, **given)
    assert office.rows() == before
    return caught.value


@pytest.mark.req("R038")
def test_one_code_a_minute_to_the_microsecond(office: Office) -> None:
    assert office.send().retry_s == 60.0
    office.clock.pass_(seconds=30)
    error = refused(office)
    assert (error.reason, error.retry_s, error.metadata) == (
        Reason.SMS_TOO_OFTEN,
        30.0,
        {"scope": "phone"},
    )
    office.clock.now = BEGIN + timedelta(seconds=60) - MICRO
    assert refused(office).retry_s == pytest.approx(1e-6)
    office.clock.now = BEGIN + timedelta(seconds=60)
    office.send()


@pytest.mark.req("R039")
def test_three_codes_in_any_hour(office: Office) -> None:
    for minute in (0, 20, 40):
        office.clock.now = BEGIN + timedelta(minutes=minute)
        last = office.send()
    assert last.retry_s == 20 * 60  # the minute is over long before
    office.clock.now = BEGIN + timedelta(hours=1) - MICRO
    assert refused(office).reason is Reason.SMS_TOO_OFTEN
    office.clock.now = BEGIN + timedelta(hours=1)
    office.send()
    office.clock.now = BEGIN + timedelta(hours=1, minutes=19)  # rolling: 20, 40 and 60 are in the window
    assert refused(office).retry_s == 60


@pytest.mark.req("R040")
def test_five_codes_in_any_day(office: Office) -> None:
    for hours in (0, 2, 4, 6, 8):
        office.clock.now = BEGIN + timedelta(hours=hours)
        last = office.send()
    assert last.retry_s == 16 * 3600
    office.clock.now = BEGIN + timedelta(hours=24) - MICRO
    assert refused(office).reason is Reason.SMS_TOO_OFTEN
    office.clock.now = BEGIN + timedelta(hours=24)
    office.send()


def test_a_limit_is_the_numbers_whoever_asks_and_for_whatever(office: Office) -> None:
    office.send("138 0000 1234")
    error = refused(
        office,
        "+86 138-0000-1234",
        purpose=Purpose.LOGIN,
        person_id="somebody-else",
        source="address/198.51.100.1",
    )
    assert error.reason is Reason.SMS_TOO_OFTEN
    office.send(OTHER_PHONE)


def test_refused_sends_do_not_count(office: Office) -> None:
    office.send()
    for second in range(1, 60, 7):
        office.clock.now = BEGIN + timedelta(seconds=second)
        refused(office)
    assert len(office.rows("sms_sends")["sms_sends"]) == 1
    for hours in (2, 4, 6, 8):  # all of the day's five are there
        office.clock.now = BEGIN + timedelta(hours=hours)
        office.send()
    office.clock.pass_(hours=1)
    refused(office)


def test_a_source_has_wider_limits_for_all_its_numbers(database_url: str, tmp_path: Path) -> None:
    limits = SourceLimits(per_minute=3, per_hour=5, per_day=6)
    with open_office(database_url, tmp_path, limits=limits) as office:
        for number in range(3):
            office.send(f"+861380000{number:04}", person_id=f"person-{number}")
        error = refused(office, "+8613800000009", person_id="person-9")
        assert (error.reason, error.metadata) == (Reason.SMS_TOO_OFTEN, {"scope": "source"})
        office.send("+8613800000009", person_id="person-9", source="device/device-1")
        office.clock.pass_(seconds=60)
        for number in (3, 4):
            office.send(f"+861380000{number:04}", person_id=f"person-{number}")
        assert refused(office, "+8613800000008").retry_s == 59 * 60


def test_one_account_cannot_use_up_the_codes_of_many_numbers(office: Office) -> None:
    """Whoever holds one could else have strangers sent five codes each, and keep them from their own."""
    for number in range(10):
        office.send(f"+861380000{number:04}", purpose=Purpose.REBIND_PHONE, source=f"device/{number}")
        office.clock.pass_(minutes=10)
    error = refused(office, "+8613800000010", source="device/10")  # for whatever purpose
    assert (error.reason, error.metadata) == (Reason.SMS_TOO_OFTEN, {"scope": "person"})
    assert error.retry_s == 24 * 3600 - 100 * 60
    office.send("+8613800000010", person_id="person-2", source="device/10")
    office.clock.now = BEGIN + timedelta(hours=24)
    office.send("+8613800000011")


def together(offices: list[Office], count: int) -> list[str]:
    """Ask ``count`` times at once, by turns on each server; the outcomes."""
    outcomes: list[str] = []
    barrier = threading.Barrier(count)

    def ask(office: Office) -> None:
        barrier.wait()
        try:
            office.send()
        except ServiceError as error:
            outcomes.append(error.reason.value)
        else:
            outcomes.append("ACCEPTED")

    threads = [threading.Thread(target=ask, args=[offices[n % len(offices)]]) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.req("R041")
def test_of_fifty_at_once_one_is_accepted_on_two_servers_and_after_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    clock = SetClock()
    with ExitStack() as stack:
        servers = [stack.enter_context(open_office(database_url, tmp_path, clock=clock)) for _ in range(2)]
        outcomes = together(servers, 50)
        assert sorted(set(outcomes)) == ["ACCEPTED", "SMS_TOO_OFTEN"]
        assert outcomes.count("ACCEPTED") == 1
        assert len(servers[0].rows("sms_sends")["sms_sends"]) == 1
        assert len(servers[0].waiting()) == 1
    clock.pass_(seconds=59)
    with open_office(database_url, tmp_path, clock=clock) as restarted:
        assert refused(restarted).reason is Reason.SMS_TOO_OFTEN
        clock.pass_(seconds=1)
        assert together([restarted], 10).count("ACCEPTED") == 1
        # The refused ones left the day as it was: three more, and not one of them fewer.
        for hours in (2, 4, 6):
            clock.now = BEGIN + timedelta(hours=hours)
            restarted.send()
        clock.now = BEGIN + timedelta(hours=8)
        assert refused(restarted).reason is Reason.SMS_TOO_OFTEN


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from([0, 1, 29_999_999, 30_000_000, 59_999_999, 60_000_000, 600_000_000, 3_540_000_000])
        | st.integers(0, 90_000_000_000),
        min_size=1,
        max_size=25,
    )
)
def test_the_ledger_decides_as_a_list_of_all_accepted_times_does(office: Office, steps: list[int]) -> None:
    """The oracle keeps every accepted time and counts those within each window."""
    office.clock.now += timedelta(days=3)  # what the example before sent is out of all windows
    accepted: list[int] = []
    now_us = 0
    for step in steps:
        now_us += step
        office.clock.now += timedelta(microseconds=step)
        room = all(
            sum(now_us - at < window.length_us for at in accepted) < window.count for window in PHONE_WINDOWS
        )
        if room:
            office.send()
            accepted.append(now_us)
            continue
        with pytest.raises(ServiceError) as caught:
            office.send()
        assert caught.value.reason is Reason.SMS_TOO_OFTEN
        then = now_us + round((caught.value.retry_s or 0) * 1_000_000)
        # Not a microsecond too late, and not one too early.
        for at_us, free in ((then, True), (then - 1, False)):
            counts = [
                (sum(at_us - at < window.length_us for at in accepted), window.count)
                for window in PHONE_WINDOWS
            ]
            assert all(used < allowed for used, allowed in counts) is free


def test_what_no_window_reaches_goes(office: Office) -> None:
    for hours in (0, 2, 30):
        office.clock.now = BEGIN + timedelta(hours=hours)
        office.send()
    assert office.store.run(lambda connection: office.codes.sweep(connection, limit=100)) > 0
    found = office.rows("sms_sends", "send_meters", "code_challenges")
    assert {name: len(rows) for name, rows in found.items()} == {
        "sms_sends": 1,
        "send_meters": 3,  # of the number, the source and the person
        "code_challenges": 1,
    }
