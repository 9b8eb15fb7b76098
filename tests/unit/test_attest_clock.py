from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from edge.attest.clock import BUILD_DATE, SystemClock, label_time, read_clock
from tests.support.clocks import ManualClock
from verifield.v1.attestation_pb2 import TIME_QUALITY_BOUNDED, TIME_QUALITY_SUSPECT, TimeQuality

RECEIPT = BUILD_DATE + timedelta(days=30)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("wall", "last_server_time", "label"),
    [
        (RECEIPT, RECEIPT, TIME_QUALITY_BOUNDED),
        (RECEIPT - TICK, RECEIPT, TIME_QUALITY_SUSPECT),
        (RECEIPT - timedelta(days=365), RECEIPT, TIME_QUALITY_SUSPECT),
        (RECEIPT + timedelta(days=3650), RECEIPT, TIME_QUALITY_BOUNDED),
        (BUILD_DATE, BUILD_DATE - TICK, TIME_QUALITY_BOUNDED),
        (BUILD_DATE - TICK, BUILD_DATE - timedelta(days=9), TIME_QUALITY_SUSPECT),
        (RECEIPT, None, TIME_QUALITY_SUSPECT),
    ],
)
def test_time_is_labelled_by_what_bounds_it(
    wall: datetime, last_server_time: datetime | None, label: TimeQuality.ValueType
) -> None:
    assert label_time(wall, last_server_time=last_server_time) == label


def test_a_reading_takes_all_clocks_and_the_label() -> None:
    clock = ManualClock()
    clock.advance((RECEIPT - clock.wall()).total_seconds())
    reading = read_clock(clock, last_server_time=RECEIPT - timedelta(hours=1))
    assert reading.wall == RECEIPT
    assert reading.boot_id == clock.boot_id()
    assert reading.monotonic_ns == clock.monotonic_ns()
    assert reading.quality == TIME_QUALITY_BOUNDED


def test_the_system_clock_reads_this_boot() -> None:
    clock = SystemClock()
    assert str(uuid.UUID(clock.boot_id())) == clock.boot_id()
    first = clock.monotonic_ns()
    assert 0 < first <= clock.monotonic_ns()
    assert clock.wall().tzinfo is UTC
