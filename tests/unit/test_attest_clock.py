"""How far a clock can be believed, and how late it certainly is."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from edge.attest.clock import (
    BUILD_DATE,
    MAX_DRIFT,
    MAX_SILENCE,
    SystemClock,
    TimeBounds,
    arrival_now,
    bounded_now,
    judge_validity,
    label_time,
    read_clock,
)
from edge.contact import Arrival, ClockMark, Contact
from edge.model import Validity
from tests.support.clocks import SteeredClock
from verifield.v1.attestation_pb2 import (
    TIME_QUALITY_BOUNDED,
    TIME_QUALITY_SUSPECT,
    TIME_QUALITY_TRUSTED,
    TimeQuality,
)

TRUSTED, BOUNDED, SUSPECT = TIME_QUALITY_TRUSTED, TIME_QUALITY_BOUNDED, TIME_QUALITY_SUSPECT
RECEIPT = BUILD_DATE + timedelta(days=30)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
YEAR = timedelta(days=365)


@pytest.mark.parametrize(
    ("wall", "last_server_time", "label"),
    [
        (RECEIPT, RECEIPT, BOUNDED),
        (RECEIPT - TICK, RECEIPT, SUSPECT),
        (RECEIPT - YEAR, RECEIPT, SUSPECT),
        (RECEIPT + MAX_SILENCE, RECEIPT, BOUNDED),
        (RECEIPT + MAX_SILENCE + TICK, RECEIPT, SUSPECT),
        (RECEIPT + 10 * YEAR, RECEIPT, SUSPECT),
        (BUILD_DATE, BUILD_DATE - TICK, BOUNDED),
        (BUILD_DATE - TICK, BUILD_DATE - timedelta(days=9), SUSPECT),
        (RECEIPT, None, SUSPECT),
    ],
)
def test_without_word_in_this_boot_the_last_receipt_bounds(
    wall: datetime, last_server_time: datetime | None, label: TimeQuality.ValueType
) -> None:
    assert label_time(wall, last_server_time=last_server_time) == label


@pytest.mark.parametrize(
    ("off", "label"),
    [
        (timedelta(0), TRUSTED),
        (MAX_DRIFT, TRUSTED),
        (-MAX_DRIFT, TRUSTED),
        (MAX_DRIFT + TICK, SUSPECT),
        (-MAX_DRIFT - TICK, SUSPECT),
        (-YEAR, SUSPECT),
        (10 * YEAR, SUSPECT),
    ],
)
def test_a_receipt_of_this_boot_is_an_anchor(off: timedelta, label: TimeQuality.ValueType) -> None:
    wall = RECEIPT + HOUR + off
    assert label_time(wall, last_server_time=RECEIPT, since_word=HOUR) == label


@pytest.mark.parametrize(
    ("off", "label"),
    [
        (MAX_DRIFT, BOUNDED),
        (-MAX_DRIFT, BOUNDED),
        (MAX_DRIFT + TICK, SUSPECT),
        (-MAX_DRIFT - TICK, SUSPECT),
        (YEAR, SUSPECT),
    ],
)
def test_an_earlier_record_of_this_boot_shows_a_jump(off: timedelta, label: TimeQuality.ValueType) -> None:
    mark = RECEIPT + timedelta(days=3)
    assert label_time(mark + HOUR + off, last_server_time=RECEIPT, since_mark=(mark, HOUR)) == label


def test_a_clock_behind_the_time_the_device_was_on_is_suspect() -> None:
    on = timedelta(days=20)
    assert label_time(RECEIPT + on - MAX_DRIFT, last_server_time=RECEIPT, uptime=on) == BOUNDED
    assert label_time(RECEIPT + on - MAX_DRIFT - TICK, last_server_time=RECEIPT, uptime=on) == SUSPECT


def test_a_reading_takes_all_clocks_the_label_and_the_time_since_the_receipt() -> None:
    clock = SteeredClock(wall=RECEIPT)
    arrival = arrival_now(clock)
    clock.advance(HOUR)
    reading = read_clock(clock, last_server_time=RECEIPT, arrival=arrival)
    assert (reading.boot_id, reading.monotonic_ns) == (clock.boot_id(), clock.monotonic_ns())
    assert reading.wall == RECEIPT + HOUR
    assert reading.quality == TRUSTED
    assert reading.since_receipt_ns == 3_600_000_000_000
    clock.reboot()
    reading = read_clock(clock, last_server_time=RECEIPT, arrival=arrival)
    assert reading.quality == BOUNDED
    assert reading.since_receipt_ns is None


def test_a_jump_since_the_last_good_record_stays_visible() -> None:
    clock = SteeredClock(wall=RECEIPT + HOUR)
    mark = ClockMark(clock.boot_id(), clock.monotonic_ns(), clock.wall())
    clock.advance(HOUR)
    clock.set_wall(clock.wall() + timedelta(days=100))
    for _ in range(2):
        assert read_clock(clock, last_server_time=RECEIPT, last_clock=mark).quality == SUSPECT
        clock.advance(HOUR)
    clock.reboot()  # of another boot the mark says nothing
    assert read_clock(clock, last_server_time=RECEIPT, last_clock=mark).quality == BOUNDED


def contact(clock: SteeredClock) -> Contact:
    return Contact(RECEIPT, arrival_now(clock), arrival_now(clock))


def test_it_is_at_least_as_late_as_the_last_word_and_the_time_on_since() -> None:
    clock = SteeredClock(wall=RECEIPT)
    word = contact(clock)
    clock.advance(HOUR)
    assert bounded_now(clock, contact=word) == TimeBounds(RECEIPT + HOUR, TRUSTED, RECEIPT + HOUR)
    word = word.until(arrival_now(clock))
    clock.set_wall(RECEIPT - YEAR)
    clock.reboot(on_for=2 * HOUR)
    bounds = bounded_now(clock, contact=word)
    assert bounds.not_before == RECEIPT + 3 * HOUR
    assert bounds.quality == SUSPECT
    assert bounds.likely == bounds.not_before
    clock.set_wall(RECEIPT + timedelta(days=5))
    bounds = bounded_now(clock, contact=word)
    assert (bounds.quality, bounds.likely) == (BOUNDED, RECEIPT + timedelta(days=5))


@pytest.mark.parametrize("word", [None, Contact(None, Arrival("b", 1), Arrival("b", 1))])
def test_without_any_word_only_the_build_date_is_certain(word: Contact | None) -> None:
    bounds = bounded_now(SteeredClock(wall=RECEIPT), contact=word)
    assert (bounds.not_before, bounds.quality) == (BUILD_DATE, SUSPECT)


FROM, TO = date(2026, 11, 10), date(2027, 1, 10)
FIRST = datetime(2026, 11, 9, 10, tzinfo=UTC)  # when the day begins in the zone furthest ahead
LAST = datetime(2027, 1, 11, 14, tzinfo=UTC) - TICK  # when the last one ends, with the same width


@pytest.mark.parametrize(
    ("not_before", "quality", "wall", "expected"),
    [
        (BUILD_DATE, TRUSTED, FIRST, Validity.VALID),
        (BUILD_DATE, TRUSTED, FIRST - TICK, Validity.NOT_YET),
        (BUILD_DATE, BOUNDED, FIRST - TICK, Validity.UNCERTAIN),
        (BUILD_DATE, TRUSTED, LAST, Validity.VALID),
        (BUILD_DATE, TRUSTED, LAST + TICK, Validity.EXPIRED),
        (BUILD_DATE, BOUNDED, LAST, Validity.VALID),
        (BUILD_DATE, BOUNDED, LAST + TICK, Validity.UNCERTAIN),
        (BUILD_DATE, SUSPECT, LAST, Validity.UNCERTAIN),
        (LAST, SUSPECT, FIRST, Validity.UNCERTAIN),
        (LAST + TICK, SUSPECT, FIRST, Validity.EXPIRED),
        (LAST + TICK, BOUNDED, LAST + TICK, Validity.EXPIRED),
    ],
)
def test_a_document_expires_only_when_that_is_certain(
    not_before: datetime, quality: TimeQuality.ValueType, wall: datetime, expected: Validity
) -> None:
    assert judge_validity(FROM, TO, TimeBounds(not_before, quality, wall)) is expected


def test_a_long_term_document_does_not_expire() -> None:
    far = datetime(9999, 12, 31, tzinfo=UTC)
    assert judge_validity(FROM, None, TimeBounds(far, BOUNDED, far)) is Validity.VALID
    assert judge_validity(FROM, date.max, TimeBounds(far, BOUNDED, far)) is Validity.VALID
    assert judge_validity(date.min, TO, TimeBounds(BUILD_DATE, BOUNDED, RECEIPT)) is Validity.VALID


def test_a_long_term_document_that_has_surely_begun_needs_no_clock() -> None:
    begun = datetime(2026, 11, 10, 14, tzinfo=UTC)  # in every zone
    assert judge_validity(FROM, None, TimeBounds(begun, SUSPECT, FIRST)) is Validity.VALID
    assert judge_validity(FROM, None, TimeBounds(begun - TICK, SUSPECT, FIRST)) is Validity.UNCERTAIN


def test_the_system_clock_reads_this_boot() -> None:
    clock = SystemClock()
    assert str(uuid.UUID(clock.boot_id())) == clock.boot_id()
    first = clock.monotonic_ns()
    assert 0 < first <= clock.monotonic_ns()
    assert clock.wall().tzinfo is UTC
